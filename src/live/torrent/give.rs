//! What is given to peers.

use std::time::Duration;

use crate::journey::Cause;
use crate::unit::Tick;

use super::super::shaper::Bucket;
use super::super::wire::{self, BLOCK, BLOCK_HEAD, Numbered, Plain, Span, Spanning};
use super::bits::Bits;
use super::picker::PeerKey;
use super::remote::{MAX_QUEUE, Remote};
use super::turns::Turn;
use super::{Torrent, fast};

/// Bytes that wait to be written on one connection before the next block is taken from the queue.
pub(super) const MAX_WAITING: usize = 4 * (BLOCK as usize + BLOCK_HEAD);
/// The longest request that is served (BEP 3: everybody asks for 16 KiB, and 128 KiB is where clients of old drew the line).
const MAX_REQUEST: u32 = 128 << 10;

impl Torrent {
    /// The first message about pieces; without one a peer of the Fast extension would wait for it (BEP 6).
    pub(super) fn say_what_we_have(&self, remote: &mut Remote) {
        let shared = self.shared();
        let fast = remote.meeting.fast;
        match (&self.layout, shared.count()) {
            (Some(layout), count) if fast && count == layout.pieces() => {
                wire::plain(&mut remote.out, Plain::HaveAll)
            }
            (_, 0) if fast => wire::plain(&mut remote.out, Plain::HaveNone),
            (_, 0) => {}
            _ => wire::bitfield(&mut remote.out, shared.as_wire()),
        }
    }

    /// Whoever comes with nothing may have a few pieces at once.
    pub(super) fn allow_some(&self, remote: &mut Remote) {
        let shared = self.shared();
        if !remote.meeting.fast || shared.count() == 0 {
            return;
        }
        let pieces = self.pieces();
        let ip = remote.meeting.address.ip();
        remote.may_have = fast::allowed(ip, &self.hash, pieces, fast::ALLOWED);
        remote.may_have.retain(|piece| shared.has(*piece));
        remote
            .may_have
            .iter()
            .for_each(|piece| wire::numbered(&mut remote.out, Numbered::AllowedFast, *piece));
    }

    /// Pieces that can be given to others.
    pub(super) fn shared(&self) -> Bits {
        let mut shared = Bits::none(self.layout.as_ref().map_or(0, |layout| layout.pieces()));
        for piece in self.picker.iter().flat_map(|picker| picker.have().iter()) {
            if self.store.can_serve(self.hash, piece) {
                shared.add(piece);
            }
        }
        shared
    }

    pub(super) fn requested(&mut self, key: PeerKey, span: Span) -> Result<(), Cause> {
        let Some(layout) = &self.layout else { return Err(Cause::Malformed) };
        let Some(remote) = self.remotes.get_mut(&key) else { return Ok(()) };
        let length = layout.piece(span.piece).map_or(0, |piece| piece.length);
        let end = span.begin.checked_add(span.length);
        if span.length == 0 || span.length > MAX_REQUEST || end.is_none_or(|end| end > length) {
            return Err(Cause::Malformed);
        }
        let has = self.picker.as_ref().is_some_and(|picker| picker.have().has(span.piece));
        let serves = has && self.store.can_serve(self.hash, span.piece);
        let allowed = remote.may_have.contains(&span.piece) && remote.has.count() < fast::ALLOWED as u32;
        if (remote.choked && !allowed) || !serves || remote.queue.len() >= MAX_QUEUE {
            if remote.meeting.fast {
                wire::spanning(&mut remote.out, Spanning::Reject, span);
            }
            return Ok(());
        }
        remote.queue.push_back(span);
        Ok(())
    }

    /// Puts as many blocks that a peer asked for into its way as fit; how long the line makes the next one wait.
    pub(in super::super) fn serve(
        &mut self,
        key: PeerKey,
        waiting: usize,
        line: &mut Bucket,
        now: Tick,
    ) -> Option<Duration> {
        let turn = self.serve_in_turn(key, waiting, line, now);
        let (wait, next) = self.serving.end(key, turn);
        self.awake.extend(next);
        wait
    }

    fn serve_in_turn(&mut self, key: PeerKey, waiting: usize, line: &mut Bucket, now: Tick) -> Turn {
        let Some(remote) = self.remotes.get_mut(&key) else { return Turn::Over };
        let mut took = false;
        while waiting + remote.out.len() < MAX_WAITING
            && let Some(span) = remote.queue.front().copied()
        {
            if !self.serving.is_on(key) {
                return Turn::Others;
            }
            if let Err(wait) = line.take(now, span.length) {
                return Turn::Wait { took, wait };
            }
            took = true;
            remote.queue.pop_front();
            let start = remote.out.len();
            wire::block_head(&mut remote.out, span);
            if self.store.append(self.hash, span, &mut remote.out) {
                remote.up.add(span.length);
                self.uploaded += u64::from(span.length);
                if remote.meeting.visitor {
                    self.tally.to_visitors += u64::from(span.length);
                } else {
                    self.tally.to_others += u64::from(span.length);
                }
            } else {
                remote.out.truncate(start);
            }
        }
        Turn::Over
    }
}
