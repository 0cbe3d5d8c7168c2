//! A line of calls that wait for their turn: the first of it asks, the others wait for it.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};

use tokio::sync::{Semaphore, SemaphorePermit, watch};

/// Calls that wait in one line; more are refused at once.
const WAITING_LIMIT: usize = 1_024;

/// A line.
#[derive(Debug)]
pub struct Line {
    first: Semaphore,
    waiting: watch::Sender<usize>,
    /// The same number, for those who only look.
    length: AtomicUsize,
}

/// The first place of a line, until it is dropped.
#[derive(Debug)]
pub struct FirstPlace<'a> {
    _permit: SemaphorePermit<'a>,
    _waiter: Waiter<'a>,
}

/// One of those who wait.
#[derive(Debug)]
struct Waiter<'a>(&'a Line);

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        // Nobody waits for anything but its end.
        self.0.waiting.send_if_modified(|waiting| {
            *waiting = waiting.saturating_sub(1);
            self.0.length.store(*waiting, Ordering::SeqCst);
            *waiting == 0
        });
    }
}

impl Line {
    /// An empty one.
    pub fn new() -> Self {
        Self { first: Semaphore::new(1), waiting: watch::channel(0).0, length: AtomicUsize::new(0) }
    }

    /// Waits to be the first, at most until the deadline. `None` when that passed, or when too many wait.
    pub async fn enter(&self, deadline: Instant) -> Option<FirstPlace<'_>> {
        let mut has_room = false;
        self.waiting.send_if_modified(|waiting| {
            has_room = *waiting < WAITING_LIMIT;
            *waiting += usize::from(has_room);
            self.length.store(*waiting, Ordering::SeqCst);
            false
        });
        if !has_room {
            return None;
        }
        let waiter = Waiter(self);
        let permit = tokio::time::timeout_at(deadline.into(), self.first.acquire()).await;
        Some(FirstPlace { _permit: permit.ok()?.ok()?, _waiter: waiter })
    }

    /// Whether nobody waits here.
    pub fn is_empty(&self) -> bool {
        self.length.load(Ordering::SeqCst) == 0
    }

    /// Waits until nobody waits here, at most until the deadline. Answers whether that came about.
    pub async fn is_empty_before(&self, deadline: Instant) -> bool {
        let mut waiting = self.waiting.subscribe();
        let emptied = waiting.wait_for(|waiting| *waiting == 0);
        tokio::time::timeout_at(deadline.into(), emptied).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(30)
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(30)
    }

    #[tokio::test]
    async fn one_is_first_and_the_others_follow_in_order() {
        let line = Line::new();
        let first = line.enter(later()).await.unwrap();
        assert!(line.enter(soon()).await.is_none(), "there is one first place");
        let order = std::sync::Mutex::new(Vec::new());
        let next = async |name| {
            let place = line.enter(later()).await.unwrap();
            order.lock().unwrap().push(name);
            drop(place);
        };
        let release = async {
            tokio::task::yield_now().await;
            drop(first);
        };
        tokio::join!(next("b"), next("c"), next("d"), release);
        assert_eq!(*order.lock().unwrap(), ["b", "c", "d"]);
    }

    #[tokio::test]
    async fn who_gave_up_waits_no_longer() {
        let line = Line::new();
        assert!(line.is_empty_before(soon()).await);
        let first = line.enter(later()).await.unwrap();
        assert!(line.enter(soon()).await.is_none());
        assert!(!line.is_empty_before(soon()).await);
        drop(first);
        assert!(line.is_empty_before(soon()).await);
    }

    #[tokio::test]
    async fn a_line_is_bounded() {
        let line = Line::new();
        let _first = line.enter(later()).await.unwrap();
        let waiting: Vec<_> = (1..WAITING_LIMIT).map(|_| Box::pin(line.enter(later()))).collect();
        let mut all = futures_util::future::join_all(waiting);
        assert!(futures_util::poll!(&mut all).is_pending());
        let begin = Instant::now();
        assert!(line.enter(later()).await.is_none());
        assert!(begin.elapsed() < Duration::from_secs(10), "it is refused at once");
    }
}
