//! Tells of deliveries that were given up, by an event in the log. What is told is written first, so that after a crash the same
//! is told again, under the same id, and nothing else.

use std::sync::Arc;

use futures_util::FutureExt;
use outdial_store::{Batch, ExhaustedNotice, StoreError};

use super::{Context, Worker};
use crate::delivery::{notice, plan::Plan};

impl Worker {
    /// Settles what is told next, when it is time, and begins to tell what is settled and written.
    pub(super) fn begin_telling(&mut self) {
        self.ledger.begin_telling(Some(self.context.clock.now()));
        if self.telling.is_some() || self.is_quiet() {
            return;
        }
        if let Some(notice) = self.written_notice.take() {
            self.telling = Some(tell(self.context.clone(), Arc::clone(&self.plan), notice).boxed());
        }
    }

    pub(super) fn take_told(&mut self, told: Result<(), StoreError>) {
        self.telling = None;
        match told {
            Ok(()) => self.ledger.end_telling(self.context.clock.now()),
            Err(error) => {
                self.written_notice = self.ledger.exhaustion().telling.clone();
                self.pause(&error);
            }
        }
    }

    /// At the end: what is settled, and what was gathered since, without regard to the time.
    pub(super) async fn tell_rest(&mut self) -> Result<(), StoreError> {
        self.telling = None;
        loop {
            self.ledger.begin_telling(None);
            let Some(notice) = self.ledger.exhaustion().telling.clone() else { return Ok(()) };
            if !self.flush().await? {
                return Ok(());
            }
            tell(self.context.clone(), Arc::clone(&self.plan), notice).await?;
            self.ledger.end_telling(self.context.clock.now());
        }
    }
}

async fn tell(context: Context, plan: Arc<Plan>, notice: ExhaustedNotice) -> Result<(), StoreError> {
    let now = context.clock.now();
    let events = vec![notice::event_of(notice, &plan.subscription, now)];
    context.store.append(Batch { events, ..Batch::default() }, now).await.map(|_| ())
}
