//! One file of the spool: batches in the order they came, each with a digest.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use bytes::Bytes;
use outdial_core::Timestamp;
use rusqlite::params;
use sha2::{Digest, Sha256};

use crate::{
    Batch, StoreError, StoreErrorKind,
    redis::Submission,
    sqlite::{AfterFailure, Schema, Worker, open_writer, to_count},
};

const SCHEMA: Schema = Schema {
    name: "spool",
    steps: &["CREATE TABLE batches (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, received_at INTEGER NOT NULL, records INTEGER NOT NULL,
        bytes INTEGER NOT NULL, digest BLOB NOT NULL, body BLOB NOT NULL
    );"],
};

/// A file of the spool.
pub(super) struct SpoolFile {
    /// Files are filled and drained in the order of their numbers.
    pub(super) number: u64,
    path: PathBuf,
    worker: Worker,
    /// The last batch that is done with. Of a closed file batches cannot be removed, so it is only kept in mind.
    done: AtomicI64,
}

/// A batch as it is spooled.
#[derive(Clone)]
pub(super) struct Encoded {
    pub(super) received_at: i64,
    pub(super) records: u64,
    pub(super) body: Bytes,
}

/// A spooled batch.
#[derive(Clone)]
pub(super) struct Row {
    pub(super) seq: i64,
    pub(super) encoded: Encoded,
    digest: Vec<u8>,
}

/// Which end of a file to read from.
#[derive(Clone, Copy)]
pub(super) enum Direction {
    Up,
    Down,
}

/// What a file holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) records: u64,
    pub(super) bytes: u64,
}

impl Encoded {
    pub(super) fn new(submission: &Submission) -> Result<Self, StoreError> {
        let body = serde_json::to_vec(&*submission.batch).map_err(|error| {
            StoreError::new(
                StoreErrorKind::Invalid,
                format!("spool: a batch cannot be written as JSON: {error}"),
            )
        })?;
        Ok(Self {
            received_at: submission.now.millis(),
            records: u64::try_from(submission.batch.records.len()).unwrap_or(u64::MAX),
            body: Bytes::from(body),
        })
    }

    /// Bytes that count against the spool's limit.
    pub(super) fn size(&self) -> u64 {
        u64::try_from(self.body.len()).unwrap_or(u64::MAX)
    }
}

impl Row {
    /// Whether its bytes are those that were spooled.
    pub(super) fn is_intact(&self) -> bool {
        Sha256::digest(&self.encoded.body).as_slice() == self.digest
    }

    /// The batch, unless it is damaged.
    pub(super) fn decode(&self) -> Option<Submission> {
        if !self.is_intact() {
            return None;
        }
        let batch: Batch = serde_json::from_slice(&self.encoded.body).ok()?;
        Some(Submission { batch: Arc::new(batch), now: Timestamp::from_millis(self.encoded.received_at) })
    }
}

impl SpoolFile {
    /// Opens or creates a file.
    pub(super) fn open(path: PathBuf, number: u64) -> Result<Self, StoreError> {
        let writer = open_writer(&path, &SCHEMA)?;
        let worker = Worker::start(&path, writer, AfterFailure::Close)?;
        Ok(Self { number, path, worker, done: AtomicI64::new(0) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a batch; it is on stable storage when this answers. A failure that leaves that open closes the file for good.
    pub(super) async fn put(&self, encoded: Encoded) -> Result<(), StoreError> {
        let written = self.worker.write(move |connection| {
            let sql =
                "INSERT INTO batches (received_at, records, bytes, digest, body) VALUES (?1, ?2, ?3, ?4, ?5)";
            let digest = Sha256::digest(&encoded.body);
            connection.prepare_cached(sql)?.execute(params![
                encoded.received_at,
                i64::try_from(encoded.records).unwrap_or(i64::MAX),
                i64::try_from(encoded.body.len()).unwrap_or(i64::MAX),
                digest.as_slice(),
                encoded.body.as_ref(),
            ])?;
            Ok(())
        });
        let written = written.await;
        if written.as_ref().is_err_and(|error| error.kind == StoreErrorKind::Corrupt) {
            self.worker.close().await;
        }
        written
    }

    /// The oldest batches: at least one if there is any, and otherwise within both limits.
    pub(super) async fn oldest(&self, records: u64, bytes: u64) -> Result<Vec<Row>, StoreError> {
        let after = self.done.load(Ordering::Acquire);
        self.worker
            .read(move |connection| {
                let sql =
                    "SELECT seq, received_at, records, digest, body FROM batches WHERE seq > ?1 ORDER BY seq";
                let mut statement = connection.prepare_cached(sql)?;
                let mut rows = statement.query([after])?;
                let (mut taken, mut left) = (Vec::new(), Some((records, bytes)));
                while let Some((records, bytes)) = left
                    && let Some(row) = rows.next()?
                {
                    let row = read_row(row)?;
                    let rest = records
                        .checked_sub(row.encoded.records.max(1))
                        .zip(bytes.checked_sub(row.encoded.size()));
                    if rest.is_some() || taken.is_empty() {
                        taken.push(row);
                    }
                    left = rest;
                }
                Ok(taken)
            })
            .await
    }

    /// Removes batches that are done with, up to one. Where they cannot be removed they are not given again all the same, as
    /// long as this process lives; the next one brings them to Redis again, as duplicates.
    pub(super) async fn remove_through(&self, seq: i64) -> Result<(), StoreError> {
        self.done.fetch_max(seq, Ordering::AcqRel);
        if self.worker.is_closed() {
            return Ok(());
        }
        self.worker
            .write(move |connection| {
                let sql = "DELETE FROM batches WHERE seq <= ?1";
                connection.prepare_cached(sql)?.execute([seq]).map(|_| ())
            })
            .await
    }

    /// What it holds that is not done with.
    pub(super) async fn usage(&self) -> Result<Usage, StoreError> {
        let after = self.done.load(Ordering::Acquire);
        self.worker
            .read(move |connection| {
                let sql =
                    "SELECT COALESCE(SUM(records), 0), COALESCE(SUM(bytes), 0) FROM batches WHERE seq > ?1";
                connection.prepare_cached(sql)?.query_row([after], |row| {
                    Ok(Usage { records: to_count(row.get(0)?), bytes: to_count(row.get(1)?) })
                })
            })
            .await
    }

    /// Ends writing, because the file is damaged.
    pub(super) async fn close(&self) {
        self.worker.close().await;
    }

    /// The next batch after one, upwards or downwards; for a damaged file, which may be readable from both its ends.
    pub(super) async fn next(
        &self,
        after: Option<i64>,
        direction: Direction,
    ) -> Result<Option<Row>, StoreError> {
        match direction {
            Direction::Up => {
                let sql = "SELECT seq, received_at, records, digest, body FROM batches WHERE seq > ?1 ORDER BY seq LIMIT 1";
                self.one(sql, after.unwrap_or_else(|| self.done.load(Ordering::Acquire))).await
            }
            Direction::Down => {
                let sql = "SELECT seq, received_at, records, digest, body FROM batches WHERE seq < ?1 ORDER BY seq DESC LIMIT 1";
                self.one(sql, after.unwrap_or(i64::MAX)).await
            }
        }
    }

    async fn one(&self, sql: &'static str, seq: i64) -> Result<Option<Row>, StoreError> {
        self.worker
            .read(move |connection| {
                let mut statement = connection.prepare_cached(sql)?;
                let mut rows = statement.query([seq])?;
                rows.next()?.map(read_row).transpose()
            })
            .await
    }
}

fn read_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let encoded = Encoded {
        received_at: row.get(1)?,
        records: to_count(row.get(2)?),
        body: Bytes::from(row.get::<_, Vec<u8>>(4)?),
    };
    Ok(Row { seq: row.get(0)?, encoded, digest: row.get(3)? })
}
