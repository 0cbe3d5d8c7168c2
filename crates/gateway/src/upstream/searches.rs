//! Identical searches under way at the same time are one call: who comes later waits for the answer to the first.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};
use http::Request;
use outdial_core::{AccountId, Error, SearchPage};

use super::Priority;

/// Searches that others can join; those beyond are made by themselves.
const LIMIT: usize = 1_024;

/// What came of a search, for all who wait for it.
pub type Found = Result<Arc<SearchPage>, Error>;
type Search = Shared<BoxFuture<'static, Found>>;

/// What makes two searches one: the request itself, and who waits. Somebody's request is not to wait behind the background.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SearchKey {
    account: AccountId,
    priority: Priority,
    uri: String,
    body: Bytes,
}

impl SearchKey {
    /// The key of a request.
    pub fn new(account: &AccountId, priority: Priority, request: &Request<Bytes>) -> Self {
        let (uri, body) = (request.uri().to_string(), request.body().clone());
        Self { account: account.clone(), priority, uri, body }
    }
}

/// Searches under way. Each goes on as long as somebody waits for it, whoever began it.
#[derive(Clone, Default)]
pub struct Searches(Arc<Mutex<HashMap<SearchKey, WeakShared<BoxFuture<'static, Found>>>>>);

impl Searches {
    /// Joins the search of this key, or makes it. Answers whether it was there.
    pub fn join(&self, key: SearchKey, make: impl FnOnce() -> BoxFuture<'static, Found>) -> (Search, bool) {
        let mut under_way = self.under_way();
        if let Some(search) = under_way.get(&key).and_then(WeakShared::upgrade) {
            return (search, true);
        }
        if under_way.len() >= LIMIT {
            under_way.retain(|_, search| search.upgrade().is_some());
        }
        let (searches, ended, work) = (self.clone(), key.clone(), make());
        let search = async move {
            let found = work.await;
            searches.under_way().remove(&ended);
            found
        };
        let search = search.boxed().shared();
        if under_way.len() < LIMIT
            && let Some(weak) = search.downgrade()
        {
            under_way.insert(key, weak);
        }
        (search, false)
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<SearchKey, WeakShared<BoxFuture<'static, Found>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;

    fn key(body: &'static str) -> SearchKey {
        let request = Request::post("http://vendor.test/search").body(Bytes::from(body)).unwrap();
        SearchKey::new(&"ic-1".parse().unwrap(), Priority::Interactive, &request)
    }

    struct Vendor {
        calls: AtomicUsize,
        answer: Notify,
    }

    fn vendor() -> Arc<Vendor> {
        Arc::new(Vendor { calls: AtomicUsize::new(0), answer: Notify::new() })
    }

    fn ask(vendor: &Arc<Vendor>) -> BoxFuture<'static, Found> {
        let vendor = Arc::clone(vendor);
        async move {
            vendor.calls.fetch_add(1, Ordering::Relaxed);
            vendor.answer.notified().await;
            Ok(Arc::default())
        }
        .boxed()
    }

    #[tokio::test]
    async fn identical_searches_are_one_call() {
        let (searches, vendor) = (Searches::default(), vendor());
        let (mut leader, was_there) = searches.join(key("a"), || ask(&vendor));
        assert!(!was_there);
        assert!(futures_util::poll!(&mut leader).is_pending());
        let (follower, was_there) = searches.join(key("a"), || ask(&vendor));
        assert!(was_there);
        let (mut other, was_there) = searches.join(key("b"), || ask(&vendor));
        assert!(!was_there, "another query is another call");
        assert!(futures_util::poll!(&mut other).is_pending());
        // The one who began goes away; the one who joined gets the answer.
        drop((leader, other));
        vendor.answer.notify_one();
        assert!(follower.await.is_ok());
        assert_eq!(vendor.calls.load(Ordering::Relaxed), 2);
        let (_, was_there) = searches.join(key("a"), || ask(&vendor));
        assert!(!was_there, "a search that ended is made again");
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_not_joined() {
        let (searches, vendor) = (Searches::default(), vendor());
        let (mut alone, _) = searches.join(key("a"), || ask(&vendor));
        assert!(futures_util::poll!(&mut alone).is_pending());
        drop(alone);
        assert!(!searches.join(key("a"), || ask(&vendor)).1);
    }

    #[tokio::test]
    async fn searches_to_join_are_bounded() {
        let (searches, vendor) = (Searches::default(), vendor());
        let text = |n: usize| -> &'static str { Box::leak(n.to_string().into_boxed_str()) };
        let held: Vec<_> = (0..LIMIT).map(|n| searches.join(key(text(n)), || ask(&vendor)).0).collect();
        let (beyond, _) = searches.join(key("beyond"), || ask(&vendor));
        assert_eq!(searches.under_way().len(), LIMIT);
        drop((held, beyond));
        let _next = searches.join(key("next"), || ask(&vendor));
        assert_eq!(searches.under_way().len(), 1, "what nobody waits for makes room");
    }
}
