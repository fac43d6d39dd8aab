//! Datagrams that wait to be sent: those of one turn of the worker, put together for the system. Pure: no socket.
//!
//! Datagrams of one length between the same two addresses leave with one system call (UDP_SEGMENT); `sendmmsg` for the others gains
//! nothing (`benches/RESULTS.md`). Which of two visitors is first within a turn does not matter.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

/// Datagrams that the system cuts out of one buffer (its UDP_MAX_SEGMENTS is 128, 64 before Linux 6.9).
pub(in super::super) const MOST: usize = 64;
/// Bytes of one buffer: an IPv6 packet, less what its headers take.
const MOST_BYTES: usize = 65_000;
/// Batches that are looked at for one that a datagram can join: requests of a few lengths, to one server.
const OPEN: usize = 4;
/// Batches that are kept to be used again.
const SPARE: usize = 64;

/// Datagrams of one length, from one address to one other.
#[derive(Debug)]
pub(in super::super) struct Batch {
    pub(in super::super) to: SocketAddr,
    /// `None` is the system's choice.
    pub(in super::super) from: Option<IpAddr>,
    /// Bytes of each datagram.
    pub(in super::super) length: usize,
    /// All of them, one after the other.
    pub(in super::super) contents: Vec<u8>,
    /// The request that each of them is, where it is one.
    pub(super) transactions: Vec<Option<u32>>,
}

/// What waits to be sent.
#[derive(Debug, Default)]
pub(in super::super) struct Outbox {
    batches: VecDeque<Batch>,
    spare: Vec<Batch>,
}

impl Outbox {
    /// Adds a datagram.
    pub(in super::super) fn put(
        &mut self,
        datagram: &[u8],
        from: Option<IpAddr>,
        to: SocketAddr,
        transaction: Option<u32>,
    ) {
        let length = datagram.len();
        let joins = |batch: &&mut Batch| {
            (batch.to, batch.from, batch.length) == (to, from, length)
                && batch.transactions.len() < MOST
                && batch.contents.len() + length <= MOST_BYTES
        };
        let batch = match self.batches.iter_mut().rev().take(OPEN).find(joins) {
            // An empty datagram cannot be told from the next.
            Some(batch) if length > 0 => batch,
            _ => {
                let (contents, transactions) = self
                    .spare
                    .pop()
                    .map_or_else(Default::default, |batch| (batch.contents, batch.transactions));
                self.batches.push_back(Batch { to, from, length, contents, transactions });
                let last = self.batches.len() - 1;
                &mut self.batches[last]
            }
        };
        batch.contents.extend_from_slice(datagram);
        batch.transactions.push(transaction);
    }

    /// The batch that has waited longest.
    pub(in super::super) fn take(&mut self) -> Option<Batch> {
        self.batches.pop_front()
    }

    /// Gives a batch back that has been sent.
    pub(super) fn sent(&mut self, mut batch: Batch) {
        if self.spare.len() < SPARE {
            batch.contents.clear();
            batch.transactions.clear();
            self.spare.push(batch);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn place(n: u8) -> SocketAddr {
        ([127, 0, 0, n], 7_000).into()
    }

    #[test]
    fn requests_of_one_kind_leave_together() {
        let mut outbox = Outbox::default();
        for n in 0..100 {
            outbox.put(&[n; 16], None, place(1), Some(n.into()));
            outbox.put(&[n; 98], None, place(1), Some(n.into()));
        }
        let batches: Vec<Batch> = std::iter::from_fn(|| outbox.take()).collect();
        let sizes: Vec<_> = batches.iter().map(|it| (it.length, it.transactions.len())).collect();
        assert_eq!(sizes, [(16, 64), (98, 64), (16, 36), (98, 36)]);
        assert!(batches.iter().all(|it| it.contents.len() == it.length * it.transactions.len()));
        batches.into_iter().for_each(|batch| outbox.sent(batch));
        outbox.put(b"x", None, place(1), None);
        assert_eq!(outbox.take().unwrap().contents, b"x", "a batch that is used again is empty");
    }

    proptest! {
        /// Nothing is lost, changed or sent elsewhere; between two addresses requests of one length keep their order.
        #[test]
        fn what_is_put_is_taken(
            datagrams in prop::collection::vec((0_usize..3, 0_u8..3, prop::option::of(0_u8..3), any::<u8>()), 0..400),
        ) {
            type Key = (SocketAddr, Option<IpAddr>, usize);
            let (mut outbox, mut put) = (Outbox::default(), BTreeMap::<Key, Vec<(Vec<u8>, Option<u32>)>>::new());
            for (n, (length, to, from, byte)) in datagrams.into_iter().enumerate() {
                let (data, transaction) = (vec![byte; length * 20_000], (byte > 99).then_some(n as u32));
                let key = (place(to), from.map(|from| place(from).ip()), data.len());
                outbox.put(&data, key.1, key.0, transaction);
                put.entry(key).or_default().push((data, transaction));
            }
            let mut taken = BTreeMap::<Key, Vec<_>>::new();
            while let Some(batch) = outbox.take() {
                prop_assert!(batch.transactions.len() <= MOST && batch.contents.len() <= MOST_BYTES);
                for (n, transaction) in batch.transactions.iter().enumerate() {
                    let data = batch.contents[n * batch.length..][..batch.length].to_vec();
                    taken.entry((batch.to, batch.from, batch.length)).or_default().push((data, *transaction));
                }
                outbox.sent(batch);
            }
            prop_assert_eq!(taken, put);
        }
    }
}
