//! Small values and leases in Redis, on the server's clock.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use redis::cmd;

use super::{Redis, scripts, to_millis};
use crate::{Kv, Lease, Leases, StoreError, roles::check_value};

#[async_trait]
impl Kv for Redis {
    async fn get_value(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        let mut get = cmd("GET");
        get.arg(self.keys.of("value", key));
        let value: Option<Vec<u8>> = self.shared.read(&get).await?;
        Ok(value.map(Bytes::from))
    }

    async fn put_value(&self, key: &str, value: Bytes, ttl: Duration) -> Result<(), StoreError> {
        check_value(key, &value)?;
        let name = self.keys.of("value", key);
        if ttl.is_zero() {
            let mut delete = cmd("DEL");
            delete.arg(name);
            return self.shared.ask_again(&delete).await;
        }
        let mut set = cmd("SET");
        set.arg(name).arg(value.as_ref()).arg("PX").arg(to_millis(ttl));
        self.shared.ask_again(&set).await
    }

    async fn compare_and_set(
        &self,
        key: &str,
        expected: Option<&Bytes>,
        value: Bytes,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        check_value(key, &value)?;
        let mut call = scripts::call(&self.scripts.compare_and_set, &self.keys);
        call.arg(key).arg(u8::from(expected.is_some()));
        call.arg(expected.map(Bytes::as_ref).unwrap_or_default()).arg(value.as_ref()).arg(to_millis(ttl));
        // Not repeated after a cut: the first time may have set it, and then the second finds another value than expected. Who
        // wins does something that may be done once only, which a replica that is promoted has to know of.
        let mut session = self.writer.session().await?;
        let is_set: bool = session.ask(&call).await?;
        if is_set {
            self.wait_for_replicas(&mut session, true).await?;
        }
        Ok(is_set)
    }

    async fn delete_value(&self, key: &str) -> Result<bool, StoreError> {
        let mut delete = cmd("DEL");
        delete.arg(self.keys.of("value", key));
        self.shared.ask(&delete).await
    }
}

#[async_trait]
impl Leases for Redis {
    async fn acquire_lease(
        &self,
        name: &str,
        owner: &str,
        ttl: Duration,
    ) -> Result<Option<Lease>, StoreError> {
        let mut call = scripts::call(&self.scripts.acquire_lease, &self.keys);
        call.arg(name).arg(owner).arg(to_millis(ttl));
        let fence: u64 = self.shared.ask_again(&call).await?;
        Ok((fence > 0).then(|| Lease { name: name.to_owned(), owner: owner.to_owned(), fence }))
    }

    async fn renew_lease(&self, lease: &Lease, ttl: Duration) -> Result<bool, StoreError> {
        self.keep_lease(lease, to_millis(ttl)).await
    }

    async fn release_lease(&self, lease: &Lease) -> Result<(), StoreError> {
        self.keep_lease(lease, 0).await.map(|_| ())
    }
}

impl Redis {
    async fn keep_lease(&self, lease: &Lease, life: u64) -> Result<bool, StoreError> {
        let mut call = scripts::call(&self.scripts.keep_lease, &self.keys);
        call.arg(&lease.name).arg(&lease.owner).arg(lease.fence).arg(life);
        self.shared.ask_again(&call).await
    }
}
