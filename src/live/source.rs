//! Where visitors connect from: which local address each of them has. Pure: no socket.
//!
//! A pool of addresses is cut into one share for each worker, and a visitor's number picks one of its worker's. On IPv4 loopback there
//! is always a pool; elsewhere where the target's profile names networks that are routed to this machine. Visitors are many and their
//! numbers are drawn: where a share has n addresses, two of k visitors at a time have the same one with a probability near k²/2n.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use thiserror::Error;

/// Visitors on IPv4 loopback have the addresses from 127.16.0.0 to 127.143.255.255: the daemons of a testbed are at either end of
/// 127.0.0.0/8, far away.
const LOOPBACK: [(Ipv4Addr, u8); 4] = [
    (Ipv4Addr::new(127, 16, 0, 0), 12),
    (Ipv4Addr::new(127, 32, 0, 0), 11),
    (Ipv4Addr::new(127, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 128, 0, 0), 12),
];

/// A pool of fewer addresses than workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the visitors' networks hold {addresses} addresses for {workers} workers; name more networks in `visitors.addresses` or take \
     fewer `--workers`"
)]
pub(super) struct TooFew {
    addresses: u128,
    workers: u32,
}

/// Whose an address is, as far as a worker knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// A visitor of this worker, and nobody else.
    Own,
    /// A visitor of some worker.
    Visitors,
    /// No visitor.
    Others,
    /// Not known: visitors have the system's choice of addresses there, or there are other machines.
    Unknown,
}

/// The local addresses of one worker's visitors.
#[derive(Clone, Debug)]
pub(super) struct Sources {
    /// Number of the worker.
    pub(super) worker: u32,
    /// Towards servers on IPv4 loopback.
    loopback: Share,
    /// Towards other IPv4 servers.
    four: Option<Share>,
    /// Towards IPv6 servers, `::1` too.
    six: Option<Share>,
}

impl Sources {
    /// The part of worker `worker` of `workers` in the profile's `networks`; those inside 127.0.0.0/8 take the place of the usual
    /// addresses there.
    ///
    /// # Errors
    /// [`TooFew`] where not every worker gets an address.
    pub(super) fn new(networks: &[IpNet], (worker, workers): (u32, u32)) -> Result<Self, TooFew> {
        let share = |of: fn(&IpNet) -> bool| {
            let networks: Vec<IpNet> = networks.iter().copied().filter(of).collect();
            (!networks.is_empty()).then(|| Share::new(&networks, worker, workers)).transpose()
        };
        let loopback = share(|it| it.addr().is_ipv4() && it.addr().is_loopback())?;
        let usual = LOOPBACK.map(|(address, prefix)| IpNet::new_assert(address.into(), prefix));
        Ok(Self {
            worker,
            loopback: loopback.map_or_else(|| Share::new(&usual, worker, workers), Ok)?,
            four: share(|it| it.addr().is_ipv4() && !it.addr().is_loopback())?,
            six: share(|it| it.addr().is_ipv6())?,
        })
    }

    /// The address from which the visitor with this number contacts `remote`; `None` where that is the system's choice.
    pub(super) fn towards(&self, remote: IpAddr, visitor: u64) -> Option<IpAddr> {
        match self.share(remote) {
            Some(share) => Some(share.address(visitor)),
            // The system has no choice there.
            None => remote.is_loopback().then_some(Ipv6Addr::LOCALHOST.into()),
        }
    }

    /// As [`Sources::towards`], with the unspecified address for the system's choice.
    pub(super) fn local(&self, remote: IpAddr, visitor: u64) -> IpAddr {
        let any: IpAddr =
            if remote.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        self.towards(remote, visitor).unwrap_or(any)
    }

    /// Whose address this is.
    pub(super) fn owner(&self, address: IpAddr) -> Owner {
        match self.share(address) {
            Some(share) if share.holds(address) => Owner::Own,
            Some(share) if share.pool.position(address).is_some() => Owner::Visitors,
            // All IPv6 visitors of a machine without a pool have its one address of loopback.
            None if address.is_loopback() => Owner::Visitors,
            _ if address.is_loopback() => Owner::Others,
            _ => Owner::Unknown,
        }
    }

    fn share(&self, remote: IpAddr) -> Option<&Share> {
        match remote {
            IpAddr::V4(remote) if remote.is_loopback() => Some(&self.loopback),
            IpAddr::V4(_) => self.four.as_ref(),
            IpAddr::V6(_) => self.six.as_ref(),
        }
    }
}

/// One worker's part of a pool: `count` addresses, at least one, from the `first`-th on.
#[derive(Clone, Debug)]
struct Share {
    pool: Pool,
    first: u128,
    count: u128,
}

impl Share {
    fn new(networks: &[IpNet], worker: u32, workers: u32) -> Result<Self, TooFew> {
        let pool = Pool::new(networks);
        let addresses = pool.size();
        let count = addresses / u128::from(workers.max(1));
        if count == 0 {
            return Err(TooFew { addresses, workers });
        }
        Ok(Self { pool, first: count * u128::from(worker), count })
    }

    fn address(&self, visitor: u64) -> IpAddr {
        self.pool.address(self.first + u128::from(visitor) % self.count)
    }

    fn holds(&self, address: IpAddr) -> bool {
        let position = self.pool.position(address);
        position.is_some_and(|at| (self.first..self.first + self.count).contains(&at))
    }
}

/// Addresses of one family, each once and in order.
#[derive(Clone, Debug)]
struct Pool {
    ipv6: bool,
    /// Of each network, the first address and how many there are.
    ranges: Vec<(u128, u128)>,
}

impl Pool {
    /// The usable addresses of networks of one family: their first and last are left out, which in IPv4 name the network and everybody
    /// in it, unless there are no others. (In IPv6 the first is any router's, RFC 4291 section 2.6.1.)
    fn new(networks: &[IpNet]) -> Self {
        let usable = |network: IpNet| {
            let first = bits(network.network());
            let length = bits(network.broadcast()) - first + 1;
            if length > 2 { (first + 1, length - 2) } else { (first, length) }
        };
        let ranges = IpNet::aggregate(&networks.to_vec()).into_iter().map(usable).collect();
        Self { ipv6: networks.iter().any(|network| network.addr().is_ipv6()), ranges }
    }

    fn size(&self) -> u128 {
        self.ranges.iter().map(|(_, length)| length).sum()
    }

    /// The n-th address; n is counted round and round.
    fn address(&self, n: u128) -> IpAddr {
        let mut n = n % self.size().max(1);
        let mut bits = 0;
        for &(first, length) in &self.ranges {
            if n < length {
                bits = first + n;
                break;
            }
            n -= length;
        }
        if self.ipv6 { Ipv6Addr::from_bits(bits).into() } else { Ipv4Addr::from_bits(bits as u32).into() }
    }

    fn position(&self, address: IpAddr) -> Option<u128> {
        if address.is_ipv6() != self.ipv6 {
            return None;
        }
        let address = bits(address);
        let mut before = 0;
        for &(first, length) in &self.ranges {
            match address.checked_sub(first) {
                Some(at) if at < length => return Some(before + at),
                _ => before += length,
            }
        }
        None
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn sources(networks: &[&str], worker: u32, workers: u32) -> Result<Sources, TooFew> {
        let networks: Vec<IpNet> = networks.iter().map(|network| network.parse().unwrap()).collect();
        Sources::new(&networks, (worker, workers))
    }

    #[test]
    fn loopback_has_a_pool_and_elsewhere_the_system_chooses() {
        let usual = sources(&[], 1, 2).unwrap();
        assert_eq!(usual.towards(ip("127.0.0.1"), 0), Some(ip("127.80.0.1")), "the second half");
        assert_eq!(usual.towards(ip("::1"), 7), Some(ip("::1")));
        for remote in ["192.0.2.1", "2001:db8::1"] {
            assert_eq!(usual.towards(ip(remote), 7), None, "{remote}");
            assert!(usual.local(ip(remote), 7).is_unspecified());
        }
        for (address, owner) in [
            ("127.80.0.1", Owner::Own),
            ("127.143.255.254", Owner::Own),
            ("127.16.0.1", Owner::Visitors),
            ("127.0.0.1", Owner::Others),
            ("127.255.255.254", Owner::Others),
            ("::1", Owner::Visitors),
            ("192.0.2.1", Owner::Unknown),
            ("2001:db8::1", Owner::Unknown),
        ] {
            assert_eq!(usual.owner(ip(address)), owner, "{address}");
        }
    }

    #[test]
    fn networks_of_the_profile_serve_their_kind() {
        let named = sources(&["10.77.128.0/29", "2001:db8:1::/64", "127.9.0.0/30"], 0, 2).unwrap();
        let all = |remote: &str| -> HashSet<IpAddr> {
            (0..100).map(|visitor| named.towards(ip(remote), visitor).unwrap()).collect()
        };
        assert_eq!(all("192.0.2.1"), ["10.77.128.1", "10.77.128.2", "10.77.128.3"].map(ip).into());
        assert_eq!(all("127.0.0.1"), [ip("127.9.0.1")].into());
        assert_eq!(all("::1").len(), 100);
        assert_eq!(named.towards(ip("2001:db8::7"), 0xabcd), Some(ip("2001:db8:1::abce")));
        assert_eq!(named.owner(ip("10.77.128.4")), Owner::Visitors);
        assert_eq!(
            named.owner(ip("10.77.128.7")),
            Owner::Unknown,
            "another machine's, for all that is known"
        );
        assert_eq!(named.owner(ip("127.16.0.1")), Owner::Others);
    }

    #[test]
    fn every_worker_needs_an_address() {
        assert_eq!(
            sources(&["10.77.0.1/32"], 0, 2).unwrap_err(),
            TooFew { addresses: 1, workers: 2 },
            "one address for two workers"
        );
        assert_eq!(sources(&["10.77.0.1/32"], 0, 1).unwrap().local(ip("10.0.0.1"), 9), ip("10.77.0.1"));
        let both = sources(&["10.77.0.4/31"], 1, 2).unwrap();
        assert_eq!(both.local(ip("10.0.0.1"), 9), ip("10.77.0.5"));
    }

    #[test]
    fn addresses_of_overlapping_networks_count_once() {
        let networks = ["10.77.0.0/24", "10.77.0.0/16", "10.77.5.5/32"].map(|it| it.parse().unwrap());
        assert_eq!(Pool::new(&networks).size(), 65_534);
    }

    fn networks() -> impl Strategy<Value = Vec<IpNet>> {
        let four = (any::<u32>(), 8_u8..=31)
            .prop_map(|(bits, prefix)| IpNet::new_assert(Ipv4Addr::from_bits(bits).into(), prefix));
        let six = (any::<u128>(), 32_u8..=127)
            .prop_map(|(bits, prefix)| IpNet::new_assert(Ipv6Addr::from_bits(bits).into(), prefix));
        prop::collection::vec(prop_oneof![four, six], 0..5)
    }

    proptest! {
        #[test]
        fn no_two_workers_share_an_address(
            networks in networks(),
            workers in 2_u32..70,
            visitors in prop::collection::vec(any::<u64>(), 1..20),
        ) {
            let of = |worker| Sources::new(&networks, (worker, workers));
            prop_assume!((0..workers).all(|worker| of(worker).is_ok()));
            for remote in ["127.0.0.1", "192.0.2.1", "2001:db8::1"].map(ip) {
                let mut seen = HashSet::new();
                for worker in 0..workers {
                    let sources = of(worker).unwrap();
                    let own: HashSet<_> =
                        visitors.iter().filter_map(|visitor| sources.towards(remote, *visitor)).collect();
                    for &address in &own {
                        prop_assert_eq!(sources.owner(address), Owner::Own);
                        prop_assert_eq!(of((worker + 1) % workers).unwrap().owner(address), Owner::Visitors);
                        prop_assert!(seen.insert(address), "{} twice", address);
                    }
                }
            }
        }

        #[test]
        fn addresses_lie_in_the_pool_and_name_no_network(networks in networks(), visitor: u64) {
            let Ok(sources) = Sources::new(&networks, (0, 1)) else { return Ok(()) };
            for remote in ["127.0.0.1", "192.0.2.1", "2001:db8::1"].map(ip) {
                let Some(address) = sources.towards(remote, visitor) else { continue };
                prop_assert_eq!(sources.towards(remote, visitor), Some(address), "the same each time");
                let within: Vec<_> = networks.iter().filter(|network| network.contains(&address)).collect();
                prop_assert!(!within.is_empty() || remote.is_loopback());
                for network in IpNet::aggregate(&networks).iter().filter(|it| it.contains(&address)) {
                    let ends = [network.network(), network.broadcast()];
                    prop_assert!(network.max_prefix_len() - network.prefix_len() < 2 || !ends.contains(&address));
                }
            }
        }
    }
}
