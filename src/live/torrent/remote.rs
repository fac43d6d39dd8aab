//! What is known of one peer.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use crate::journey::Cause;
use crate::unit::Tick;

use super::super::wire::{BLOCK, Offer, Span};
use super::bits::Bits;

/// Requests under way at first, and at least.
const FIRST_WINDOW: u32 = 8;
const LEAST_WINDOW: u32 = 2;
/// Requests that any client lets wait, where it does not say how many (libtorrent's `max_allowed_in_request_queue` is 2,000, its
/// default for others 250).
const USUAL_QUEUE: u32 = 250;
/// Requests under way at most: 16 MiB.
const MOST_WINDOW: u32 = 1_024;
/// How much of a peer's rate is kept under way. Longer than any round trip, shorter than libtorrent's three seconds
/// (`request_queue_time`): more would only wait in the peer.
const QUEUE_TIME: f64 = 1.0;
/// Growth of the rate within a second below which more requests do not help.
const STILL_GROWING: f64 = 1.1;
/// How long a peer that was asked may send nothing before others are asked in its stead (libtorrent's `piece_timeout`).
pub(super) const SNUBBED_AFTER: Duration = Duration::from_secs(20);
/// Void requests that are remembered: as many as can be under way.
const MAX_DROPPED: usize = MOST_WINDOW as usize;
/// Requests of a peer that wait to be served; further ones are refused.
pub(super) const MAX_QUEUE: usize = 500;

/// How a connection came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Meeting {
    /// Where the peer is; of its connection, not where it listens.
    pub(in super::super) address: SocketAddr,
    /// Whether the peer connected to us.
    pub(in super::super) incoming: bool,
    /// Its id.
    pub(in super::super) peer_id: [u8; 20],
    /// Whether it speaks the extension protocol.
    pub(in super::super) extended: bool,
    /// Whether it speaks the Fast extension.
    pub(in super::super) fast: bool,
    /// Whether it is one of Squall's own visitors.
    pub(in super::super) visitor: bool,
}

/// A peer that one is connected to.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) meeting: Meeting,
    pub(super) offer: Offer,
    pub(super) has: Bits,
    /// Whether it has said anything, as every client does that has a piece.
    pub(super) heard: bool,
    /// Said before the number of pieces was known.
    pub(super) has_all: bool,
    pub(super) chokes_us: bool,
    pub(super) choked: bool,
    pub(super) wants_us: bool,
    pub(super) wanted: bool,
    /// Pieces that it gives in spite of a choke.
    pub(super) allowed: Vec<u32>,
    /// Pieces that we give it in spite of a choke.
    pub(super) may_have: Vec<u32>,
    /// What it was asked for and has not answered.
    pub(super) asked: VecDeque<Span>,
    /// What it was asked for and need not answer any more.
    pub(super) dropped: VecDeque<Span>,
    /// What it asked for.
    pub(super) queue: VecDeque<Span>,
    pub(super) out: Vec<u8>,
    pub(super) down: Flow,
    pub(super) up: Flow,
    window: Window,
    /// When it last gave something, or was first asked.
    progress: Tick,
    pub(super) snubbed: bool,
    /// Why the connection must end.
    pub(super) doomed: Option<Cause>,
    /// When it was last told of other peers.
    pub(super) told_peers: Option<Tick>,
}

/// Bytes in one direction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flow {
    /// In all.
    pub(super) total: u64,
    /// Since the last round of choking, and in the one before it.
    recent: [u64; 2],
}

impl Flow {
    pub(super) fn add(&mut self, bytes: u32) {
        self.total += u64::from(bytes);
        self.recent[0] += u64::from(bytes);
    }

    /// Bytes of the last two rounds: BEP 3's average over twenty seconds.
    pub(super) fn recent(&self) -> u64 {
        self.recent[0] + self.recent[1]
    }

    pub(super) fn next_round(&mut self) {
        self.recent = [0, self.recent[0]];
    }
}

/// How many requests to keep under way.
#[derive(Clone, Copy, Debug)]
struct Window {
    size: u32,
    /// Whether each block that comes makes room for one more.
    opening: bool,
    since: Tick,
    bytes: u64,
    last: f64,
}

impl Remote {
    pub(super) fn new(meeting: Meeting, now: Tick) -> Self {
        Self {
            meeting,
            offer: Offer::default(),
            has: Bits::default(),
            heard: false,
            has_all: false,
            chokes_us: true,
            choked: true,
            wants_us: false,
            wanted: false,
            allowed: Vec::new(),
            may_have: Vec::new(),
            asked: VecDeque::new(),
            dropped: VecDeque::new(),
            queue: VecDeque::new(),
            out: Vec::new(),
            down: Flow::default(),
            up: Flow::default(),
            window: Window { size: FIRST_WINDOW, opening: true, since: now, bytes: 0, last: 0.0 },
            progress: now,
            snubbed: false,
            doomed: None,
            told_peers: None,
        }
    }

    /// Whether something wanted may come from it: it says so, or has not said anything yet.
    pub(super) fn is_promising(&self) -> bool {
        self.wanted || !self.heard
    }

    /// Whether one more request may go out.
    pub(super) fn has_room(&self) -> bool {
        let queue = self.offer.reqq.unwrap_or(USUAL_QUEUE).clamp(1, MOST_WINDOW);
        (self.asked.len() as u32) < if self.snubbed { 1 } else { self.window.size.min(queue) }
    }

    /// Where it listens, as far as it says.
    pub(super) fn listens(&self) -> Option<SocketAddr> {
        let Meeting { address, incoming, .. } = self.meeting;
        if incoming { self.offer.port.map(|port| SocketAddr::new(address.ip(), port)) } else { Some(address) }
    }

    pub(super) fn ask(&mut self, span: Span, now: Tick) {
        if self.asked.is_empty() {
            self.progress = now;
        }
        self.asked.push_back(span);
    }

    /// Remembers requests that are void: their blocks may be on their way.
    pub(super) fn drop_requests<'a>(&mut self, asked: impl IntoIterator<Item = &'a Span>) {
        self.dropped.extend(asked);
        // Peers without the Fast extension never say which they refuse: the oldest are over.
        self.dropped.drain(..self.dropped.len().saturating_sub(MAX_DROPPED));
    }

    /// Takes note of a block that was asked for.
    pub(super) fn gave(&mut self, bytes: u32, now: Tick) {
        self.down.add(bytes);
        self.progress = now;
        self.snubbed = false;
        self.window.arrived(bytes, now);
    }

    /// When it counts as silent, if it owes something.
    pub(super) fn silent_at(&self) -> Option<Tick> {
        (!self.asked.is_empty() && !self.snubbed).then(|| self.progress + SNUBBED_AFTER)
    }
}

impl Window {
    fn arrived(&mut self, bytes: u32, now: Tick) {
        self.bytes += u64::from(bytes);
        if self.opening {
            self.size = (self.size + 1).min(MOST_WINDOW);
        }
        let elapsed = now.since(self.since).as_secs_f64();
        if elapsed < 1.0 {
            return;
        }
        let rate = self.bytes as f64 / elapsed;
        self.opening &= rate > STILL_GROWING * self.last;
        if !self.opening {
            let blocks = (rate * QUEUE_TIME / f64::from(BLOCK)).ceil() as u32;
            self.size = (blocks + LEAST_WINDOW).clamp(LEAST_WINDOW, MOST_WINDOW);
        }
        (self.since, self.bytes, self.last) = (now, 0, rate);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_settles_at_a_second_of_the_rate() {
        let mut now = Tick::ZERO;
        let mut window = Window { size: FIRST_WINDOW, opening: true, since: now, bytes: 0, last: 0.0 };
        // 100 blocks a second.
        for _ in 0..1_000 {
            now = now + Duration::from_millis(10);
            window.arrived(BLOCK, now);
        }
        assert!(!window.opening);
        assert!((100..=104).contains(&window.size), "{}", window.size);
        // The line becomes slow.
        for _ in 0..10 {
            now = now + Duration::from_millis(500);
            window.arrived(BLOCK, now);
        }
        assert_eq!(window.size, 2 + LEAST_WINDOW);
    }
}
