//! What a worker knows of the swarms that it drives, and answers held against it. Pure: no socket, no clock.
//!
//! A worker knows its own visitors alone, and trackers differ in what they take for one peer (address and port, or peer id). So every
//! rule here is one-sided: it calls wrong only what no correct tracker could answer, whatever the other workers did meanwhile. What it
//! knows is kept by address and port, in bounded memory; a swarm that outgrows it is no longer judged by its members.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::journey::{Oddity, Peer};
use crate::plan::AnnounceEvent;
use crate::unit::Tick;

use super::source::{Owner, Sources};
use super::tracker::{Announce, Answer, Counts};

/// Members that a worker remembers over all swarms: about 32 MB.
const MAX_MEMBERS: usize = 1 << 18;
/// Intervals that a client could obey [assumed]. 5 to 180 minutes are usual; aquatic's HTTP and WebSocket trackers ask for 2 out of the
/// box.
const INTERVALS: std::ops::RangeInclusive<i64> = 60..=86_400;
/// How long a tracker that names no interval keeps a peer at least: clients take half an hour then (libtorrent).
const USUAL_INTERVAL: i64 = 1_800;
/// Visitors of another worker for each of this one, at most, and how many more at the start [assumed].
const UNEVEN: (u64, u64) = (2, 64);

/// A swarm: the tracker that keeps it, and its torrent.
pub(super) type SwarmId = (SocketAddr, [u8; 20]);

/// What a tracker takes for one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// By address and port; the address is unspecified where only the system knows it.
    At(Peer),
    /// By peer id: WebSocket trackers, where a peer has no port.
    Id([u8; 20]),
}

/// Who else may be in the swarms.
#[derive(Clone, Debug)]
pub(super) struct Company {
    /// The target's own peers; empty where others may be there as well.
    pub(super) own_peers: Vec<Peer>,
    /// The port of every visitor, where they share one.
    pub(super) stand_in_port: Option<u16>,
    /// Where visitors are.
    pub(super) sources: Sources,
    /// Workers of the run.
    pub(super) workers: u32,
}

impl Company {
    fn is_closed(&self) -> bool {
        !self.own_peers.is_empty()
    }

    /// Whether a visitor's address that was given up belongs to nobody: true where the swarms are closed, and where every visitor draws
    /// a port of its own. Else it may be one of an earlier run's.
    fn knows_who_left(&self) -> bool {
        self.is_closed() || self.stand_in_port.is_none()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Seed,
    Leech,
}

/// What is known about one address and port in one swarm.
#[derive(Clone, Debug, Default)]
struct Member {
    /// Visitors there that announced and did not stop.
    inside: u32,
    /// Announces under way.
    under_way: u32,
    /// An announce had no answer: nobody knows what became of it.
    doubt: bool,
    /// In the swarm for sure, as this.
    certain: Option<Role>,
    /// Until when, unless it announces again.
    expires: Tick,
    /// Whether it waits in the queue of those that expire.
    queued: bool,
    /// When the last one there was told that it is out.
    left: Option<Tick>,
}

/// Numbers by role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct ByRole {
    seeds: u64,
    leeches: u64,
}

impl ByRole {
    fn of(&mut self, role: Role) -> &mut u64 {
        match role {
            Role::Seed => &mut self.seeds,
            Role::Leech => &mut self.leeches,
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Swarm {
    // By addresses and ids of this worker's own visitors: nobody else can choose them so that they collide.
    members: FxHashMap<Key, Member>,
    /// Members that are in it for sure.
    certain: ByRole,
    /// How many stopped being certain, ever.
    lost: ByRole,
    /// Visitors that announced, ever.
    visitors: u64,
    /// Each member once, with when it was to expire as it was put here.
    expiring: VecDeque<(Tick, Key)>,
    /// Somebody could not be remembered.
    overfull: bool,
}

impl Swarm {
    fn doubt_certainty(&mut self, key: &Key) {
        if let Some(role) = self.members.get_mut(key).and_then(|member| member.certain.take()) {
            *self.certain.of(role) -= 1;
            *self.lost.of(role) += 1;
        }
    }

    /// Those whose interval is over may have been dropped by the tracker.
    fn expire(&mut self, now: Tick) {
        while let Some(&(_, key)) = self.expiring.front().filter(|(expires, _)| *expires <= now) {
            self.expiring.pop_front();
            let Some(member) = self.members.get_mut(&key) else { continue };
            if member.certain.is_some() && member.expires > now {
                // It has announced again since.
                self.expiring.push_back((member.expires, key));
            } else {
                member.queued = false;
                self.doubt_certainty(&key);
            }
        }
    }

    /// What was certain at the time of `before` and is so still.
    fn certain_since(&self, before: &Before) -> ByRole {
        let since = |certain: u64, then: u64, now: u64| certain.saturating_sub(now - then);
        ByRole {
            seeds: since(before.certain.seeds, before.lost.seeds, self.lost.seeds),
            leeches: since(before.certain.leeches, before.lost.leeches, self.lost.leeches),
        }
    }

    /// What the tracker has forgotten, a restarted one all of it, is held against it once.
    fn forget_certainty(&mut self) {
        let keys: Vec<Key> = self.members.keys().copied().collect();
        keys.iter().for_each(|key| self.doubt_certainty(key));
    }
}

/// What was known when a question was asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    at: Tick,
    certain: ByRole,
    lost: ByRole,
}

/// The swarms of a worker.
#[derive(Debug)]
pub(super) struct Swarms {
    company: Company,
    swarms: FxHashMap<SwarmId, Swarm>,
    members: usize,
}

impl Swarms {
    pub(super) fn new(company: Company) -> Self {
        Self { company, swarms: FxHashMap::default(), members: 0 }
    }

    /// A question about a swarm is asked.
    pub(super) fn ask(&mut self, id: SwarmId, now: Tick) -> Before {
        let swarm = self.swarms.entry(id).or_default();
        swarm.expire(now);
        Before { at: now, certain: swarm.certain, lost: swarm.lost }
    }

    /// An announce begins. `new` says that this visitor has not announced in the swarm before.
    pub(super) fn begin(&mut self, id: SwarmId, key: Key, new: bool, now: Tick) -> Before {
        let swarm = self.swarms.entry(id).or_default();
        swarm.visitors += u64::from(new);
        if !swarm.members.contains_key(&key) {
            if self.members >= MAX_MEMBERS {
                swarm.overfull = true;
                return self.ask(id, now);
            }
            self.members += 1;
        }
        let member = swarm.members.entry(key).or_default();
        member.under_way += 1;
        member.left = None;
        swarm.doubt_certainty(&key);
        self.ask(id, now)
    }

    /// The announce that began was given up: nobody knows whether the tracker has heard of it.
    pub(super) fn given_up(&mut self, id: SwarmId, key: Key) {
        if let Some(member) = self.swarms.get_mut(&id).and_then(|swarm| swarm.members.get_mut(&key)) {
            member.under_way -= 1;
            member.doubt = true;
        }
    }

    /// The announce that began was answered. `new` says that this visitor was outside until then, where it stops, that it was inside.
    pub(super) fn answered(
        &mut self,
        id: SwarmId,
        key: Key,
        announce: &Announce,
        new: bool,
        answer: &Answer,
        now: Tick,
    ) {
        let Some(swarm) = self.swarms.get_mut(&id) else { return };
        let Some(member) = swarm.members.get_mut(&key) else { return };
        member.under_way -= 1;
        if announce.event == AnnounceEvent::Stopped {
            member.inside = member.inside.saturating_sub(u32::from(new));
            member.left = (member.inside == 0 && member.under_way == 0 && !member.doubt).then_some(now);
            return;
        }
        member.inside += u32::from(new);
        if member.under_way > 0 || member.doubt {
            return;
        }
        let role = if announce.left == 0 { Role::Seed } else { Role::Leech };
        let interval = answer.interval.filter(|interval| INTERVALS.contains(interval));
        let interval = interval.unwrap_or(USUAL_INTERVAL).unsigned_abs();
        member.certain = Some(role);
        member.expires = now + Duration::from_secs(interval);
        *swarm.certain.of(role) += 1;
        if !std::mem::replace(&mut member.queued, true) {
            swarm.expiring.push_back((member.expires, key));
        }
    }

    /// A visitor is gone without a word: its connection was its presence.
    pub(super) fn gone(&mut self, id: SwarmId, key: Key) {
        if let Some(swarm) = self.swarms.get_mut(&id) {
            swarm.doubt_certainty(&key);
            if swarm.members.remove(&key).is_some() {
                self.members -= 1;
            }
        }
    }

    /// What is wrong or odd about the answer to an announce of the peer at `own`.
    pub(super) fn judge(
        &mut self,
        id: SwarmId,
        own: Option<Peer>,
        announce: &Announce,
        answer: &Answer,
        before: &Before,
    ) -> Vec<Oddity> {
        let mut odd = BTreeSet::new();
        if answer.interval.is_some_and(|interval| !INTERVALS.contains(&interval)) {
            odd.insert(Oddity::Interval);
        }
        if answer.warning {
            odd.insert(Oddity::Warning);
        }
        let of_family = |v6: bool| answer.peers.iter().filter(|peer| peer.is_ipv6() == v6).count();
        let most = of_family(false).max(of_family(true));
        if usize::try_from(announce.numwant).is_ok_and(|wanted| wanted > 0 && most > wanted) {
            odd.insert(Oddity::TooMany);
        }
        odd.extend(self.judge_counts(id, answer.counts, before));
        odd.extend(self.judge_peers(id, own, announce, answer, before));
        odd.into_iter().collect()
    }

    /// What is wrong about the numbers of a swarm.
    pub(super) fn judge_counts(&mut self, id: SwarmId, counts: Counts, before: &Before) -> Vec<Oddity> {
        let Some(swarm) = self.swarms.get_mut(&id) else { return Vec::new() };
        let least = swarm.certain_since(before);
        let others = u64::from(self.company.workers.saturating_sub(1));
        let (factor, more) = UNEVEN;
        let visitors = swarm.visitors + others * (factor * swarm.visitors + more);
        let most = self.company.is_closed().then(|| self.company.own_peers.len() as u64 + visitors);
        let wrong = |count: Option<u64>, least: u64| {
            count.is_some_and(|count| count < least || most.is_some_and(|most| count > most))
        };
        let mut odd = Vec::new();
        if wrong(counts.seeds, least.seeds) {
            odd.push(Oddity::Seeds);
        }
        if wrong(counts.leeches, least.leeches) {
            odd.push(Oddity::Leeches);
        }
        if !odd.is_empty() {
            swarm.forget_certainty();
        }
        odd
    }

    fn judge_peers(
        &self,
        id: SwarmId,
        own: Option<Peer>,
        announce: &Announce,
        answer: &Answer,
        before: &Before,
    ) -> BTreeSet<Oddity> {
        let mut odd = BTreeSet::new();
        let Some(swarm) = self.swarms.get(&id) else { return odd };
        let oneself = |peer: &Peer| own == Some(*peer);
        let tellable = self.company.is_closed() || self.company.knows_who_left();
        for &peer in answer.peers.iter().filter(|peer| tellable && !oneself(peer)) {
            let member = swarm.members.get(&Key::At(peer));
            if self.is_stranger(swarm, peer, member) {
                odd.insert(Oddity::Stranger);
            }
            let left = member.and_then(|member| member.left);
            if self.company.knows_who_left() && left.is_some_and(|left| left < before.at) {
                odd.insert(Oddity::Stale);
            }
        }
        if answer.peers.iter().any(oneself) {
            let others = swarm.certain_since(before);
            // Who asked for one peer may have been given itself by lot.
            let alone = announce.numwant != 1
                && answer.peers.iter().all(oneself)
                && others.seeds + others.leeches > 0;
            odd.insert(if alone { Oddity::OnlyOneself } else { Oddity::Oneself });
        }
        odd
    }

    fn is_stranger(&self, swarm: &Swarm, peer: Peer, member: Option<&Member>) -> bool {
        if !self.company.is_closed() || self.company.own_peers.contains(&peer) {
            return false;
        }
        match self.company.sources.owner(peer.ip()) {
            Owner::Own if !swarm.overfull => member.is_none(),
            Owner::Others => true,
            // At the stand-in's port, or at that of some worker's listener.
            Owner::Own | Owner::Visitors | Owner::Unknown => false,
        }
    }
}

#[cfg(test)]
mod tests;
