//! What the visitors' connections to peers tell beside operations.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use super::Cause;

/// What the visitors' part in the swarms was like. All of them counts; bytes are payload of pieces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Swarm {
    /// Bytes that the target's peers gave: what its seedboxes had to carry.
    pub from_others: u64,
    /// Bytes that the target's web seeds gave (BEP 19): what its web servers had to carry.
    pub from_web: u64,
    /// Bytes that visitors gave each other.
    pub from_visitors: u64,
    /// Bytes given to peers that are not visitors.
    pub to_others: u64,
    /// Bytes given to other visitors, this worker's or another's.
    pub to_visitors: u64,
    /// Bytes that came twice, or that nobody waited for any more.
    pub wasted: u64,
    /// Pieces whose hash was wrong, blocks that differed from a piece known to be right.
    pub wrong_pieces: u64,
    /// Pieces that became whole.
    pub pieces: u64,
    /// Peers that had each of those pieces when it became whole, added up: divided by `pieces`, how available the content is.
    pub copies: u64,
    /// Peers that were asked and sent nothing for twenty seconds.
    pub snubs: u64,
    /// Connections that visitors tried to open.
    pub dials: u64,
    /// Of those, that did not come about: nobody there, behind NAT, or no handshake.
    pub failed_dials: u64,
    /// Of those, that came about.
    pub met: u64,
    /// Connections that peers opened to visitors.
    pub accepted: u64,
    /// Connections that came about either way over uTP (BEP 29); the others are TCP.
    pub utp: u64,
    /// Connections that came about either way and are encrypted (MSE, RC4).
    pub encrypted: u64,
    /// Peers that came for a visitor who had left, or whom nobody can reach.
    pub turned_away: u64,
    /// Connections that ended.
    pub ended: u64,
    /// Of those, for wrong bytes.
    pub ended_incorrect: u64,
    /// Of those, for a breach of the protocol.
    pub ended_malformed: u64,
    /// Of those, for silence.
    pub ended_timeout: u64,
    /// Peers that others told of (BEP 11).
    pub exchanged: u64,
    /// Peers that offered to help punch holes (BEP 55).
    pub holepunch: u64,
}

impl Swarm {
    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Counts a connection that ended.
    pub fn ended(&mut self, cause: Cause) {
        self.ended += 1;
        match cause {
            Cause::Incorrect => self.ended_incorrect += 1,
            Cause::Malformed => self.ended_malformed += 1,
            Cause::Timeout => self.ended_timeout += 1,
            _ => {}
        }
    }

    /// Share of the payload that visitors gave each other and the target did not have to; 0..1.
    #[must_use]
    pub fn offload(&self) -> Option<f64> {
        let all = self.from_others + self.from_web + self.from_visitors;
        (all > 0).then(|| self.from_visitors as f64 / all as f64)
    }
}

impl AddAssign<&Self> for Swarm {
    fn add_assign(&mut self, other: &Self) {
        self.from_others += other.from_others;
        self.from_web += other.from_web;
        self.from_visitors += other.from_visitors;
        self.to_others += other.to_others;
        self.to_visitors += other.to_visitors;
        self.wasted += other.wasted;
        self.wrong_pieces += other.wrong_pieces;
        self.pieces += other.pieces;
        self.copies += other.copies;
        self.snubs += other.snubs;
        self.dials += other.dials;
        self.failed_dials += other.failed_dials;
        self.met += other.met;
        self.accepted += other.accepted;
        self.utp += other.utp;
        self.encrypted += other.encrypted;
        self.turned_away += other.turned_away;
        self.ended += other.ended;
        self.ended_incorrect += other.ended_incorrect;
        self.ended_malformed += other.ended_malformed;
        self.ended_timeout += other.ended_timeout;
        self.exchanged += other.exchanged;
        self.holepunch += other.holepunch;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn web_seeds_are_no_visitors() {
        let mut swarm = Swarm { from_others: 50, from_visitors: 100, ..Swarm::default() };
        swarm += &Swarm { from_web: 50, ..Swarm::default() };
        assert_eq!(swarm.offload(), Some(0.5));
        assert_eq!(Swarm { from_web: 7, ..Swarm::default() }.offload(), Some(0.0));
        assert_eq!(Swarm::default().offload(), None);
    }
}
