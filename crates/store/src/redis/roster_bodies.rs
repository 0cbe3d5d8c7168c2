//! Bodies of the parts of rosters in Redis.

use async_trait::async_trait;
use bytes::Bytes;
use outdial_core::Timestamp;
use redis::cmd;

use super::{Redis, scripts};
use crate::{RosterBodies, StoreError, roles::check_chunk};

#[async_trait]
impl RosterBodies for Redis {
    async fn put_body_chunk(
        &self,
        roster_id: &str,
        part: u32,
        chunk: u32,
        bytes: Bytes,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        check_chunk(&bytes)?;
        let mut call = scripts::call(&self.scripts.put_body_chunk, &self.keys);
        call.arg(format!("{roster_id}/{part}")).arg(chunk).arg(now.millis()).arg(bytes.as_ref());
        self.write_durably(&call).await
    }

    async fn get_body_chunk(
        &self,
        roster_id: &str,
        part: u32,
        chunk: u32,
    ) -> Result<Option<Bytes>, StoreError> {
        let mut get = cmd("HGET");
        get.arg(self.keys.of("body", format_args!("{roster_id}/{part}"))).arg(chunk);
        let bytes: Option<Vec<u8>> = self.shared.read(&get).await?;
        Ok(bytes.map(Bytes::from))
    }

    async fn count_body_chunks(&self, roster_id: &str, part: u32) -> Result<u64, StoreError> {
        let mut length = cmd("HLEN");
        length.arg(self.keys.of("body", format_args!("{roster_id}/{part}")));
        self.shared.read(&length).await
    }

    async fn remove_body(&self, roster_id: &str, part: u32) -> Result<(), StoreError> {
        let mut call = scripts::call(&self.scripts.remove_body, &self.keys);
        call.arg(format!("{roster_id}/{part}"));
        self.shared.ask_again(&call).await
    }
}
