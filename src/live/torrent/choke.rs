//! Whom to serve (BEP 3): every ten seconds those who give most, and one more by chance, so that newcomers and better partners are found.
//! Who has everything serves each in turn, as libtorrent's seeds do by default (`round_robin`).

use std::time::Duration;

use rand::seq::IteratorRandom;

use crate::unit::Tick;

use super::super::wire::{self, Plain, Spanning};
use super::Torrent;
use super::picker::PeerKey;

const ROUND: Duration = Duration::from_secs(10);
/// Rounds that the optimistic choice lasts.
const OPTIMISTIC_ROUNDS: u32 = 3;

/// Where in time choking is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rounds {
    next: Option<Tick>,
    count: u32,
    optimistic: Option<PeerKey>,
}

impl Torrent {
    /// Holds a round of choking where one is due; when the next is, if somebody wants anything.
    pub(super) fn choke_round(&mut self, now: Tick) -> Option<Tick> {
        if !self.remotes.values().any(|it| it.wants_us || !it.choked) {
            self.choking.next = None;
            return None;
        }
        let next = *self.choking.next.get_or_insert(now + ROUND);
        if next > now {
            return Some(next);
        }
        if self.choking.count.is_multiple_of(OPTIMISTIC_ROUNDS) {
            self.choking.optimistic = None;
        }
        self.choking.count = self.choking.count.wrapping_add(1);
        let served = self.best();
        for key in self.keys() {
            self.set_choked(key, !served.contains(&key));
            if let Some(remote) = self.remotes.get_mut(&key) {
                remote.up.next_round();
                remote.down.next_round();
            }
        }
        self.choking.next = Some(now + ROUND);
        self.choking.next
    }

    /// Gives slots that are free to those who want one, without waiting for the round.
    pub(super) fn fill_slots(&mut self, now: Tick) {
        let served = self.remotes.values().filter(|it| !it.choked && it.wants_us).count();
        let waiting: Vec<PeerKey> =
            self.remotes.iter().filter(|(_, it)| it.choked && it.wants_us).map(|(key, _)| *key).collect();
        for key in waiting.into_iter().take((self.own.slots + 1).saturating_sub(served)) {
            self.set_choked(key, false);
        }
        self.choking.next.get_or_insert(now + ROUND);
    }

    /// Who is served in the next round.
    fn best(&mut self) -> Vec<PeerKey> {
        let seeding = self.picker.as_ref().is_some_and(|picker| picker.is_done());
        let mut wanting: Vec<(u64, PeerKey)> = Vec::new();
        for (key, remote) in self.remotes.iter().filter(|(_, it)| it.wants_us) {
            // Highest first: to a seed, who got least; else, who gave most.
            let merit = if seeding { u64::MAX - remote.up.total } else { remote.down.recent() };
            wanting.push((merit, *key));
        }
        wanting.sort_unstable_by(|a, b| b.cmp(a));
        let mut served: Vec<PeerKey> = wanting.iter().take(self.own.slots).map(|(_, key)| *key).collect();
        let mut others = wanting.iter().skip(self.own.slots).map(|(_, key)| *key);
        let kept = self.choking.optimistic.filter(|key| others.clone().any(|other| other == *key));
        let optimistic = match kept {
            Some(key) => Some(key),
            None => others.by_ref().choose(&mut self.random),
        };
        self.choking.optimistic = optimistic;
        served.extend(optimistic);
        served
    }

    fn set_choked(&mut self, key: PeerKey, choked: bool) {
        let Some(remote) = self.remotes.get_mut(&key).filter(|remote| remote.choked != choked) else {
            return;
        };
        remote.choked = choked;
        wire::plain(&mut remote.out, if choked { Plain::Choke } else { Plain::Unchoke });
        if choked {
            for span in std::mem::take(&mut remote.queue) {
                if remote.meeting.fast {
                    wire::spanning(&mut remote.out, Spanning::Reject, span);
                }
            }
        }
        self.awake.push(key);
    }
}
