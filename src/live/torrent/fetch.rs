//! What is asked of peers, and what they give.

use std::time::Duration;

use crate::journey::Cause;
use crate::unit::Tick;

use super::super::shaper::Bucket;
use super::super::wire::{self, BLOCK, Numbered, Span, Spanning};
use super::Torrent;
use super::bits::Bits;
use super::picker::{PeerKey, Taken};
use super::turns::Turn;

impl Torrent {
    /// Requests to this peer are void.
    pub(super) fn take_back(&mut self, key: PeerKey) {
        let Some(remote) = self.remotes.get_mut(&key) else { return };
        let asked = std::mem::take(&mut remote.asked);
        remote.drop_requests(&asked);
        self.give_up(&asked);
        if !asked.is_empty() {
            self.wake_others(key);
        }
    }

    /// Requests that will not be answered: others can be asked, and the line is not charged for them.
    pub(super) fn give_up<'a>(&mut self, asked: impl IntoIterator<Item = &'a Span>) {
        for span in asked {
            self.void += u64::from(span.length);
            if let Some(picker) = &mut self.picker {
                picker.give_up(*span);
            }
        }
    }

    /// Asks a peer for as many blocks as it, the window and the line allow; how long the line makes the next one wait.
    pub(in super::super) fn ask(&mut self, key: PeerKey, line: &mut Bucket, now: Tick) -> Option<Duration> {
        line.give_back(now, std::mem::take(&mut self.void));
        let turn = self.ask_in_turn(key, line, now);
        let (wait, next) = self.asking.end(key, turn);
        self.awake.extend(next);
        wait
    }

    fn ask_in_turn(&mut self, key: PeerKey, line: &mut Bucket, now: Tick) -> Turn {
        let (Some(picker), Some(remote)) = (&mut self.picker, self.remotes.get_mut(&key)) else {
            return Turn::Over;
        };
        if !picker.wants_of(&remote.has) || (remote.chokes_us && remote.allowed.is_empty()) {
            return Turn::Over;
        }
        let mut took = false;
        while remote.has_room() {
            if !self.asking.is_on(key) {
                return Turn::Others;
            }
            // A line that is full has no use for the block that would be picked.
            if let Err(wait) = line.ready(now, BLOCK) {
                return Turn::Wait { took, wait };
            }
            let idle = remote.asked.is_empty();
            let span = if remote.chokes_us {
                let mut allowed = Bits::default();
                remote.allowed.iter().filter(|it| remote.has.has(**it)).for_each(|it| {
                    allowed.add(*it);
                });
                picker.pick(key, &allowed, idle)
            } else {
                picker.pick(key, &remote.has, idle)
            };
            let Some(span) = span else { break };
            // It is ready.
            let _ = line.take(now, span.length);
            wire::spanning(&mut remote.out, Spanning::Request, span);
            remote.ask(span, now);
            took = true;
        }
        Turn::Over
    }

    pub(super) fn rejected(&mut self, key: PeerKey, span: Span) -> Result<(), Cause> {
        let Some(remote) = self.remotes.get_mut(&key) else { return Ok(()) };
        if let Some(at) = remote.asked.iter().position(|asked| *asked == span) {
            remote.asked.remove(at);
            remote.allowed.retain(|piece| *piece != span.piece);
            self.give_up([&span]);
            self.wake_others(key);
            return Ok(());
        }
        match remote.dropped.iter().position(|dropped| *dropped == span) {
            Some(at) => {
                remote.dropped.remove(at);
                Ok(())
            }
            // BEP 6: a refusal of what was never asked ends the connection.
            None => Err(Cause::Malformed),
        }
    }

    pub(super) fn block(
        &mut self,
        key: PeerKey,
        piece: u32,
        begin: u32,
        data: &[u8],
        now: Tick,
    ) -> Result<(), Cause> {
        let Some(remote) = self.remotes.get_mut(&key) else { return Ok(()) };
        let length = u32::try_from(data.len()).map_err(|_| Cause::Malformed)?;
        let span = Span { piece, begin, length };
        match remote.asked.iter().position(|asked| (asked.piece, asked.begin) == (piece, begin)) {
            Some(at) if remote.asked.get(at) == Some(&span) => drop(remote.asked.remove(at)),
            Some(_) => return Err(Cause::Malformed),
            // Given up, cancelled, or taken back by a choke, and on its way all the same: as good as any where it is still missing. Nobody
            // else has an excuse.
            None => match remote.dropped.iter().position(|dropped| *dropped == span) {
                Some(at) => {
                    remote.dropped.remove(at);
                    self.void = self.void.saturating_sub(u64::from(length));
                }
                None => return Err(Cause::Malformed),
            },
        }
        remote.gave(length, now);
        if remote.meeting.visitor {
            self.tally.from_visitors += u64::from(length);
        } else {
            self.tally.from_others += u64::from(length);
        }
        self.taken(key, span, data)
    }

    /// Takes in a block that a peer or a web seed was asked for.
    ///
    /// # Errors
    /// [`Cause::Incorrect`] where it is known to be its fault that the piece is wrong.
    pub(super) fn taken(&mut self, key: PeerKey, span: Span, data: &[u8]) -> Result<(), Cause> {
        let Some(picker) = &mut self.picker else { return Ok(()) };
        match picker.take(key, span, data) {
            Taken::Again => self.tally.wasted += u64::from(span.length),
            Taken::Stored => self.cancel_elsewhere(key, span),
            Taken::Whole => {
                self.cancel_elsewhere(key, span);
                self.whole(span.piece);
            }
            Taken::Wrong(givers) => {
                self.tally.wrong_pieces += 1;
                if let [only] = givers[..] {
                    if only == key {
                        return Err(Cause::Incorrect);
                    }
                    if let Some(remote) = self.remotes.get_mut(&only) {
                        remote.doomed = Some(Cause::Incorrect);
                        self.awake.push(only);
                    }
                    self.web.doom(only);
                }
                self.wake_others(key);
            }
        }
        Ok(())
    }

    /// Counts what a peer had sent of its blocks when the conversation ended.
    pub(in super::super) fn came_too_late(&mut self, key: PeerKey, bytes: u64) {
        let Some(remote) = self.remotes.get(&key) else { return };
        let owed = remote.asked.iter().chain(&remote.dropped);
        let bytes = bytes.min(owed.map(|span| u64::from(span.length)).sum());
        let from =
            if remote.meeting.visitor { &mut self.tally.from_visitors } else { &mut self.tally.from_others };
        *from += bytes;
        self.tally.wasted += bytes;
    }

    /// In the end the same block is asked of several; the first to give it spares the others the work.
    pub(super) fn cancel_elsewhere(&mut self, key: PeerKey, span: Span) {
        for (other, remote) in self.remotes.iter_mut().filter(|(other, _)| **other != key) {
            if let Some(at) = remote.asked.iter().position(|asked| *asked == span) {
                remote.asked.remove(at);
                remote.drop_requests([&span]);
                self.void += u64::from(span.length);
                wire::spanning(&mut remote.out, Spanning::Cancel, span);
                self.awake.push(*other);
            }
        }
    }

    pub(super) fn whole(&mut self, piece: u32) {
        self.fresh += 1;
        self.tally.pieces += 1;
        self.tally.copies += u64::from(self.picker.as_ref().map_or(0, |picker| picker.copies(piece)));
        if self.is_complete() {
            // Web seeds have nothing to wait for any more.
            self.web.stir();
        }
        let serves = self.store.can_serve(self.hash, piece);
        for key in self.keys() {
            if let Some(remote) = self.remotes.get_mut(&key)
                && serves
                && !remote.has.has(piece)
            {
                wire::numbered(&mut remote.out, Numbered::Have, piece);
                self.awake.push(key);
            }
            self.show_interest(key);
        }
    }
}
