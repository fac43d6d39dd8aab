//! A queue within one thread. Tokio's channels are made for several threads: each send there costs atomic operations, and their
//! cooperative budget can make a full queue look empty.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// Any number of writers, one reader.
#[derive(Debug)]
pub(super) struct Queue<T> {
    items: RefCell<VecDeque<T>>,
    reader: RefCell<Option<Waker>>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { items: RefCell::default(), reader: RefCell::new(None) }
    }
}

impl<T> Queue<T> {
    /// Adds an item and wakes the reader.
    pub(super) fn push(&self, item: T) {
        self.items.borrow_mut().push_back(item);
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    /// The oldest item, where there is one.
    pub(super) fn try_pop(&self) -> Option<T> {
        self.items.borrow_mut().pop_front()
    }

    /// The oldest item, waiting for one. May be dropped at any moment without losing an item.
    pub(super) async fn pop(&self) -> T {
        poll_fn(|context| match self.try_pop() {
            Some(item) => Poll::Ready(item),
            None => {
                *self.reader.borrow_mut() = Some(context.waker().clone());
                Poll::Pending
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[tokio::test]
    async fn items_come_in_order_and_wake_a_waiting_reader() {
        let queue = Rc::new(Queue::default());
        let writer = Rc::clone(&queue);
        let tasks = tokio::task::LocalSet::new();
        tasks
            .run_until(async {
                tokio::task::spawn_local(async move {
                    writer.push(1);
                    tokio::task::yield_now().await;
                    writer.push(2);
                });
                assert_eq!((queue.pop().await, queue.pop().await, queue.try_pop()), (1, 2, None));
            })
            .await;
    }
}
