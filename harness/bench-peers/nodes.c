// A DHT (BEP 5) of 65,536 nodes that answer and do nothing else: `nodes [PORT]`, at 127.1.0.0 to 127.1.255.255.
//
// The first two bytes of a node's id are the last two of its address, the others are the same for all. A node names eight others that
// have four more bits in common with what is looked for than itself, and the nearest once it is near: a lookup takes four or five steps.
#include "datagrams.h"

static uint64_t pings, find_nodes, get_peers, announce_peers, others;

static uint8_t *text(uint8_t *out, const char *what) { return (uint8_t *)stpcpy((char *)out, what); }

static uint8_t *node_id(uint8_t *out, unsigned node) {
    *out++ = node >> 8, *out++ = node & 0xff;
    return text(out, "a node of a bench!");
}

static uint8_t *named(uint8_t *out, unsigned asked, unsigned wanted) {
    unsigned common = asked == wanted ? 16 : __builtin_clz(asked ^ wanted) - 16, shift = common < 9 ? 9 - common : 0;
    unsigned low = (asked * 40503u >> 3) & ((1u << shift) - 1);
    for (unsigned k = 0; k < 8; k++) {
        unsigned node = (wanted ^ (k << shift) ^ low) & 0xffff;
        out = node_id(out, node);
        *out++ = 127, *out++ = 1, *out++ = node >> 8, *out++ = node & 0xff;
        *out++ = own_port >> 8, *out++ = own_port & 0xff;
    }
    return out;
}

static const uint8_t *after(const uint8_t *in, size_t length, const char *what) {
    const uint8_t *at = memmem(in, length, what, strlen(what));
    return at ? at + strlen(what) : NULL;
}

static size_t answer(const uint8_t *in, size_t length, uint32_t here, uint8_t *out) {
    const uint8_t *end = in + length, *begin = out, *wanted, *query = after(in, length, "e1:q"), *id = query;
    // What follows the query's name is short, and no binary string but the transaction id is in it.
    id = query ? after(query, end - query, "1:t") : NULL;
    long width = id && end - id > 2 ? *id - '0' : 0;
    if (width < 1 || width > 9 || id + 2 + width > end) {
        others++;
        return 0;
    }
    out = node_id(text(out, "d1:rd2:id20:"), here & 0xffff);
    if (after(query, end - query, "9:get_peers") && (wanted = after(in, length, "9:info_hash20:")) && wanted + 20 <= end) {
        get_peers++;
        out = named(text(out, "5:nodes208:"), here & 0xffff, wanted[0] << 8 | wanted[1]);
        out = text(out, "5:token8:benchtok6:valuesl6:");
        out = memcpy(out, "\x7f\0\0\x02\x1a\xe1", 6), out += 6;
        out = text(out, "6:");
        out = memcpy(out, "\x7f\0\0\x03\x1a\xe1", 6), out += 6;
        out = text(out, "e");
    } else if (after(query, end - query, "9:find_node") && (wanted = after(in, length, "6:target20:")) && wanted + 20 <= end) {
        find_nodes++;
        out = named(text(out, "5:nodes208:"), here & 0xffff, wanted[0] << 8 | wanted[1]);
    } else if (after(query, end - query, "13:announce_peer")) {
        announce_peers++;
    } else if (after(query, end - query, "4:ping")) {
        pings++;
    } else {
        others++;
        return 0;
    }
    out = memcpy(text(out, "e1:t"), id, width + 2), out += width + 2;
    return text(out, "1:y1:re") - begin;
}

static void report(void) {
    printf("{\"pings\": %lu, \"find_nodes\": %lu, \"get_peers\": %lu, ", pings, find_nodes, get_peers);
    printf("\"announce_peers\": %lu, \"others\": %lu}\n", announce_peers, others);
}
