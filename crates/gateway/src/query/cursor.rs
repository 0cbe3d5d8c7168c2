//! Cursors: opaque names of a place in a walk, which the store remembers for a day.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use outdial_core::{Error, ErrorClass};
use outdial_store::Store;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::api_error::ApiError;

/// How long a cursor lives.
const LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// Longest text that can be a cursor of ours.
const LENGTH_LIMIT: usize = 64;

/// Cursors in a store.
#[derive(Clone)]
pub struct Cursors {
    store: Arc<dyn Store>,
}

#[derive(Serialize, Deserialize)]
struct Kept<T> {
    binding: String,
    place: T,
}

impl Cursors {
    /// Cursors in this store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Remembers a place where there is more, bound to what has to stay equal. Answers the cursor.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn save<T: Serialize>(
        &self,
        binding: String,
        place: Option<T>,
    ) -> Result<Option<String>, ApiError> {
        let Some(place) = place else { return Ok(None) };
        // Sorted by time, so that those of one moment stand side by side in the store and are written together.
        let cursor = format!("cur_{}", uuid::Uuid::now_v7().simple());
        let json = serde_json::to_vec(&Kept { binding, place }).unwrap_or_default();
        self.store.put_passing_value(&key(&cursor), Bytes::from(json), LIFE).await?;
        Ok(Some(cursor))
    }

    /// The place that a cursor names, if one was given.
    ///
    /// # Errors
    /// `invalid-cursor` for one that is not ours or too old, `cursor-mismatch` when what has to stay equal does not.
    pub async fn load<T: DeserializeOwned>(
        &self,
        cursor: Option<&str>,
        binding: &str,
    ) -> Result<Option<T>, ApiError> {
        let Some(cursor) = cursor else { return Ok(None) };
        let unknown = || {
            let message = "The cursor is not one of ours, or older than a day.";
            ApiError::from(Error::new(ErrorClass::InvalidInput, "invalid-cursor", message))
        };
        let plain = cursor.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !plain || cursor.len() > LENGTH_LIMIT {
            return Err(unknown());
        }
        let json = self.store.get_value(&key(cursor)).await?.ok_or_else(unknown)?;
        let kept: Kept<T> = serde_json::from_slice(&json).map_err(|_| unknown())?;
        if kept.binding == binding {
            return Ok(Some(kept.place));
        }
        let message = "The cursor belongs to another query: only limit may change while paging.";
        Err(Error::new(ErrorClass::InvalidInput, "cursor-mismatch", message).into())
    }
}

fn key(cursor: &str) -> String {
    format!("cursor:{cursor}")
}
