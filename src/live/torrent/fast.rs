//! The pieces that a peer may have in spite of a choke (BEP 6): the same few for everybody of its network, so that whoever comes with nothing
//! has something to give soon and cannot get more by coming again.

use std::net::IpAddr;

use sha1::{Digest, Sha1};

/// Pieces that are allowed (BEP 6).
pub(super) const ALLOWED: usize = 10;

/// The pieces for a peer at this address; none for IPv6, of which BEP 6 does not speak.
pub(super) fn allowed(ip: IpAddr, info_hash: &[u8; 20], pieces: u32, count: usize) -> Vec<u32> {
    let IpAddr::V4(ip) = ip.to_canonical() else { return Vec::new() };
    let [a, b, c, _] = ip.octets();
    let mut digest: [u8; 20] =
        Sha1::new().chain_update([a, b, c, 0]).chain_update(info_hash).finalize().into();
    let mut allowed = Vec::new();
    let count = count.min(pieces as usize);
    while allowed.len() < count {
        for word in digest.as_chunks::<4>().0 {
            let piece = u32::from_be_bytes(*word) % pieces;
            if allowed.len() < count && !allowed.contains(&piece) {
                allowed.push(piece);
            }
        }
        digest = Sha1::digest(digest).into();
    }
    allowed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_specification() {
        let of = |count| allowed([80, 4, 4, 200].into(), &[0xaa; 20], 1_313, count);
        assert_eq!(of(7), [1059, 431, 808, 1217, 287, 376, 1188]);
        assert_eq!(of(9), [1059, 431, 808, 1217, 287, 376, 1188, 353, 508]);
        assert_eq!(allowed([80, 4, 4, 200].into(), &[0xaa; 20], 3, ALLOWED).len(), 3);
    }
}
