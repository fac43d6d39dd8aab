// The loop of a UDP reflector: takes what has come, answers it at once, keeps nothing. As cheap as the system allows, so that the
// generator before it is the limit and not the reflector: many datagrams a call (recvmmsg, sendmmsg), and several in one where sender or
// receiver are the same (UDP_GRO, UDP_SEGMENT). Loopback only: the socket is bound to `lo`, and answers from the address that was asked.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/udp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { TAKEN = 64, SENT = 1024, SEGMENTS = 64, DATAGRAM = 65536, ANSWER = 1024, ROOM = 4 << 20 };

// Writes the answer to a datagram that came to the local address `here` (host order); its length, 0 for none. To be defined by who
// includes this, as is what it has counted.
static size_t answer(const uint8_t *in, size_t length, uint32_t here, uint8_t *out);
static void report(void);

union control {
    char room[CMSG_SPACE(sizeof(struct in_pktinfo)) + CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
};
static struct sockaddr_in from[TAKEN], to[SENT];
static struct in_addr sent_from[SENT];
static union control taken_control[TAKEN], sent_control[SENT];
static struct iovec taken_data[TAKEN], sent_data[SENT];
static struct mmsghdr taken[TAKEN], sent[SENT];
static int segments[SENT], segment_size[SENT], sends;
static uint8_t in[TAKEN][DATAGRAM], out[ROOM + ANSWER];
static size_t used;
static uint16_t own_port;
// The second argument, for who names peers.
static uint16_t peer_port = 6881;
static volatile sig_atomic_t ended;

static void end(int signal) { (void)signal, ended = 1; }

static void *put(struct msghdr *message, int level, int type, const void *value, size_t length) {
    struct cmsghdr *head = (struct cmsghdr *)((char *)message->msg_control + message->msg_controllen);
    *head = (struct cmsghdr){.cmsg_len = CMSG_LEN(length), .cmsg_level = level, .cmsg_type = type};
    message->msg_controllen += CMSG_SPACE(length);
    return memcpy(CMSG_DATA(head), value, length);
}

static void flush(int udp) {
    for (int i = 0; i < sends; i++) {
        uint16_t size = segment_size[i];
        if (segments[i] > 1) put(&sent[i].msg_hdr, SOL_UDP, UDP_SEGMENT, &size, sizeof size);
    }
    for (int done = 0; done < sends;) {
        int now = sendmmsg(udp, sent + done, sends - done, 0);
        done += now > 0 ? now : 1; // What the system does not take is lost, as on a network.
    }
    sends = 0, used = 0;
}

// Adds an answer: to the one before where that goes the same way and is as long.
static void reply(int udp, const struct sockaddr_in *peer, struct in_addr here, size_t length) {
    int last = sends - 1;
    if (last >= 0 && segment_size[last] == (int)length && segments[last] < SEGMENTS && !memcmp(&to[last], peer, sizeof *peer) &&
        sent_from[last].s_addr == here.s_addr) {
        segments[last]++, sent_data[last].iov_len += length, used += length;
        return;
    }
    to[sends] = *peer, sent_from[sends] = here;
    sent_data[sends] = (struct iovec){out + used, length};
    segments[sends] = 1, segment_size[sends] = length;
    struct msghdr *message = &sent[sends].msg_hdr;
    *message = (struct msghdr){&to[sends], sizeof to[sends], &sent_data[sends], 1, &sent_control[sends], 0, 0};
    struct in_pktinfo way = {.ipi_spec_dst = here};
    put(message, IPPROTO_IP, IP_PKTINFO, &way, sizeof way);
    used += length;
    if (++sends == SENT) flush(udp);
}

static void take(int udp, int i) {
    struct msghdr *message = &taken[i].msg_hdr;
    struct in_addr here = {0};
    int size = taken[i].msg_len;
    for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head; head = CMSG_NXTHDR(message, head)) {
        const void *value = CMSG_DATA(head);
        if (head->cmsg_type == IP_PKTINFO && head->cmsg_level == IPPROTO_IP) here = ((const struct in_pktinfo *)value)->ipi_addr;
        if (head->cmsg_type == UDP_GRO && head->cmsg_level == SOL_UDP) size = *(const int *)value;
    }
    for (size_t at = 0; at < taken[i].msg_len && size > 0; at += size) {
        size_t left = taken[i].msg_len - at, length = left < (size_t)size ? left : (size_t)size;
        if (used > ROOM - ANSWER) flush(udp);
        length = answer(in[i] + at, length, ntohl(here.s_addr), out + used);
        if (length) reply(udp, &from[i], here, length);
    }
}

int main(int count, char **arguments) {
    int udp = socket(AF_INET, SOCK_DGRAM, 0), on = 1, room = 64 << 20;
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(count > 1 ? atoi(arguments[1]) : 0)};
    socklen_t length = sizeof any;
    if (count > 2) peer_port = atoi(arguments[2]);
    // More than the system's limit where it lets us: a server that was stopped finds what has come meanwhile.
    if (setsockopt(udp, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room)) setsockopt(udp, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    setsockopt(udp, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
    setsockopt(udp, SOL_UDP, UDP_GRO, &on, sizeof on);
    if (setsockopt(udp, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3) || bind(udp, (void *)&any, length) ||
        getsockname(udp, (void *)&any, &length)) {
        perror("reflector");
        return 1;
    }
    struct sigaction stop = {.sa_handler = end};
    sigaction(SIGTERM, &stop, NULL);
    own_port = ntohs(any.sin_port);
    printf("ready %d\n", own_port);
    fflush(stdout);
    while (!ended) {
        for (int i = 0; i < TAKEN; i++) {
            taken_data[i] = (struct iovec){in[i], DATAGRAM};
            taken[i].msg_hdr = (struct msghdr){&from[i], sizeof from[i], &taken_data[i], 1, &taken_control[i], sizeof taken_control[i], 0};
        }
        int now = recvmmsg(udp, taken, TAKEN, MSG_WAITFORONE, NULL);
        for (int i = 0; i < now; i++) take(udp, i);
        flush(udp);
    }
    report();
}
