//! Web seeds (BEP 19) as peers that have everything: what is asked of them, and what they give. As libtorrent's `web_peer_connection`,
//! they are asked for runs of blocks that lie side by side, and each run is one request.

use std::collections::{BTreeMap, VecDeque};

use std::time::Duration;

use crate::journey::Cause;
use crate::unit::Tick;

use super::super::metainfo::Layout;
use super::super::shaper::Bucket;
use super::super::wire::{BLOCK, Span};
use super::Torrent;
use super::bits::Bits;
use super::picker::{PeerKey, Picker};
use super::turns::Turn;

/// The web seeds of a visitor.
#[derive(Debug, Default)]
pub(super) struct Web {
    seeds: BTreeMap<PeerKey, Seed>,
    /// Whether there may be something to ask for that was not there before.
    stirred: bool,
}

#[derive(Debug)]
struct Seed {
    standing: Standing,
    /// What it was asked for and has not given, side by side.
    asked: VecDeque<Span>,
    /// The beginning of the first block of these.
    begun: Vec<u8>,
    /// Why it must not be asked any more.
    doomed: Option<Cause>,
}

/// How it stands with a web seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Standing {
    /// It has not given anything yet.
    Tried,
    /// It gives.
    Gives,
    /// It wants to be left alone for a while, and said for how long.
    Waits,
    /// It failed, and is left alone for a while.
    Fails,
}

/// Bytes that lie side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Run {
    /// Where they begin among the pieces.
    pub(in super::super) begin: u64,
    /// Where they end.
    pub(in super::super) end: u64,
}

impl Web {
    /// Makes those look again who found nothing to ask for.
    pub(super) fn stir(&mut self) {
        self.stirred = true;
    }

    /// Those who are to look again.
    pub(super) fn awake(&mut self) -> impl Iterator<Item = PeerKey> {
        let stirred = std::mem::take(&mut self.stirred);
        self.seeds.keys().copied().filter(move |_| stirred)
    }

    fn any(&self, standing: Standing) -> bool {
        self.seeds.values().any(|seed| seed.standing == standing)
    }

    /// Whether one gives.
    pub(super) fn gives(&self) -> bool {
        self.any(Standing::Gives)
    }

    /// What a web seed gave was wrong, as it turned out later.
    pub(super) fn doom(&mut self, key: PeerKey) {
        if let Some(seed) = self.seeds.get_mut(&key) {
            seed.doomed = Some(Cause::Incorrect);
            self.stirred = true;
        }
    }
}

impl Torrent {
    /// A web seed is there.
    pub(in super::super) fn join_web(&mut self) -> PeerKey {
        let key = self.next_key;
        self.next_key += 1;
        let seed =
            Seed { standing: Standing::Tried, asked: VecDeque::new(), begun: Vec::new(), doomed: None };
        self.web.seeds.insert(key, seed);
        key
    }

    /// A web seed is gone.
    pub(in super::super) fn leave_web(&mut self, key: PeerKey) {
        self.take_back_web(key);
        self.web.seeds.remove(&key);
        self.awake.extend(self.asking.leave(key));
    }

    /// Number of web seeds that are not left alone for a while.
    pub(in super::super) fn web_seeds(&self) -> usize {
        let busy = |seed: &&Seed| matches!(seed.standing, Standing::Tried | Standing::Gives);
        self.web.seeds.values().filter(busy).count()
    }

    /// Whether something may come from a web seed before long.
    pub(in super::super) fn hopes_for_web(&self) -> bool {
        // Nothing can be asked for while it is not known what there is.
        self.layout.is_some() && self.web.seeds.values().any(|seed| seed.standing != Standing::Fails)
    }

    /// How it stands with a web seed from now on.
    pub(in super::super) fn stands(&mut self, key: PeerKey, standing: Standing) {
        if let Some(seed) = self.web.seeds.get_mut(&key) {
            seed.standing = standing;
        }
    }

    /// What it means if patience ends now.
    pub(in super::super) fn overdue(&self) -> Cause {
        if self.connections() > 0 && self.is_held_back() && !self.web.gives() {
            Cause::Rejected
        } else if self.connections() == 0 && self.web.any(Standing::Waits) && !self.web.gives() {
            Cause::Throttled
        } else {
            Cause::Timeout
        }
    }

    /// Whether all pieces are there.
    pub(in super::super) fn is_complete(&self) -> bool {
        self.picker.as_ref().is_some_and(|picker| picker.have().count() == self.pieces())
    }

    /// Picks what a web seed is asked for next, of at most so many bytes but for its last block; `None` where there is nothing now.
    ///
    /// # Errors
    /// Why it must not be asked any more.
    pub(in super::super) fn ask_web(&mut self, key: PeerKey, most: u64) -> Result<Option<Run>, Cause> {
        let (Some(picker), Some(layout), Some(seed)) =
            (&mut self.picker, &self.layout, self.web.seeds.get_mut(&key))
        else {
            return Ok(None);
        };
        if let Some(cause) = seed.doomed {
            return Err(cause);
        }
        if picker.is_done() {
            return Ok(None);
        }
        seed.asked = side_by_side(picker, layout, key, most);
        let run = seed.asked.front().zip(seed.asked.back());
        Ok(run.map(|(first, last)| Run { begin: offset(layout, first), end: end(layout, last) }))
    }

    /// Takes bytes in that continue what a web seed was asked for; how many blocks became whole.
    ///
    /// # Errors
    /// Why it must not be asked any more: [`Cause::Incorrect`] where a hash is wrong, [`Cause::Malformed`] where this is more than it was
    /// asked for.
    pub(in super::super) fn take_web(&mut self, key: PeerKey, data: &[u8]) -> Result<u32, Cause> {
        let mut rest = data;
        let mut blocks = 0;
        while !rest.is_empty() {
            let Some(seed) = self.web.seeds.get_mut(&key) else { return Ok(blocks) };
            if let Some(cause) = seed.doomed {
                return Err(cause);
            }
            seed.standing = Standing::Gives;
            let span = seed.asked.front().copied().ok_or(Cause::Malformed)?;
            let missing = (span.length as usize).saturating_sub(seed.begun.len());
            let (now, later) = rest.split_at(missing.min(rest.len()));
            rest = later;
            seed.begun.extend_from_slice(now);
            if now.len() == missing {
                seed.asked.pop_front();
                let mut block = std::mem::take(&mut seed.begun);
                let taken = self.taken(key, span, &block);
                block.clear();
                if let Some(seed) = self.web.seeds.get_mut(&key) {
                    seed.begun = block;
                }
                taken?;
                blocks += 1;
            }
        }
        Ok(blocks)
    }

    /// Takes the place on the line of bytes that came from a web seed, block by block and in turn with the peers, and says how long the
    /// line makes what is `left` of them wait; where it is another's turn, the web seed is woken.
    pub(in super::super) fn carry_web(
        &mut self,
        key: PeerKey,
        left: &mut usize,
        line: &mut Bucket,
        now: Tick,
    ) -> Option<Duration> {
        let mut took = false;
        let turn = loop {
            let block = u32::try_from(*left).unwrap_or(BLOCK).min(BLOCK);
            if block == 0 {
                break Turn::Over;
            }
            if !self.asking.is_on(key) {
                break Turn::Others;
            }
            if let Err(wait) = line.take(now, block) {
                break Turn::Wait { took, wait };
            }
            took = true;
            *left -= block as usize;
        };
        let (wait, next) = self.asking.end(key, turn);
        self.awake.extend(next);
        wait
    }

    /// What a web seed was asked for and has not given is free for others.
    pub(in super::super) fn take_back_web(&mut self, key: PeerKey) {
        let Some(seed) = self.web.seeds.get_mut(&key) else { return };
        self.tally.wasted += std::mem::take(&mut seed.begun).len() as u64;
        let asked = std::mem::take(&mut seed.asked);
        if let Some(picker) = &mut self.picker {
            asked.iter().for_each(|span| picker.give_up(*span));
        }
        if !asked.is_empty() {
            self.wake_others(key);
        }
    }
}

/// Where a block begins among the pieces.
fn offset(layout: &Layout, span: &Span) -> u64 {
    u64::from(span.piece) * u64::from(layout.piece_length()) + u64::from(span.begin)
}

fn end(layout: &Layout, span: &Span) -> u64 {
    offset(layout, span) + u64::from(span.length)
}

/// A block as the picker has it, and those after it that nobody was asked for, into the next pieces where these are not begun.
fn side_by_side(picker: &mut Picker, layout: &Layout, key: PeerKey, most: u64) -> VecDeque<Span> {
    let pieces = layout.pieces();
    let mut run = VecDeque::new();
    // In the end even what others were asked for: they may be slow.
    let Some(first) = picker.pick(key, &Bits::all(pieces), true) else { return run };
    let begin = offset(layout, &first);
    run.push_back(first);
    let (mut last, mut piece) = (first, first.piece);
    while end(layout, &last) - begin < most {
        let mut only = Bits::default();
        only.add(piece);
        match picker.pick(key, &only, false) {
            Some(span) if offset(layout, &span) == end(layout, &last) => {
                run.push_back(span);
                last = span;
            }
            Some(elsewhere) => {
                picker.give_up(elsewhere);
                break;
            }
            None if piece == last.piece && piece + 1 < pieces => piece += 1,
            None => break,
        }
    }
    run
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use rand::SeedableRng;
    use rand_xoshiro::SplitMix64;

    use super::super::super::metainfo::info_of;
    use super::super::{Own, Store};
    use super::*;

    const PIECE: usize = 40_000;

    fn content() -> Vec<u8> {
        (0..210_000_u32).map(|n| (n * 7 / 3) as u8).collect()
    }

    /// Six pieces: five of three blocks, and a short one of one.
    fn torrent() -> Torrent {
        let (info, hash) = info_of(&content(), PIECE);
        let layout = Rc::new(Layout::from_info(&info, &hash.into()).unwrap());
        let own = Own { info_hash: hash.into(), client: "test/1".into(), port: None, slots: 4 };
        let mut torrent =
            Torrent::new(own, Some(layout), Rc::new(Store::default()), SplitMix64::seed_from_u64(1));
        torrent.want(6);
        torrent
    }

    fn give(torrent: &mut Torrent, key: PeerKey, run: Run) -> Result<(), Cause> {
        // In parts that have nothing to do with blocks.
        content()[run.begin as usize..run.end as usize]
            .chunks(7_001)
            .try_for_each(|part| torrent.take_web(key, part).map(drop))
    }

    #[test]
    fn runs_go_on_into_the_next_pieces_and_cover_everything_once() {
        let mut torrent = torrent();
        let key = torrent.join_web();
        assert!(!torrent.is_ready() && torrent.hopes_for_web());
        let mut given = Vec::new();
        while let Some(run) = torrent.ask_web(key, 70_000).unwrap() {
            assert!(run.end - run.begin < 70_000 + u64::from(BLOCK), "{run:?}");
            give(&mut torrent, key, run).unwrap();
            given.push((run.begin, run.end));
        }
        assert!(torrent.is_complete() && torrent.is_ready());
        given.sort_unstable();
        assert!(given.windows(2).all(|two| two[0].1 == two[1].0), "{given:?}");
        assert_eq!((given[0].0, given[given.len() - 1].1), (0, 210_000));
        assert!(given.len() < 6, "some are of more than a piece: {given:?}");
        assert_eq!(torrent.tally().pieces, 6);
        assert!((0..6).all(|_| torrent.take_piece()) && !torrent.take_piece());
    }

    #[test]
    fn what_was_not_given_is_asked_of_others() {
        let mut torrent = torrent();
        let (first, second) = (torrent.join_web(), torrent.join_web());
        torrent.awake();
        let run = torrent.ask_web(first, u64::MAX).unwrap().unwrap();
        assert_eq!(torrent.take_web(first, &content()[run.begin as usize..][..20_000]), Ok(1));
        assert!(!torrent.awake().contains(&second));
        torrent.take_back_web(first);
        assert!(torrent.awake().contains(&second));
        while let Some(run) = torrent.ask_web(second, u64::MAX).unwrap() {
            give(&mut torrent, second, run).unwrap();
        }
        assert!(torrent.is_complete());
        let wasted = 20_000 - u64::from(BLOCK);
        assert_eq!(torrent.tally().wasted, wasted, "the block that was whole is not asked for again");
    }

    #[test]
    fn wrong_bytes_are_its_fault_and_more_than_was_asked_for_too() {
        let mut torrent = torrent();
        let key = torrent.join_web();
        let run = torrent.ask_web(key, 1).unwrap().unwrap();
        assert_eq!(run.end - run.begin, run.end % PIECE as u64 - run.begin % PIECE as u64, "within a piece");
        assert_eq!(
            torrent.take_web(key, &vec![0; (run.end - run.begin) as usize + 1]),
            Err(Cause::Malformed)
        );
        torrent.take_back_web(key);
        let whole = torrent.ask_web(key, u64::MAX).unwrap().unwrap();
        let lies = vec![1; (whole.end - whole.begin) as usize];
        assert_eq!(torrent.take_web(key, &lies), Err(Cause::Incorrect));
        assert!(torrent.tally().wrong_pieces > 0);
    }

    #[test]
    fn a_piece_that_two_gave_is_fetched_again_from_one() {
        let mut torrent = torrent();
        let (liar, honest) = (torrent.join_web(), torrent.join_web());
        let run = torrent.ask_web(liar, 1).unwrap().unwrap();
        torrent.take_web(liar, &vec![9; (run.end - run.begin) as usize]).unwrap();
        while let Some(run) = torrent.ask_web(honest, u64::MAX).unwrap() {
            give(&mut torrent, honest, run).unwrap();
        }
        assert!(torrent.is_complete());
        assert_eq!(torrent.tally().wrong_pieces, 1);
    }

    #[test]
    fn it_takes_turns_at_the_line_with_others() {
        let mut torrent = torrent();
        let (one, two) = (torrent.join_web(), torrent.join_web());
        let (mut now, mut line) = (Tick::ZERO, Bucket::new(1e6, Tick::ZERO));
        let mut left = [400_000_usize; 2];
        torrent.awake();
        while left != [0, 0] {
            let mut waits = Vec::new();
            // The first is always there first.
            for (key, left) in [one, two].into_iter().zip(&mut left) {
                waits.extend(torrent.carry_web(key, left, &mut line, now));
            }
            assert!(left[0].abs_diff(left[1]) <= 65_536 + 16_384, "{left:?}");
            if !waits.is_empty() {
                now = now + waits.into_iter().min().unwrap();
            } else {
                assert!(left == [0, 0] || !torrent.awake().is_empty(), "somebody goes on");
            }
        }
        assert!(now.as_secs_f64() > 0.73, "{now:?}");
        // Who leaves in its turn leaves it to the next.
        while torrent.carry_web(one, &mut usize::MAX.clone(), &mut line, now).is_none() {}
        assert_eq!(torrent.carry_web(two, &mut 1_000_000, &mut line, now), None);
        torrent.leave_web(one);
        assert!(torrent.awake().contains(&two));
    }

    #[test]
    fn patience_ends_for_the_reason_that_made_it_wait() {
        let mut torrent = torrent();
        assert_eq!(torrent.overdue(), Cause::Timeout);
        let key = torrent.join_web();
        torrent.stands(key, Standing::Waits);
        assert_eq!((torrent.overdue(), torrent.hopes_for_web()), (Cause::Throttled, true));
        assert_eq!(torrent.web_seeds(), 0, "another may be tried");
        torrent.stands(key, Standing::Fails);
        assert_eq!((torrent.overdue(), torrent.hopes_for_web()), (Cause::Timeout, false));
        torrent.stands(key, Standing::Tried);
        assert_eq!(torrent.web_seeds(), 1);
        torrent.leave_web(key);
        assert_eq!(torrent.web_seeds(), 0);
    }
}
