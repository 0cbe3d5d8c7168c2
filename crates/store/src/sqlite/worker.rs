//! The thread that writes, with group commit, and the connections that read.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
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
    /// Whether the job failed in a way that leaves open what is on the disk.
    is_open_question: bool,
    tell: Box<dyn FnOnce(Result<(), StoreError>) + Send>,
}

/// Runs writes one after the other and reads beside them.
pub(crate) struct Worker {
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
    state: Arc<State>,
    path: PathBuf,
    readers: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

/// What happens after a commit failed in a way that leaves open what is on the disk.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum AfterFailure {
    /// Later writes go on: SQLite writes what was not committed anew.
    GoOn,
    /// Nothing is written any more: there is another file to go to.
    Close,
}

struct State {
    after_failure: AfterFailure,
    closed: AtomicBool,
}

impl Worker {
    pub(crate) fn start(
        path: &Path,
        writer: Connection,
        after_failure: AfterFailure,
    ) -> Result<Self, StoreError> {
        let (jobs, queue) = sync_channel(QUEUE_LIMIT);
        let state = Arc::new(State { after_failure, closed: AtomicBool::new(false) });
        let seen = Arc::clone(&state);
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || run(&writer, &queue, &seen));
        let thread = thread.map_err(|error| {
            StoreError::new(StoreErrorKind::Unavailable, format!("cannot start the store's thread: {error}"))
        })?;
        let readers = Arc::new(Mutex::new(Vec::with_capacity(READERS)));
        let permits = Arc::new(Semaphore::new(READERS));
        Ok(Self { jobs: Some(jobs), thread: Some(thread), state, path: path.to_owned(), readers, permits })
    }

    /// Ends writing: what was told to be written before this answers is in the file, and nothing comes after.
    pub(crate) async fn close(&self) {
        self.state.closed.store(true, Ordering::Release);
        // Refused as all later ones, but only after those that were under way.
        let _ = self.write(|_| Ok(())).await;
    }

    /// Whether nothing is written any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.state.closed.load(Ordering::Acquire)
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
            let is_open_question = leaves_open(&result);
            let tell = move |committed: Result<(), StoreError>| {
                // The caller may have given up; the write stands all the same.
                let _ = answer.send(result.and_then(|value| committed.map(|()| value)));
            };
            Finish { keep, is_open_question, tell: Box::new(tell) }
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
        // The writer is the last to close: only it can bring the log of writes into the file and remove it.
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).clear();
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

fn closed() -> StoreError {
    StoreError::new(StoreErrorKind::OutcomeUnknown, "sqlite: the file is closed")
}

fn run(connection: &Connection, queue: &Receiver<Job>, state: &State) {
    while let Ok(first) = queue.recv() {
        if state.closed.load(Ordering::Acquire) {
            (first(Err(closed())).tell)(Ok(()));
            continue;
        }
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
        let is_open_question =
            leaves_open(&committed) || finished.iter().any(|finish| finish.is_open_question);
        if is_open_question && state.after_failure == AfterFailure::Close {
            state.closed.store(true, Ordering::Release);
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
    if let Err(error) = connection.prepare_cached("SAVEPOINT job").and_then(|mut begin| begin.execute([])) {
        return job(Err(from_sqlite(error)));
    }
    let finish = job(Ok(connection));
    let ended = if finish.keep {
        connection.prepare_cached("RELEASE job").and_then(|mut end| end.execute([])).map(|_| ())
    } else {
        connection.execute_batch("ROLLBACK TO job; RELEASE job")
    };
    match ended {
        Ok(()) => finish,
        Err(error) => {
            let error = from_sqlite(error);
            let is_open_question = error.kind == StoreErrorKind::OutcomeUnknown;
            Finish { keep: false, is_open_question, tell: Box::new(move |_| (finish.tell)(Err(error))) }
        }
    }
}

fn leaves_open<T>(result: &Result<T, StoreError>) -> bool {
    result.as_ref().is_err_and(|error| error.kind == StoreErrorKind::OutcomeUnknown)
}

#[cfg(test)]
mod tests {
    use rusqlite::{Error, ffi};

    use super::*;

    async fn after_a_failing_disk(after_failure: AfterFailure) -> Result<(), StoreError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.db");
        let worker = Worker::start(&path, Connection::open(&path).unwrap(), after_failure).unwrap();
        let failing =
            worker.write::<()>(|_| Err(Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_IOERR), None)));
        assert_eq!(failing.await.unwrap_err().kind, StoreErrorKind::OutcomeUnknown);
        worker.write(|_| Ok(())).await
    }

    #[tokio::test]
    async fn nothing_follows_a_write_that_the_disk_failed_where_there_is_another_file() {
        assert!(after_a_failing_disk(AfterFailure::Close).await.is_err());
        after_a_failing_disk(AfterFailure::GoOn).await.unwrap();
    }
}
