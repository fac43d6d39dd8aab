//! Sockets as `/proc/net` lists them. `procfs` reads these files too, but without the drops of UDP sockets, and all of them: the lists of a
//! busy machine are megabytes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::profile::{Reading, Readings};

/// Bytes of a list of UDP sockets that are read: some 8,000 sockets.
const MOST_BYTES: u64 = 1 << 20;
/// Descriptors of a process that are looked at: sockets that listen are among the first.
const MOST_DESCRIPTORS: usize = 1_024;
/// The state of a socket that listens.
const LISTEN: &str = "0A";

/// What the sockets of one network namespace have come to, by inode.
#[derive(Clone, Debug, Default)]
pub(super) struct Sockets {
    /// Datagrams that UDP sockets dropped.
    drops: BTreeMap<u64, u64>,
    /// Connections that wait at sockets that listen.
    waiting: BTreeMap<u64, u64>,
}

impl Sockets {
    /// Those of the process's network namespace.
    pub(super) fn of(pid: u32) -> Self {
        let mut sockets = Self::default();
        let folder = PathBuf::from(format!("/proc/{pid}/net"));
        for list in ["udp", "udp6"] {
            let Ok(file) = File::open(folder.join(list)) else { continue };
            let lines = BufReader::new(file.take(MOST_BYTES)).lines().map_while(Result::ok);
            sockets.drops.extend(lines.filter_map(|line| {
                let entry = Entry::parse(&line)?;
                Some((entry.inode, entry.drops?))
            }));
        }
        for list in ["tcp", "tcp6"] {
            let Ok(file) = File::open(folder.join(list)) else { continue };
            let lines = BufReader::new(file).lines().map_while(Result::ok).skip(1);
            // The kernel lists those that listen first.
            let listening = lines.map_while(|line| Entry::parse(&line).filter(|entry| entry.listens));
            sockets.waiting.extend(listening.map(|entry| (entry.inode, entry.received)));
        }
        sockets
    }

    /// What the sockets with these inodes have come to.
    pub(super) fn note(&self, inodes: &BTreeSet<u64>, readings: &mut Readings) {
        let drops: Vec<u64> = inodes.iter().filter_map(|inode| self.drops.get(inode)).copied().collect();
        if !drops.is_empty() {
            readings.insert(Reading::UdpReceiveDrops, drops.iter().sum::<u64>() as f64);
        }
        let waiting = inodes.iter().filter_map(|inode| self.waiting.get(inode)).max();
        if let Some(waiting) = waiting {
            readings.insert(Reading::AcceptQueue, *waiting as f64);
        }
    }
}

/// Inodes of a process's sockets; empty where it is another user's.
pub(super) fn inodes(pid: u32) -> BTreeSet<u64> {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return BTreeSet::new() };
    let first = descriptors.take(MOST_DESCRIPTORS).filter_map(Result::ok);
    first.filter_map(|descriptor| inode(&fs::read_link(descriptor.path()).ok()?)).collect()
}

/// The inode of `socket:[1234]`.
fn inode(link: &Path) -> Option<u64> {
    link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// A line of such a list.
struct Entry {
    inode: u64,
    listens: bool,
    /// Bytes in the receive queue; connections that wait where it listens.
    received: u64,
    /// The last field of UDP sockets.
    drops: Option<u64>,
}

impl Entry {
    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let queue = fields.get(4)?.split_once(':')?.1;
        Some(Self {
            inode: fields.get(9)?.parse().ok()?,
            listens: *fields.get(3)? == LISTEN,
            received: u64::from_str_radix(queue, 16).ok()?,
            drops: fields.get(12).and_then(|drops| drops.parse().ok()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::fd::AsRawFd;

    use super::*;

    fn inode_of(socket: &impl AsRawFd) -> u64 {
        inode(&fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd())).unwrap()).unwrap()
    }

    #[test]
    fn drops_and_waiting_connections_are_told_of_the_sockets_that_have_them() {
        let (full, fine) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("[::1]:0").unwrap());
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket2::SockRef::from(&full).set_recv_buffer_size(4_096).unwrap();
        for _ in 0..200 {
            sender.send_to(&[0; 1_000], full.local_addr().unwrap()).unwrap();
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let _waiting: Vec<_> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();

        let sockets = Sockets::of(std::process::id());
        let of = |inodes: &[u64]| {
            let mut readings = Readings::new();
            sockets.note(&inodes.iter().copied().collect(), &mut readings);
            readings
        };
        let drops = of(&[inode_of(&full)])[&Reading::UdpReceiveDrops];
        assert!((100.0..200.0).contains(&drops), "{drops}");
        assert_eq!(of(&[inode_of(&fine)]), [(Reading::UdpReceiveDrops, 0.0)].into());
        assert_eq!(of(&[inode_of(&listener)]), [(Reading::AcceptQueue, 3.0)].into());
        assert_eq!(of(&[]), Readings::new());
        let own = inodes(std::process::id());
        // Other tests of this process may hold more descriptors than are looked at.
        let held = fs::read_dir("/proc/self/fd").unwrap().count();
        assert!(own.contains(&inode_of(&fine)) || held >= MOST_DESCRIPTORS, "{held}");
    }

    #[test]
    fn what_is_no_socket_is_none() {
        let links = ["pipe:[7]", "/dev/null", "socket:[x]", "socket:[7"];
        assert!(links.iter().all(|link| inode(Path::new(link)).is_none()));
        let lines =
            ["", "  sl  local_address rem_address   st", "a b c d e f g h i j", "1: a b 0A 0:zz x y z t 5"];
        assert!(lines.iter().all(|line| Entry::parse(line).is_none()));
    }
}
