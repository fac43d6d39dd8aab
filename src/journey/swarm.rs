//! What the visitors' connections to peers tell beside operations.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use super::Cause;

/// What the visitors' part in the swarms was like. All of them counts; bytes are payload of pieces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
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
    /// Connections that visitors tried to open; one that neither came about nor failed was given up as its visitor left.
    pub dials: u64,
    /// Of those, that did not come about, for the reasons that follow and a few others (it was the visitor itself, no port was free).
    pub failed_dials: u64,
    /// Nobody answered in time: gone, or behind NAT.
    pub unanswered: u64,
    /// The address refused.
    pub refused: u64,
    /// The peer closed a connection before its handshake was whole: it is full, or does not share the torrent. On one machine, where an
    /// address always answers, it is also what a visitor behind NAT looks like to another.
    pub closed_handshakes: u64,
    /// The peer took a connection and sent no whole handshake in time.
    pub silent_handshakes: u64,
    /// What the peer sent was no handshake, or none that both could encrypt.
    pub broken_handshakes: u64,
    /// The handshake was for another torrent.
    pub wrong_handshakes: u64,
    /// Of the connections that visitors tried to open, those that came about.
    pub met: u64,
    /// Connections that came about and were given up at once, either way: the two are connected already, or the visitor has no room.
    pub surplus: u64,
    /// Connections that peers opened to visitors.
    pub accepted: u64,
    /// Connections that came about either way over uTP (BEP 29); the others are TCP.
    pub utp: u64,
    /// Connections that came about either way and are encrypted (MSE, RC4).
    pub encrypted: u64,
    /// Peers that came for a visitor who had left, or whom nobody can reach.
    pub turned_away: u64,
    /// Connections that ended, by either side; not those that the end of the run cuts.
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

    /// Counts a connection that did not come about; `reached` where the peer took it, and the handshake failed.
    pub fn failed_dial(&mut self, cause: Cause, reached: bool) {
        self.failed_dials += 1;
        match (cause, reached) {
            (Cause::Timeout, false) => self.unanswered += 1,
            (Cause::Refused, _) => self.refused += 1,
            (Cause::Closed, true) => self.closed_handshakes += 1,
            (Cause::Timeout, true) => self.silent_handshakes += 1,
            (Cause::Malformed | Cause::Rejected, true) => self.broken_handshakes += 1,
            (Cause::Incorrect, true) => self.wrong_handshakes += 1,
            _ => {}
        }
    }

    /// Connections that came about, either way.
    #[must_use]
    pub const fn opened(&self) -> u64 {
        self.met + self.accepted
    }

    /// Bytes that visitors gave for each byte that they got (BitTorrent's ratio).
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        let got = self.from_others + self.from_web + self.from_visitors;
        let given = self.to_others + self.to_visitors;
        (got > 0).then(|| given as f64 / got as f64)
    }

    /// Peers that had a piece when it became whole, on average: how available the content is.
    #[must_use]
    pub fn copies_per_piece(&self) -> Option<f64> {
        (self.pieces > 0).then(|| self.copies as f64 / self.pieces as f64)
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
        self.unanswered += other.unanswered;
        self.refused += other.refused;
        self.closed_handshakes += other.closed_handshakes;
        self.silent_handshakes += other.silent_handshakes;
        self.broken_handshakes += other.broken_handshakes;
        self.wrong_handshakes += other.wrong_handshakes;
        self.met += other.met;
        self.surplus += other.surplus;
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
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;

    /// The fields by name, as they are written.
    fn fields(swarm: Swarm) -> Map<String, Value> {
        match serde_json::to_value(swarm) {
            Ok(Value::Object(fields)) => fields,
            other => panic!("{other:?}"),
        }
    }

    fn any_swarm() -> impl Strategy<Value = Swarm> {
        let names: Vec<String> = fields(Swarm::default()).keys().cloned().collect();
        prop::collection::vec(0..1_u64 << 40, names.len()).prop_map(move |values| {
            let fields: Map<_, _> = names.iter().cloned().zip(values.into_iter().map(Value::from)).collect();
            serde_json::from_value(fields.into()).unwrap()
        })
    }

    proptest! {
        #[test]
        fn every_field_is_added(one in any_swarm(), other in any_swarm()) {
            let mut sum = one;
            sum += &other;
            let (one, other) = (fields(one), fields(other));
            for (name, value) in fields(sum) {
                prop_assert_eq!(value.as_u64(), Some(one[&name].as_u64().unwrap() + other[&name].as_u64().unwrap()), "{}", name);
            }
        }
    }

    #[test]
    fn recordings_from_before_a_field_are_read() {
        let old: Swarm = serde_json::from_value(json!({ "from_others": 5, "dials": 2 })).unwrap();
        assert_eq!(old, Swarm { from_others: 5, dials: 2, ..Swarm::default() });
    }

    #[test]
    fn a_failed_dial_has_one_reason_at_most() {
        let mut swarm = Swarm::default();
        for cause in Cause::ALL {
            for reached in [false, true] {
                let before = swarm;
                swarm.failed_dial(cause, reached);
                let reasons = |swarm: &Swarm| {
                    swarm.unanswered
                        + swarm.refused
                        + swarm.closed_handshakes
                        + swarm.silent_handshakes
                        + swarm.broken_handshakes
                        + swarm.wrong_handshakes
                };
                assert!(reasons(&swarm) <= reasons(&before) + 1, "{cause:?} {reached}");
            }
        }
        assert_eq!(swarm.failed_dials, 2 * Cause::ALL.len() as u64);
        assert_eq!((swarm.unanswered, swarm.silent_handshakes, swarm.refused), (1, 1, 2));
    }

    #[test]
    fn shares_are_of_what_there_is() {
        assert_eq!((Swarm::default().ratio(), Swarm::default().copies_per_piece()), (None, None));
        let swarm = Swarm {
            from_others: 300,
            from_visitors: 100,
            to_others: 40,
            to_visitors: 160,
            pieces: 8,
            copies: 20,
            ..Swarm::default()
        };
        assert_eq!(
            (swarm.offload(), swarm.ratio(), swarm.copies_per_piece()),
            (Some(0.25), Some(0.5), Some(2.5))
        );
    }

    #[test]
    fn web_seeds_are_no_visitors() {
        let mut swarm = Swarm { from_others: 50, from_visitors: 100, ..Swarm::default() };
        swarm += &Swarm { from_web: 50, ..Swarm::default() };
        assert_eq!(swarm.offload(), Some(0.5));
        assert_eq!(Swarm { from_web: 7, ..Swarm::default() }.offload(), Some(0.0));
        assert_eq!(Swarm::default().offload(), None);
    }
}
