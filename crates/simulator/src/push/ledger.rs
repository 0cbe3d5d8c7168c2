//! The file of acknowledged pushes, against which a test holds the receiver's store.

use std::{io, path::Path};

use serde::Serialize;
use tokio::{
    fs::{File, OpenOptions},
    io::AsyncWriteExt,
    sync::Mutex,
};

use crate::faults::Vendor;

/// Appends a JSON line per acknowledged push and fsyncs it before it returns.
#[derive(Debug)]
pub(crate) struct Ledger {
    file: Mutex<File>,
}

#[derive(Serialize)]
struct Line<'a> {
    vendor: &'a str,
    ids: &'a [String],
    broken: usize,
}

impl Ledger {
    /// Opens the file, creating it if need be.
    pub(crate) async fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path).await?;
        Ok(Self { file: Mutex::new(file) })
    }

    /// The receiver has taken `ids` and `broken` unreadable records; durable when this returns.
    pub(crate) async fn append(&self, vendor: Vendor, ids: &[String], broken: usize) -> io::Result<()> {
        let mut line = serde_json::to_vec(&Line { vendor: vendor.name(), ids, broken })?;
        line.push(b'\n');
        let mut file = self.file.lock().await;
        file.write_all(&line).await?;
        file.flush().await?;
        file.sync_data().await
    }
}
