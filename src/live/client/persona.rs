//! Who a visitor is as a peer.

use std::net::IpAddr;
use std::rc::Rc;

use rand_xoshiro::SplitMix64;

use crate::journey::Group;
use crate::profile::{Encryption, InfoHash};

use super::wire::{self, Handshake};

/// Who a visitor is as a peer.
#[derive(Clone, Debug)]
pub(in super::super) struct Persona {
    pub(in super::super) info_hash: InfoHash,
    pub(in super::super) peer_id: [u8; 20],
    /// Name and version of its client.
    pub(in super::super) client: Rc<str>,
    pub(in super::super) group: Group,
    /// Peers served at a time.
    pub(in super::super) slots: usize,
    /// Whether peers can connect to it.
    pub(in super::super) reachable: bool,
    /// Whether it speaks uTP, and tries it first.
    pub(in super::super) utp: bool,
    pub(in super::super) encryption: Encryption,
    /// What its source address follows from.
    pub(in super::super) source: u64,
    /// Addresses that it has to itself.
    pub(in super::super) addresses: Vec<IpAddr>,
    /// Bytes per second of its line, towards it and from it.
    pub(in super::super) line: (f64, f64),
    pub(in super::super) random: SplitMix64,
}

impl Persona {
    pub(super) fn handshake(&self) -> [u8; wire::HANDSHAKE] {
        let hash = &self.info_hash;
        Handshake::ours(hash.on_the_wire(), hash.v2().is_some(), self.peer_id).encode()
    }
}
