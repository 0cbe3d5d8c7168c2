//! Who may push, and how much at once.

use std::{net::IpAddr, sync::Arc, time::Duration};

use outdial_core::ExposeSecret;
use subtle::ConstantTimeEq;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{
    accounts::{Account, Accounts},
    config::PushConfig,
};

/// Bodies in memory are counted in these units, so that the count fits a semaphore's.
const UNIT: u64 = 1_024;

/// The gate before the push port.
pub struct Admission {
    accounts: Accounts,
    memory: Arc<Semaphore>,
    max_units: u32,
    max_wait: Duration,
    deadline: Duration,
}

/// Room for one body, until it is dropped.
pub struct Place {
    _memory: OwnedSemaphorePermit,
}

impl Admission {
    /// A gate with these bounds.
    pub fn new(accounts: Accounts, config: &PushConfig) -> Self {
        let max_units = u32::try_from(config.max_inflight / UNIT).unwrap_or(u32::MAX >> 4);
        let memory = Semaphore::new(usize::try_from(max_units).unwrap_or(Semaphore::MAX_PERMITS));
        let (max_wait, deadline) = (config.max_wait, config.deadline);
        Self { accounts, memory: Arc::new(memory), max_units, max_wait, deadline }
    }

    /// The account that a path names, if its secret is right and the sender may push. Unknown accounts take as long as
    /// known ones.
    pub fn find(&self, account: &str, token: &str, sender: Option<IpAddr>) -> Option<&Arc<Account>> {
        let mut found = None;
        for candidate in self.accounts.iter() {
            let named = candidate.id.as_str() == account;
            let fits = candidate
                .push
                .tokens
                .iter()
                .fold(false, |fits, secret| fits | is_same(secret.expose_secret(), token));
            if named && fits {
                found = Some(candidate);
            }
        }
        found.filter(|account| is_allowed(account, sender))
    }

    /// Room for a body of at most `bytes`; `None` when there was none in time. A vendor that does not repeat what was refused
    /// is given as long as a push may take.
    pub async fn enter(&self, bytes: u64, repeats: bool) -> Option<Place> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).clamp(1, self.max_units);
        let waiting = Arc::clone(&self.memory).acquire_many_owned(units);
        let max_wait = if repeats { self.max_wait } else { self.deadline };
        let memory = timeout(max_wait, waiting).await.ok()?.ok()?;
        Some(Place { _memory: memory })
    }
}

fn is_same(secret: &str, given: &str) -> bool {
    secret.as_bytes().ct_eq(given.as_bytes()).into()
}

fn is_allowed(account: &Account, sender: Option<IpAddr>) -> bool {
    let networks = &account.push.allow;
    if networks.is_empty() {
        return true;
    }
    let Some(sender) = sender else { return false };
    // An IPv4 sender on a socket for both is written as ::ffff:a.b.c.d.
    let sender = sender.to_canonical();
    networks.iter().any(|network| network.contains(&sender))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_does_not_repeat_is_waited_for_longer() {
        let config = PushConfig {
            deadline: Duration::from_secs(5),
            body_idle: Duration::from_secs(10),
            body_total: Duration::from_secs(60),
            max_inflight: 2 * UNIT,
            max_writes: 1,
            max_wait: Duration::from_millis(1),
            max_connections: 1,
        };
        let gate = Admission::new(Accounts::default(), &config);
        let first = gate.enter(2 * UNIT, true).await.unwrap();
        let leaving = async {
            assert!(gate.enter(1, true).await.is_none());
            drop(first);
        };
        let (second, ()) = tokio::join!(gate.enter(1, false), leaving);
        assert!(second.is_some());
    }
}
