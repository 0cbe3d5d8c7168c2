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

/// What a write does: it runs inside a savepoint, or is told why it cannot run, and hands back what tells its caller how the
/// commit went.
type Work = Box<dyn FnOnce(Result<&Connection, StoreError>) -> Finish + Send>;

/// A write.
struct Job {
    outlives: Outlives,
    work: Work,
}

/// What a write that was answered outlives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outlives {
    /// The end of this process, however it ends.
    Process,
    /// A power cut too.
    PowerCut,
}

impl Outlives {
    /// SQLite's word for it. With a write-ahead log, `NORMAL` leaves a commit to the operating system, and the next one that is
    /// `FULL` brings it to stable storage with itself.
    const fn synchronous(self) -> &'static str {
        match self {
            Self::Process => "NORMAL",
            Self::PowerCut => "FULL",
        }
    }
}

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
        self.write_to_outlive(Outlives::PowerCut, work).await
    }

    /// Runs a write; when this answers it outlives what is asked for.
    pub(crate) async fn write_to_outlive<T: Send + 'static>(
        &self,
        outlives: Outlives,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let work = Box::new(move |connection: Result<&Connection, StoreError>| {
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
        jobs.try_send(Job { outlives, work }).map_err(|_| {
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
    // What the connection was opened with.
    let mut level = Some(Outlives::PowerCut);
    let mut next = None;
    while let Some(first) = next.take().or_else(|| queue.recv().ok()) {
        if state.closed.load(Ordering::Acquire) {
            ((first.work)(Err(closed())).tell)(Ok(()));
            continue;
        }
        let mut finished = Vec::new();
        let committed = match begin(connection, &mut level, first.outlives).map_err(from_sqlite) {
            Ok(()) => run_group(connection, first, queue, &mut finished, &mut next),
            Err(error) => {
                finished.push((first.work)(Err(error.clone())));
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

/// Begins a transaction that outlives what is asked for: inside of one that cannot be changed. After a change that failed,
/// nobody knows what the level is.
fn begin(connection: &Connection, level: &mut Option<Outlives>, wanted: Outlives) -> rusqlite::Result<()> {
    if *level != Some(wanted) {
        *level = None;
        connection.pragma_update(None, "synchronous", wanted.synchronous())?;
        *level = Some(wanted);
    }
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([]).map(|_| ())
}

/// Runs the writes that wait, and commits them together. The first that has to outlive more than this group is left in `next`.
fn run_group(
    connection: &Connection,
    first: Job,
    queue: &Receiver<Job>,
    finished: &mut Vec<Finish>,
    next: &mut Option<Job>,
) -> Result<(), StoreError> {
    let outlives = first.outlives;
    *next = Some(first);
    while let Some(job) = next.take_if(|job| job.outlives <= outlives) {
        finished.push(run_job(connection, job));
        if connection.is_autocommit() {
            // A full disk or a failing one makes SQLite undo the whole transaction, not only the savepoint.
            return Err(StoreError::new(
                StoreErrorKind::Unavailable,
                "sqlite: a write beside this one failed, and nothing of the group was written",
            ));
        }
        if finished.len() < GROUP_LIMIT {
            *next = queue.try_recv().ok();
        }
    }
    let committed = connection.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([]));
    committed.map(|_| ()).map_err(from_sqlite)
}

/// One job that fails is undone alone; the others of the group are kept.
fn run_job(connection: &Connection, job: Job) -> Finish {
    if let Err(error) = connection.prepare_cached("SAVEPOINT job").and_then(|mut begin| begin.execute([])) {
        return (job.work)(Err(from_sqlite(error)));
    }
    let finish = (job.work)(Ok(connection));
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

    /// What the writes of a group find that wait together, as SQLite's number: 1 is `NORMAL`, 2 is `FULL`.
    async fn levels(writes: &[Outlives]) -> Vec<i64> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.db");
        let schema = super::super::Schema { name: "file", steps: &[] };
        let writer = super::super::open_writer(&path, &schema).unwrap();
        let worker = Worker::start(&path, writer, AfterFailure::GoOn).unwrap();
        let (go_on, wait) = sync_channel::<()>(1);
        let mut first = Box::pin(worker.write_to_outlive(writes[0], move |connection| {
            let _ = wait.recv();
            level(connection)
        }));
        assert!(futures_util::poll!(&mut first).is_pending());
        let rest = writes[1..].iter().map(|outlives| Box::pin(worker.write_to_outlive(*outlives, level)));
        let mut rest = futures_util::future::join_all(rest);
        assert!(futures_util::poll!(&mut rest).is_pending());
        go_on.send(()).unwrap();
        let first = first.await;
        std::iter::once(first).chain(rest.await).map(Result::unwrap).collect()
    }

    fn level(connection: &Connection) -> rusqlite::Result<i64> {
        connection.pragma_query_value(None, "synchronous", |row| row.get(0))
    }

    #[tokio::test]
    async fn a_write_never_outlives_less_than_it_asked_for() {
        use Outlives::{PowerCut, Process};
        assert_eq!(levels(&[PowerCut, PowerCut]).await, [2, 2]);
        assert_eq!(levels(&[Process, Process]).await, [1, 1]);
        // What asks for less goes along; what asks for more waits for the group after it.
        assert_eq!(levels(&[PowerCut, Process, PowerCut]).await, [2, 2, 2]);
        assert_eq!(levels(&[Process, Process, PowerCut, Process]).await, [1, 1, 2, 2]);
    }
}
