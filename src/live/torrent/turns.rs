//! Whose turn it is at a line that several connections share: one after the other, as the bandwidth managers of real clients have it.
//! Without turns whoever happens to wake first would take everything, and the others would count as silent.

use std::collections::VecDeque;
use std::time::Duration;

use super::picker::PeerKey;

/// How a connection's turn went.
#[derive(Debug)]
pub(super) enum Turn {
    /// It needs the line no more.
    Over,
    /// It is another's turn.
    Others,
    /// It `took` something or not, and must `wait` for more.
    Wait { took: bool, wait: Duration },
}

/// Connections that wait for a line, the next one first. Only that one has a timer; the others are woken when their turn comes.
#[derive(Debug, Default)]
pub(super) struct Turns(VecDeque<PeerKey>);

impl Turns {
    /// Whether the line is `key`'s now; where it is another's, `key` waits behind those who wait already.
    pub(super) fn is_on(&mut self, key: PeerKey) -> bool {
        match self.0.front() {
            None => true,
            Some(front) if *front == key => true,
            Some(_) => {
                if !self.0.contains(&key) {
                    self.0.push_back(key);
                }
                false
            }
        }
    }

    /// Ends a turn: how long `key` has to wait with a timer of its own, if it is the next; and who is to be woken.
    pub(super) fn end(&mut self, key: PeerKey, turn: Turn) -> (Option<Duration>, Option<PeerKey>) {
        match turn {
            Turn::Over => (None, self.leave(key)),
            Turn::Others => (None, None),
            Turn::Wait { took, wait } => {
                if self.0.is_empty() {
                    self.0.push_back(key);
                } else if took {
                    self.0.rotate_left(1);
                }
                match self.0.front() {
                    Some(next) if *next != key => (None, Some(*next)),
                    _ => (Some(wait), None),
                }
            }
        }
    }

    /// `key` needs the line no more. Who is to be woken for that.
    pub(super) fn leave(&mut self, key: PeerKey) -> Option<PeerKey> {
        let was_on = self.0.front() == Some(&key);
        self.0.retain(|other| *other != key);
        self.0.front().copied().filter(|_| was_on)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(1);

    #[test]
    fn everybody_has_a_turn() {
        let mut turns = Turns::default();
        assert!(turns.is_on(1));
        assert_eq!(turns.end(1, Turn::Wait { took: true, wait: WAIT }), (Some(WAIT), None));
        assert!(!turns.is_on(2));
        assert!(!turns.is_on(3));
        assert!(!turns.is_on(2));
        assert_eq!(turns.end(2, Turn::Others), (None, None));
        // Waiting in vain does not cost the turn.
        assert_eq!(turns.end(1, Turn::Wait { took: false, wait: WAIT }), (Some(WAIT), None));
        assert_eq!(turns.end(1, Turn::Wait { took: true, wait: WAIT }), (None, Some(2)));
        assert!(!turns.is_on(1));
        assert_eq!(turns.leave(3), None);
        assert_eq!(turns.end(2, Turn::Over), (None, Some(1)));
        assert!(turns.is_on(1));
        assert_eq!(turns.end(1, Turn::Over), (None, None));
        assert!(turns.is_on(4));
    }
}
