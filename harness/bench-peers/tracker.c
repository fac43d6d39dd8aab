// A UDP tracker (BEP 15) that answers and does nothing else: `tracker [PORT [PEER]]`, where PEER is the port of all peers that it
// names, at 127.0.0.2 to 127.0.0.9.
#include "datagrams.h"

static uint64_t connects, announces, scrapes, others;

// More peers of either kind than any generator has: no count that it knows of is too low.
enum { INTERVAL = 1800, MANY = 1 << 24, PEERS = 8 };

static uint8_t *put32(uint8_t *out, uint32_t value) {
    value = htonl(value);
    return (uint8_t *)memcpy(out, &value, 4) + 4;
}

static uint32_t get32(const uint8_t *in) {
    uint32_t value;
    memcpy(&value, in, 4);
    return ntohl(value);
}

static size_t answer(const uint8_t *in, size_t length, uint32_t here, uint8_t *out) {
    (void)here;
    const uint8_t *begin = out;
    uint32_t action = length < 16 ? 3 : get32(in + 8);
    if (action == 0 && length == 16 && get32(in) == 0x417 && get32(in + 4) == 0x27101980) {
        connects++;
        out = memcpy(out, in + 8, 8), out += 8;
        out = put32(put32(out, 0x73717561), get32(in + 12));
    } else if (action == 1 && length >= 98) {
        announces++;
        out = memcpy(out, in + 8, 8), out += 8;
        out = put32(put32(put32(out, INTERVAL), MANY), MANY);
        int32_t wanted = (int32_t)get32(in + 92), peers = wanted < 0 || wanted > PEERS ? PEERS : wanted;
        for (int peer = 0; peer < peers; peer++) {
            out = put32(out, 0x7f000002 + peer);
            *out++ = peer_port >> 8, *out++ = peer_port & 0xff;
        }
    } else if (action == 2 && length >= 36 && length <= 16 + 74 * 20) {
        scrapes++;
        out = memcpy(out, in + 8, 8), out += 8;
        for (size_t at = 16; at + 20 <= length; at += 20) out = put32(put32(put32(out, MANY), MANY), MANY);
    } else {
        others++;
    }
    return out - begin;
}

static void report(void) {
    printf("{\"connects\": %lu, \"announces\": %lu, \"scrapes\": %lu, \"others\": %lu}\n", connects, announces, scrapes, others);
}
