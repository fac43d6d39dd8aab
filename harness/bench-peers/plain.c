// What a plain loop of send and recv comes to: `plain tracker|dht PORT SECONDS`. One socket, WINDOW requests under way, nothing looked at,
// no latency taken: a floor for what a generator that does those things may cost.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

enum { WINDOW = 256 };

static uint64_t state = 1;

static uint64_t random_word(void) {
    state ^= state << 13, state ^= state >> 7;
    return state ^= state << 17;
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

// As many connects as announces, as with visitors who announce once.
static size_t ask_tracker(uint8_t *out, uint64_t n) {
    static const uint8_t connect[16] = "\0\0\x04\x17\x27\x10\x19\x80\0\0\0\0four";
    static const uint8_t announce[98] = "whatever\0\0\0\x01tranan info-hash of 20 by-XX0001-twelve bytes";
    if (n % 2) return memcpy(out, connect, sizeof connect), sizeof connect;
    memcpy(out, announce, sizeof announce);
    memcpy(out + 36, &(uint64_t){random_word()}, 8);
    memset(out + 92, 0xff, 4);
    return sizeof announce;
}

static size_t ask_node(uint8_t *out, uint64_t n) {
    static const char query[] = "d1:ad2:id20:node that only asks!9:info_hash20:twenty bytes of hashe1:q9:get_peers2:roi1e1:t4:four1:y1:qe";
    memcpy(out, query, sizeof query - 1);
    memcpy(out + 46, &(uint64_t){random_word()}, 8);
    memcpy(out + sizeof query - 12, &n, 4);
    return sizeof query - 1;
}

int main(int count, char **arguments) {
    if (count < 4) return 1;
    int dht = !strcmp(arguments[1], "dht"), udp = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(arguments[2])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(udp, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){.tv_usec = 100000}, sizeof(struct timeval));
    uint64_t sent = 0, answers = 0, under_way = 0;
    for (double end = now() + atof(arguments[3]); sent % 1024 || now() < end;) {
        uint8_t out[256], in[2048];
        while (under_way < WINDOW) {
            size_t length = dht ? ask_node(out, sent) : ask_tracker(out, sent);
            if (dht) to.sin_addr.s_addr = htonl(0x7f010000 | (random_word() & 0xffff));
            sendto(udp, out, length, 0, (void *)&to, sizeof to);
            sent++, under_way++;
        }
        if (recv(udp, in, sizeof in, 0) > 0) answers++, under_way--;
        else under_way = 0; // Lost.
    }
    printf("{\"sent\": %lu, \"answers\": %lu}\n", sent, answers);
}
