//! The spool's folder: the files, of which the last is written to, and how much they hold.

use std::{
    collections::VecDeque,
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::file::{Direction, Encoded, Row, SpoolFile, Usage};
use crate::{StoreError, StoreErrorKind, redis::Submission, sqlite::FileLock};

/// Most of the limit that is kept free, so that the drain can still write.
const RESERVE: u64 = 64 * 1024 * 1024;
/// How often failures of one kind are told of.
const COMPLAINT_PAUSE: Duration = Duration::from_secs(1);
/// Files that one append tries: the one in use, and a new one after that failed.
const ATTEMPTS: usize = 2;

/// Batches on the local disk that wait for Redis.
pub(super) struct Folder {
    path: PathBuf,
    limit: u64,
    /// Oldest first; never empty.
    files: tokio::sync::Mutex<VecDeque<Arc<SpoolFile>>>,
    usage: Mutex<Usage>,
    damaged: AtomicU64,
    problem: Mutex<Option<String>>,
    complained: Mutex<Option<Instant>>,
    /// Told whenever there may be something to do for the drain.
    pub(super) work: Notify,
    _lock: FileLock,
}

/// Batches to be drained together, from one file.
pub(super) struct Lot {
    pub(super) file: Arc<SpoolFile>,
    pub(super) rows: Vec<Row>,
}

impl Folder {
    /// Opens the spool. Files that cannot be read are set aside.
    ///
    /// # Errors
    /// `Locked` when another process has it; `Unavailable` when it cannot be written.
    pub(super) async fn open(path: &Path, max_bytes: u64) -> Result<Self, StoreError> {
        let lock = FileLock::take(&path.join("spool"))?;
        let folder = Self {
            path: path.to_owned(),
            limit: max_bytes - RESERVE.min(max_bytes / 8),
            files: tokio::sync::Mutex::default(),
            usage: Mutex::default(),
            damaged: AtomicU64::new(0),
            problem: Mutex::default(),
            complained: Mutex::default(),
            work: Notify::new(),
            _lock: lock,
        };
        let mut files = VecDeque::new();
        for number in folder.list_numbers()? {
            match SpoolFile::open(folder.file_path(number), number) {
                Ok(file) => files.push_back(Arc::new(file)),
                Err(error) if error.kind == StoreErrorKind::Corrupt => folder.rename(number, &error),
                Err(error) => return Err(error),
            }
        }
        *folder.files.lock().await = files;
        let last = folder.files.lock().await.back().map_or(0, |file| file.number);
        if last == 0 {
            folder.add_file(0).await?;
        }
        folder.count().await;
        Ok(folder)
    }

    /// Adds a batch; it is on stable storage when this answers.
    ///
    /// # Errors
    /// `Unavailable` when the spool is full or the disk is, `OutcomeUnknown` when the disk failed.
    pub(super) async fn put(&self, submission: Submission) -> Result<(), StoreError> {
        let encoded = tokio::task::spawn_blocking(move || Encoded::new(&submission)).await;
        let encoded = encoded.map_err(|_| {
            StoreError::new(StoreErrorKind::Unavailable, "spool: a batch could not be written as JSON")
        })??;
        let result = match self.reserve(&encoded) {
            Ok(()) => {
                let written = self.write(encoded.clone()).await;
                if written.is_err() {
                    self.release(encoded.records, encoded.size());
                }
                written
            }
            full => full,
        };
        self.note_problem(result.as_ref().err().map(|error| error.detail.clone()));
        self.work.notify_one();
        result
    }

    async fn write(&self, encoded: Encoded) -> Result<(), StoreError> {
        let mut failure = None;
        for _ in 0..ATTEMPTS {
            let file = self.current().await?;
            let error = match file.put(encoded.clone()).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if error.kind == StoreErrorKind::Unavailable {
                return Err(error);
            }
            // After a failed sync nobody knows what is on the disk, and a second sync may lie. What was not acknowledged goes
            // to a new file; the old one is drained and removed.
            self.complain(&error);
            self.add_file(file.number).await?;
            failure = Some(error);
        }
        Err(failure
            .unwrap_or_else(|| StoreError::new(StoreErrorKind::Unavailable, "spool: no file takes it")))
    }

    /// The oldest batches, those that are damaged set aside. `None` when the spool is empty.
    pub(super) async fn oldest(&self, records: u64, bytes: u64) -> Result<Option<Lot>, StoreError> {
        loop {
            let (file, is_last) = {
                let files = self.files.lock().await;
                let Some(file) = files.front() else { return Ok(None) };
                (Arc::clone(file), files.len() == 1)
            };
            match file.oldest(records, bytes).await {
                Ok(rows) if rows.is_empty() && is_last => return Ok(None),
                Ok(rows) if rows.is_empty() => self.discard(&file).await,
                Ok(rows) => return Ok(Some(Lot { file, rows })),
                Err(error) if error.kind == StoreErrorKind::Corrupt => self.set_aside(&file, &error).await?,
                Err(error) => return Err(error),
            }
        }
    }

    /// Removes batches that are done with.
    pub(super) async fn remove(&self, file: &SpoolFile, rows: &[Row]) {
        let Some(last) = rows.last() else { return };
        if let Err(error) = file.remove_through(last.seq).await {
            self.complain(&error);
        }
        let records = rows.iter().map(|row| row.encoded.records).sum();
        self.release(records, rows.iter().map(|row| row.encoded.size()).sum());
        // There is room again.
        self.note_problem(None);
    }

    /// Keeps a batch that nobody can store, or that is damaged, beside the spool for people to look at.
    pub(super) async fn set_batch_aside(
        &self,
        file: &SpoolFile,
        row: &Row,
        why: &str,
    ) -> Result<(), StoreError> {
        self.write_aside(file, row, why)?;
        self.remove(file, std::slice::from_ref(row)).await;
        Ok(())
    }

    fn write_aside(&self, file: &SpoolFile, row: &Row, why: &str) -> Result<(), StoreError> {
        let path = self.path.join(format!("batch-{}-{}.damaged", file.number, row.seq));
        tracing::error!(path = %path.display(), why, "spool: a batch was set aside");
        let write = || {
            let mut kept = File::create(&path)?;
            kept.write_all(&row.encoded.body)?;
            kept.sync_all()?;
            File::open(&self.path)?.sync_all()
        };
        write().map_err(|error: std::io::Error| {
            let detail = format!("spool: {} cannot be written: {error}", path.display());
            StoreError::new(StoreErrorKind::Unavailable, detail)
        })?;
        self.damaged.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn usage(&self) -> Usage {
        *self.lock_usage()
    }

    /// What is wrong with the spool, if anything.
    pub(super) fn problem(&self) -> Option<String> {
        let problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let damaged = self.damaged.load(Ordering::Relaxed);
        problem.or_else(|| (damaged > 0).then(|| format!("spool: {damaged} damaged files were set aside")))
    }

    /// Whether the last batch was refused.
    pub(super) fn refuses(&self) -> bool {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    async fn current(&self) -> Result<Arc<SpoolFile>, StoreError> {
        let files = self.files.lock().await;
        let file = files.back().map(Arc::clone);
        file.ok_or_else(|| StoreError::new(StoreErrorKind::Unavailable, "spool: no file is open"))
    }

    /// Goes on with a new file, unless someone else did already.
    async fn add_file(&self, after: u64) -> Result<(), StoreError> {
        let mut files = self.files.lock().await;
        let last = files.back().map_or(0, |file| file.number);
        if last <= after {
            let number = last.max(after) + 1;
            files.push_back(Arc::new(SpoolFile::open(self.file_path(number), number)?));
        }
        Ok(())
    }

    /// Forgets a file that is drained, and removes it from the disk.
    async fn discard(&self, file: &SpoolFile) {
        self.files.lock().await.retain(|one| one.number != file.number);
        for path in all_paths(file.path()) {
            let _ = std::fs::remove_file(path);
        }
    }

    /// Takes what can be read of a damaged file into the next one, and puts the file out of the way.
    async fn set_aside(&self, file: &Arc<SpoolFile>, error: &StoreError) -> Result<(), StoreError> {
        self.add_file(file.number).await?;
        file.close().await;
        let (mut first, mut last) = (None, None);
        while let Ok(Some(row)) = file.next(last, Direction::Up).await {
            last = Some(row.seq);
            self.salvage(file, row).await?;
        }
        while let Ok(Some(row)) = file.next(first, Direction::Down).await
            && last.is_none_or(|last| row.seq > last)
        {
            first = Some(row.seq);
            self.salvage(file, row).await?;
        }
        self.files.lock().await.retain(|one| one.number != file.number);
        self.rename(file.number, error);
        self.count().await;
        Ok(())
    }

    async fn salvage(&self, file: &SpoolFile, row: Row) -> Result<(), StoreError> {
        if row.is_intact() {
            return self.current().await?.put(row.encoded).await;
        }
        self.write_aside(file, &row, "its bytes are not those that were spooled")
    }

    fn rename(&self, number: u64, error: &StoreError) {
        let path = self.file_path(number);
        tracing::error!(path = %path.display(), problem = %error, "spool: a damaged file was set aside");
        self.damaged.fetch_add(1, Ordering::Relaxed);
        for path in all_paths(&path) {
            let mut aside = path.clone().into_os_string();
            aside.push(".damaged");
            let _ = std::fs::rename(path, aside);
        }
    }

    /// Counts anew what the files hold. A file that cannot be counted is left to the drain, which sets it aside.
    async fn count(&self) {
        let files: Vec<_> = self.files.lock().await.iter().cloned().collect();
        let mut usage = Usage::default();
        for file in files {
            // What cannot be counted is not nothing: the drain has to look at it.
            let one = file.usage().await.unwrap_or(Usage { records: 1, bytes: 0 });
            usage = Usage { records: usage.records + one.records, bytes: usage.bytes + one.bytes };
        }
        *self.lock_usage() = usage;
    }

    fn note_problem(&self, problem: Option<String>) {
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }

    fn reserve(&self, encoded: &Encoded) -> Result<(), StoreError> {
        let mut usage = self.lock_usage();
        let bytes = usage.bytes.saturating_add(encoded.size());
        if bytes > self.limit {
            let detail = format!("spool: full, {} of {} bytes are used", usage.bytes, self.limit);
            return Err(StoreError::new(StoreErrorKind::Unavailable, detail));
        }
        *usage = Usage { records: usage.records + encoded.records, bytes };
        Ok(())
    }

    fn release(&self, records: u64, bytes: u64) {
        let mut usage = self.lock_usage();
        usage.records = usage.records.saturating_sub(records);
        usage.bytes = usage.bytes.saturating_sub(bytes);
    }

    /// Tells of a failure, unless one was told of just now.
    pub(super) fn complain(&self, error: &StoreError) {
        let mut complained = self.complained.lock().unwrap_or_else(PoisonError::into_inner);
        if complained.is_none_or(|at| at.elapsed() >= COMPLAINT_PAUSE) {
            *complained = Some(Instant::now());
            tracing::error!(problem = %error, "spool.fsync_failed");
        }
    }

    fn lock_usage(&self) -> MutexGuard<'_, Usage> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file_path(&self, number: u64) -> PathBuf {
        self.path.join(format!("spool-{number:06}.db"))
    }

    /// The numbers of the files that are there, in order.
    fn list_numbers(&self) -> Result<Vec<u64>, StoreError> {
        let failed = |error: std::io::Error| {
            let detail = format!("spool: {} cannot be read: {error}", self.path.display());
            StoreError::new(StoreErrorKind::Unavailable, detail)
        };
        let mut numbers = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix("spool-")?.strip_suffix(".db"));
            numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }
}

/// A file of SQLite's, and those that stand beside it.
fn all_paths(path: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|suffix| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    })
}
