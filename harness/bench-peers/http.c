// A web server (HTTP/1.1) that answers 2 KB to every request and does nothing else: `http [HOLD]`, one thread and epoll. Where the path
// begins with /hold the answer comes HOLD seconds later. It closes where it is asked to.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

// Several listeners on one port: each has a queue of its own, and a server that was stopped finds who has come meanwhile.
enum { BODY = 2048, LISTENERS = 16, CONNECTIONS = 1 << 17, EVENTS = 512, REQUESTS = 16, HELD = 1 << 17 };

static char response[REQUESTS * (BODY + 256)];
static size_t response_length;
// Of each connection, how much of the end of a request's head has come.
static uint8_t seen[CONNECTIONS];
static struct { int fd; double until; } held[HELD];
static unsigned first_held, past_held;
static uint64_t requests, connections, closed_by_us;
static volatile sig_atomic_t ended;

static void end(int signal) { (void)signal, ended = 1; }

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

static int is_listener(int fd, const int *listeners) { return fd >= listeners[0] && fd <= listeners[LISTENERS - 1]; }

static void answer(int fd, unsigned times, int closes) {
    // The socket's buffer holds what is asked for at a time; a client that does not read is no client of a bench.
    if (write(fd, response, times * response_length) < 0 && errno == EAGAIN) shutdown(fd, SHUT_RDWR);
    if (closes) closed_by_us++, close(fd);
}

static void serve(int fd, double hold) {
    char in[16384];
    ssize_t length = read(fd, in, sizeof in);
    if (length <= 0) {
        if (length == 0 || errno != EAGAIN) close(fd);
        return;
    }
    unsigned whole = 0;
    uint8_t state = seen[fd];
    for (ssize_t i = 0; i < length; i++) {
        state = in[i] == (state & 1 ? '\n' : '\r') ? state + 1 : in[i] == '\r';
        if (state == 4) whole++, state = 0;
    }
    seen[fd] = state;
    if (!whole) return;
    requests += whole;
    if (length > 10 && !memcmp(in, "GET /hold", 9)) {
        held[past_held++ % HELD] = (typeof(held[0])){fd, now() + hold};
        return;
    }
    answer(fd, whole < REQUESTS ? whole : REQUESTS, memmem(in, length, "onnection: close", 16) != NULL);
}

static void welcome(int epoll, int listener) {
    for (int taken = 0; taken < 64; taken++) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        if (fd < 0) return;
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        connections++, seen[fd] = 0;
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = EPOLLIN, .data.fd = fd});
    }
}

int main(int count, char **arguments) {
    double hold = count > 1 ? atof(arguments[1]) : 10;
    struct rlimit most;
    getrlimit(RLIMIT_NOFILE, &most);
    most.rlim_cur = most.rlim_max;
    setrlimit(RLIMIT_NOFILE, &most);
    int listeners[LISTENERS], epoll = epoll_create1(0), on = 1;
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof here;
    for (int i = 0; i < LISTENERS; i++) {
        listeners[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        setsockopt(listeners[i], SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
        if (bind(listeners[i], (void *)&here, length) || listen(listeners[i], 4096) || getsockname(listeners[i], (void *)&here, &length)) {
            perror("http");
            return 1;
        }
        epoll_ctl(epoll, EPOLL_CTL_ADD, listeners[i], &(struct epoll_event){.events = EPOLLIN, .data.fd = listeners[i]});
    }
    int head = sprintf(response, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n", BODY);
    memset(response + head, 'x', BODY);
    response_length = head + BODY;
    for (int i = 1; i < REQUESTS; i++) memcpy(response + i * response_length, response, response_length);
    struct sigaction stop = {.sa_handler = end};
    sigaction(SIGTERM, &stop, NULL);
    signal(SIGPIPE, SIG_IGN);
    printf("ready %d\n", ntohs(here.sin_port));
    fflush(stdout);
    struct epoll_event events[EVENTS];
    while (!ended) {
        int ready = epoll_wait(epoll, events, EVENTS, first_held == past_held ? -1 : 10);
        for (int i = 0; i < ready; i++) {
            if (is_listener(events[i].data.fd, listeners)) welcome(epoll, events[i].data.fd);
            else serve(events[i].data.fd, hold);
        }
        for (double time = now(); first_held != past_held && held[first_held % HELD].until <= time; first_held++)
            answer(held[first_held % HELD].fd, 1, 0);
    }
    printf("{\"requests\": %lu, \"connections\": %lu, \"closed_by_us\": %lu}\n", requests, connections, closed_by_us);
}
