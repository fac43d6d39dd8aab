"""What profiling found of rows that fall short of their goal: `perf record -e cpu-clock`, `perf stat -e syscalls:*`, callgrind."""

WAKING = (
    "Far below the highest rate every answer wakes the worker by itself (at 20,000 answers/s: 1.7 `epoll_wait`, 1.2 `recvmmsg` an answer, some "
    "30 µs), so that CPU time an answer falls with the rate: the row is measured near the highest rate that loses nothing."
)
EXCHANGE = (
    "Two system calls a request; the kernel takes about 60 %. The rest is some 19,000 instructions a request where each answer wakes the "
    "worker by itself (callgrind; 28,000 while tasks carried the whole exchange and requests were made as header maps): a fifth of them "
    "the answer's head as a header map, a tenth to start the task, another tenth allocation."
)
CONNECTION = (
    "Three quarters of it are the kernel: a visitor takes 14 system calls (its own source address: IP_BIND_ADDRESS_NO_PORT and `bind`; "
    "TCP_NODELAY, SO_LINGER, SO_ERROR, `shutdown`), where wrk takes half as many."
)
FOUND = {
    "udp-aquatic": "As `udp-reflector`.",
    "udp-reflector": "Two thirds of it are the kernel: UDP_SEGMENT puts together only what goes between the same two addresses, and here every "
    f"visitor has one of its own: a `sendmsg` each. {WAKING}",
    "udp-reflector-one-address": "At 220,000 answers/s the kernel takes a third (batches of 19 datagrams by UDP_SEGMENT; waking the server's "
    "core is the larger part of that), allocation and copying 14 %, reading the clock 5 %, the tables by which answers are judged 5 %; of the "
    f"rest nothing takes more than 2.5 %: it is spread over the task, the journey and the record of each announce. {WAKING}",
    "udp-reflector-plain": f"As `udp-reflector`. {WAKING}",
    "dht-reflector": "Every query goes to another node: a `sendmsg` each, half of the time. The rest is some 26,000 instructions a "
    "query (callgrind; 37,000 while lengths in bencode were read by way of text): reading bencode, which each answer is three times, and "
    f"drawing the table of a visitor who comes warm, are a tenth each or more. {WAKING}",
    "http1-keepalive-wrk": EXCHANGE,
    "http1-keepalive-oha": EXCHANGE,
    "open-loop-oha": f"{EXCHANGE} At half the maximum rate the kernel's `send` and `recv` alone take some 12 of the 17.6 µs that oha takes in "
    "all: with a system call each, 0.7 of that leaves nothing for the request.",
    "http1-new-connection-wrk": CONNECTION,
    "http1-new-connection-oha": CONNECTION,
    "http2-oha": "hyper's connection is a task of its own with two channels to it: for HTTP/1.1 that was half of what an exchange cost in user "
    "space, and was taken out there.",
}
