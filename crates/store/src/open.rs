//! Which backend a URL names.

use std::{path::Path, sync::Arc};

use outdial_core::ExposeSecret;

use crate::{
    Store, StoreError, StoreErrorKind, StoreSettings, embedded::Embedded, redis::Redis, spool::Spooled,
};

/// Opens the store that the settings name.
///
/// # Errors
/// `Invalid` for a URL of no backend, and for a Redis whose settings would lose records; `Locked` when another process has
/// the embedded store or the spool; `Unavailable` when it cannot be opened. A Redis that is away is no error where there is a
/// spool.
pub async fn open(settings: StoreSettings) -> Result<Arc<dyn Store>, StoreError> {
    let url = settings.url.expose_secret();
    match url.split_once(':') {
        Some(("sqlite", path)) if !path.is_empty() => {
            let store = Embedded::open(Path::new(path), Arc::clone(&settings.clock)).await?;
            Ok(Arc::new(store))
        }
        Some((scheme, _)) if scheme.starts_with("redis") => {
            let (redis, absence) = Redis::open(&settings).await?;
            match (&settings.spool_dir, absence) {
                (Some(folder), absence) => {
                    Ok(Arc::new(Spooled::open(redis, absence, folder, settings.spool_max_bytes).await?))
                }
                (None, Some(error)) => Err(error),
                (None, None) => Ok(Arc::new(redis)),
            }
        }
        _ => Err(StoreError::new(
            StoreErrorKind::Invalid,
            "store.url begins with neither sqlite:, redis: nor rediss:",
        )),
    }
}
