//! Node ids that are bound to an address (BEP 42).

use std::net::IpAddr;

use super::super::krpc::Id;

const MASK_V4: [u8; 4] = [0x03, 0x0f, 0x3f, 0xff];
const MASK_V6: [u8; 8] = [0x01, 0x03, 0x07, 0x0f, 0x1f, 0x3f, 0x7f, 0xff];

/// Puts into a random id what its node's address asks for: its first 21 bits. The last byte stays, as the free choice that it is.
pub(in crate::live) fn bind(address: IpAddr, mut random: Id) -> Id {
    let [a, b, c] = prefix(address, random[19]);
    random[0] = a;
    random[1] = b;
    random[2] = c | (random[2] & 0x07);
    random
}

/// Whether a node at this address may have this id.
pub(in crate::live) fn allows(address: IpAddr, id: &Id) -> bool {
    prefix(address, id[19]) == [id[0], id[1], id[2] & 0xf8]
}

/// Whether BEP 42 leaves the address alone: those of local networks may have any id.
pub(in crate::live) fn is_local(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

fn prefix(address: IpAddr, free: u8) -> [u8; 3] {
    let seed = free & 0x07;
    let hash = match address.to_canonical() {
        IpAddr::V4(v4) => hash(v4.octets(), MASK_V4, seed),
        IpAddr::V6(v6) => {
            let [a, b, c, d, e, f, g, h, ..] = v6.octets();
            hash([a, b, c, d, e, f, g, h], MASK_V6, seed)
        }
    };
    let [a, b, c, _] = hash.to_be_bytes();
    [a, b, c & 0xf8]
}

fn hash<const N: usize>(octets: [u8; N], mask: [u8; N], seed: u8) -> u32 {
    let mut masked: [u8; N] = std::array::from_fn(|n| octets[n] & mask[n]);
    masked[0] |= seed << 5;
    crc32c::crc32c(&masked)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hex(text: &str) -> Id {
        std::array::from_fn(|n| u8::from_str_radix(&text[2 * n..2 * n + 2], 16).unwrap())
    }

    /// The vectors of BEP 42.
    #[test]
    fn the_examples_of_the_specification() {
        for (address, id) in [
            ("124.31.75.21", "5fbfbff10c5d6a4ec8a88e4c6ab4c28b95eee401"),
            ("21.75.31.124", "5a3ce9c14e7a08645677bbd1cfe7d8f956d53256"),
            ("65.23.51.170", "a5d43220bc8f112a3d426c84764f8c2a1150e616"),
            ("84.124.73.14", "1b0321dd1bb1fe518101ceef99462b947a01ff41"),
            ("43.213.53.83", "e56f6cbf5b7c4be0237986d5243b87aa6d51305a"),
        ] {
            let (address, id): (IpAddr, _) = (address.parse().unwrap(), hex(id));
            assert!(allows(address, &id), "{address}");
            assert_eq!(bind(address, id), id);
            assert!(!allows("124.31.75.22".parse().unwrap(), &id));
        }
    }

    #[test]
    fn local_networks_are_left_alone() {
        for local in
            ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.1.1", "::1", "fe80::1", "fd00::1"]
        {
            assert!(is_local(local.parse().unwrap()), "{local}");
        }
        assert!(!is_local("172.32.0.1".parse().unwrap()) && !is_local("2001:db8::1".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn a_bound_id_is_allowed_where_it_was_bound(v4 in any::<[u8; 4]>(), v6 in any::<[u8; 16]>(), random in any::<Id>()) {
            for address in [IpAddr::from(v4), IpAddr::from(v6)] {
                let id = bind(address, random);
                prop_assert!(allows(address, &id));
                prop_assert_eq!(&id[3..], &random[3..]);
            }
        }
    }
}
