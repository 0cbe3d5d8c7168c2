//! The thread that writes, with group commit, and the connections that read.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
};

use rusqlite::Connection;
use tokio::sync::{Semaphore, oneshot};

use super::{from_sqlite, open_reader};
use crate::{StoreError, StoreErrorKind};

/// Most writes that wait; beyond them callers are refused at once.
const QUEUE_LIMIT: usize = 1024;
/// Most writes that share one commit.
const GROUP_LIMIT: usize = 128;
/// Most reads at once.
const READERS: usize = 4;

/// A write: it runs inside a savepoint, or is told why it cannot run, and hands back what tells its caller how the commit
/// went.
type Job = Box<dyn FnOnce(Result<&Connection, StoreError>) -> Finish + Send>;

struct Finish {
    keep: bool,
    tell: Box<dyn FnOnce(Result<(), StoreError>) + Send>,
}

/// Runs writes one after the other and reads beside them.
pub(crate) struct Worker {
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
    path: PathBuf,
    readers: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

impl Worker {
    pub(crate) fn start(path: &Path, writer: Connection) -> Result<Self, StoreError> {
        let (jobs, queue) = sync_channel(QUEUE_LIMIT);
        let thread =
            std::thread::Builder::new().name("store-writer".into()).spawn(move || run(&writer, &queue));
        let thread = thread.map_err(|error| {
            StoreError::new(StoreErrorKind::Unavailable, format!("cannot start the store's thread: {error}"))
        })?;
        let readers = Arc::new(Mutex::new(Vec::with_capacity(READERS)));
        let permits = Arc::new(Semaphore::new(READERS));
        Ok(Self { jobs: Some(jobs), thread: Some(thread), path: path.to_owned(), readers, permits })
    }

    /// Runs a write; it is on stable storage when this answers.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let result = connection.and_then(|connection| work(connection).map_err(from_sqlite));
            let keep = result.is_ok();
            let tell = move |committed: Result<(), StoreError>| {
                // The caller may have given up; the write stands all the same.
                let _ = answer.send(result.and_then(|value| committed.map(|()| value)));
            };
            Finish { keep, tell: Box::new(tell) }
        });
        let jobs = self.jobs.as_ref().ok_or_else(stopped)?;
        jobs.try_send(job).map_err(|_| {
            StoreError::new(StoreErrorKind::Unavailable, "sqlite: too many writes are waiting")
        })?;
        answered.await.map_err(|_| stopped())?
    }

    /// Runs a read on a connection of its own.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| stopped())?;
        let (readers, path) = (Arc::clone(&self.readers), self.path.clone());
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let idle = readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = idle.map_or_else(|| open_reader(&path), Ok)?;
            let result = work(&connection).map_err(from_sqlite);
            readers.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            result
        });
        task.await
            .map_err(|_| StoreError::new(StoreErrorKind::Unavailable, "sqlite: a read was cut short"))?
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // Writes that were taken are finished before the file is closed.
            let _ = thread.join();
        }
    }
}

fn stopped() -> StoreError {
    StoreError::new(StoreErrorKind::OutcomeUnknown, "sqlite: the store was stopped")
}

fn run(connection: &Connection, queue: &Receiver<Job>) {
    while let Ok(first) = queue.recv() {
        let mut finished = Vec::new();
        let committed = match connection.execute_batch("BEGIN IMMEDIATE").map_err(from_sqlite) {
            Ok(()) => run_group(connection, first, queue, &mut finished),
            Err(error) => {
                finished.push(first(Err(error.clone())));
                Err(error)
            }
        };
        if committed.is_err() && !connection.is_autocommit() {
            let _ = connection.execute_batch("ROLLBACK");
        }
        for finish in finished {
            (finish.tell)(committed.clone());
        }
    }
}

/// Runs the writes that wait, and commits them together.
fn run_group(
    connection: &Connection,
    first: Job,
    queue: &Receiver<Job>,
    finished: &mut Vec<Finish>,
) -> Result<(), StoreError> {
    let mut next = Some(first);
    while let Some(job) = next.take() {
        finished.push(run_job(connection, job));
        if connection.is_autocommit() {
            // A full disk or a failing one makes SQLite undo the whole transaction, not only the savepoint.
            return Err(StoreError::new(
                StoreErrorKind::Unavailable,
                "sqlite: a write beside this one failed, and nothing of the group was written",
            ));
        }
        if finished.len() < GROUP_LIMIT {
            next = queue.try_recv().ok();
        }
    }
    connection.execute_batch("COMMIT").map_err(from_sqlite)
}

/// One job that fails is undone alone; the others of the group are kept.
fn run_job(connection: &Connection, job: Job) -> Finish {
    if let Err(error) = connection.execute_batch("SAVEPOINT job") {
        return job(Err(from_sqlite(error)));
    }
    let finish = job(Ok(connection));
    let end = if finish.keep { "RELEASE job" } else { "ROLLBACK TO job; RELEASE job" };
    match connection.execute_batch(end) {
        Ok(()) => finish,
        Err(error) => {
            let error = from_sqlite(error);
            Finish { keep: false, tell: Box::new(move |_| (finish.tell)(Err(error))) }
        }
    }
}
