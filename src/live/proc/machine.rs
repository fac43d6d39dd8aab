//! What the network stack of this machine counts, in the generator's network namespace.

use std::collections::HashMap;
use std::fs;

use crate::profile::{Reading, Readings};

/// Counters of `/proc/net/snmp` and `/proc/net/netstat`, with what they are to us.
const COUNTERS: [(&str, Reading); 5] = [
    ("Udp.RcvbufErrors", Reading::UdpReceiveDrops),
    ("Udp.SndbufErrors", Reading::UdpSendErrors),
    ("Tcp.RetransSegs", Reading::Retransmits),
    ("TcpExt.TCPTimeouts", Reading::TcpTimeouts),
    ("TcpExt.ListenOverflows", Reading::AcceptDrops),
];
/// UDP over IPv6 is counted by itself, one counter a line.
const COUNTERS_6: [(&str, Reading); 2] =
    [("Udp6RcvbufErrors", Reading::UdpReceiveDrops), ("Udp6SndbufErrors", Reading::UdpSendErrors)];

/// What it counted so far.
pub(super) fn readings() -> Readings {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let both = read("/proc/net/snmp") + &read("/proc/net/netstat");
    let mut readings = counted(&both, &read("/proc/net/snmp6"));
    let tracked = [
        ("/proc/sys/net/netfilter/nf_conntrack_count", Reading::TrackedConnections),
        ("/proc/sys/net/netfilter/nf_conntrack_max", Reading::TrackedConnectionLimit),
    ];
    for (path, reading) in tracked {
        if let Ok(value) = read(path).trim().parse() {
            readings.insert(reading, value);
        }
    }
    readings
}

/// `procfs` reads the first of these files, not the second.
fn counted(text: &str, six: &str) -> Readings {
    let mut counters: HashMap<String, f64> = HashMap::new();
    let lines: Vec<&str> = text.lines().collect();
    // Names, then values, each after the protocol.
    for pair in lines.chunks_exact(2) {
        let ([names, values], Some((protocol, _))) = ([pair[0], pair[1]], pair[0].split_once(':')) else {
            continue;
        };
        let fields = names.split_whitespace().zip(values.split_whitespace()).skip(1);
        counters.extend(
            fields.filter_map(|(name, value)| Some((format!("{protocol}.{name}"), value.parse().ok()?))),
        );
    }
    let six = six.lines().filter_map(|line| line.split_once(char::is_whitespace));
    counters.extend(six.filter_map(|(name, value)| Some((name.to_owned(), value.trim().parse().ok()?))));
    let mut readings = Readings::new();
    for (name, reading) in COUNTERS.into_iter().chain(COUNTERS_6) {
        if let Some(count) = counters.get(name) {
            *readings.entry(reading).or_default() += count;
        }
    }
    readings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_as_the_kernel_writes_them() {
        let text = "Tcp: RtoMin RetransSegs\nTcp: 200 7\nUdp: InDatagrams RcvbufErrors SndbufErrors\nUdp: 9 4 1\n\
            TcpExt: ListenOverflows TCPTimeouts\nTcpExt: 3 2\n";
        let six = "Ip6InReceives 5\nUdp6RcvbufErrors               \t10\n";
        let expected = [
            (Reading::UdpReceiveDrops, 14.0),
            (Reading::UdpSendErrors, 1.0),
            (Reading::Retransmits, 7.0),
            (Reading::TcpTimeouts, 2.0),
            (Reading::AcceptDrops, 3.0),
        ];
        assert_eq!(counted(text, six), expected.into());
        assert_eq!(counted("", ""), Readings::new());
        assert_eq!(counted("Udp: RcvbufErrors\nUdp: x\nTcp", "Udp6RcvbufErrors"), Readings::new());
        assert!(expected.iter().all(|(reading, _)| readings().contains_key(reading)), "this machine's");
    }
}
