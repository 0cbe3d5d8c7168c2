//! Ends what the calls of one thread wait for too long. There is one timer for all of them: to set one for each call and to
//! take it back is a good part of what a small call costs. A wait ends late, by a tick at most.

use std::{
    cell::RefCell,
    pin::pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often it is looked for waits that are over.
const TICK: Duration = Duration::from_millis(20);

/// The waits of one thread.
#[derive(Default)]
pub(super) struct Overdue(RefCell<Waits>);

#[derive(Default)]
struct Waits {
    places: Vec<Option<Wait>>,
    free: Vec<usize>,
    is_ticking: bool,
}

struct Wait {
    until: Instant,
    is_over: bool,
    waker: Waker,
}

impl Overdue {
    /// What comes of `work`, or `None` when it has not ended by then.
    pub(super) async fn within<T>(
        self: &Rc<Self>,
        until: Instant,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let mut work = pin!(work);
        let mut place = Place { overdue: self, at: None };
        std::future::poll_fn(|context| match work.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => place.poll(until, context).map(|()| None),
        })
        .await
    }

    /// Looks for waits that are over, as long as there are any.
    async fn tick(self: Rc<Self>) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let now = ticks.tick().await;
            let mut waits = self.0.borrow_mut();
            if waits.places.len() == waits.free.len() {
                *waits = Waits::default();
                return;
            }
            for wait in waits.places.iter_mut().flatten().filter(|wait| wait.until <= now) {
                wait.is_over = true;
                wait.waker.wake_by_ref();
            }
        }
    }
}

/// The place of one wait, until it is dropped.
struct Place<'a> {
    overdue: &'a Rc<Overdue>,
    at: Option<usize>,
}

impl Place<'_> {
    fn poll(&mut self, until: Instant, context: &Context<'_>) -> Poll<()> {
        let mut waits = self.overdue.0.borrow_mut();
        let Some(wait) = self.at.and_then(|at| waits.places.get_mut(at)?.as_mut()) else {
            self.at = Some(waits.enter(Wait { until, is_over: false, waker: context.waker().clone() }));
            if !std::mem::replace(&mut waits.is_ticking, true) {
                tokio::task::spawn_local(Rc::clone(self.overdue).tick());
            }
            return Poll::Pending;
        };
        if wait.is_over {
            return Poll::Ready(());
        }
        if !wait.waker.will_wake(context.waker()) {
            wait.waker = context.waker().clone();
        }
        Poll::Pending
    }
}

impl Waits {
    fn enter(&mut self, wait: Wait) -> usize {
        match self.free.pop() {
            Some(at) => {
                self.places[at] = Some(wait);
                at
            }
            None => {
                self.places.push(Some(wait));
                self.places.len() - 1
            }
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(at) = self.at {
            let mut waits = self.overdue.0.borrow_mut();
            let wait = waits.places[at].take();
            waits.free.push(at);
            // Not while they are borrowed: what goes with the last waker of a task is not known here.
            drop((waits, wait));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::task::LocalSet;

    use super::*;

    async fn on_one_thread(test: impl AsyncFnOnce(Rc<Overdue>)) {
        let (set, limit) = (LocalSet::new(), Duration::from_secs(30));
        let tested = tokio::time::timeout(limit, set.run_until(test(Rc::default())));
        assert!(tested.await.is_ok(), "something waits for ever");
    }

    #[tokio::test]
    async fn each_wait_ends_when_its_time_is_over() {
        on_one_thread(async |overdue| {
            let begin = Instant::now();
            let wait = async |ticks| {
                let until = begin + TICK * ticks;
                assert!(overdue.within(until, pending::<()>()).await.is_none());
                assert!(Instant::now() >= until);
                ticks
            };
            let first = tokio::select! { n = wait(50) => n, n = wait(2) => n, n = wait(100) => n };
            assert_eq!(first, 2, "the others wait longer");
            for _ in 0..1_000 {
                if !overdue.0.borrow().is_ticking {
                    break;
                }
                tokio::time::sleep(TICK).await;
            }
            assert!(!overdue.0.borrow().is_ticking, "nobody waits");
            tokio::join!(wait(4), wait(5));
        })
        .await;
    }

    #[tokio::test]
    async fn what_comes_in_time_is_had_and_leaves_its_place() {
        on_one_thread(async |overdue| {
            let late = Instant::now() + Duration::from_secs(60);
            assert_eq!(overdue.within(late, ready(7)).await, Some(7));
            assert!(overdue.0.borrow().places.is_empty(), "what is there at once waits for nothing");
            for n in 0..10 {
                let work = async {
                    tokio::task::yield_now().await;
                    n
                };
                assert_eq!(overdue.within(late, work).await, Some(n));
            }
            let mut given_up = Box::pin(overdue.within(late, pending::<()>()));
            assert!(futures_util::poll!(&mut given_up).is_pending());
            assert_eq!((overdue.0.borrow().places.len(), overdue.0.borrow().free.len()), (1, 0));
            drop(given_up);
            assert_eq!((overdue.0.borrow().places.len(), overdue.0.borrow().free.len()), (1, 1));
        })
        .await;
    }
}
