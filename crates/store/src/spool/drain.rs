//! Bringing what was spooled to Redis, oldest first, and finding out whether Redis is back.

use std::{sync::Arc, time::Duration};

use super::{
    breaker::Breaker,
    file::{Row, SpoolFile},
    folder::{Folder, Lot},
};
use crate::{
    StoreError, StoreErrorKind,
    redis::{Redis, Submission},
};

/// Most records and bytes that go to Redis in one step.
const STEP_RECORDS: u64 = 1_000;
const STEP_BYTES: u64 = 8 * 1024 * 1024;
/// Longest wait for one step.
const STEP_BUDGET: Duration = Duration::from_secs(10);
/// How long after a failure Redis is left alone.
const PAUSE: Duration = Duration::from_secs(1);

/// Drains the spool whenever there is something in it, for ever.
pub(super) async fn run(redis: Arc<Redis>, folder: Arc<Folder>, breaker: Arc<Breaker>) {
    loop {
        match step(&redis, &folder).await {
            Ok(is_empty) => {
                breaker.succeed();
                if is_empty {
                    folder.work.notified().await;
                }
            }
            Err(failure) => {
                match failure {
                    Failure::Redis(error) => breaker.fail(&error.detail),
                    Failure::Spool(error) => {
                        folder.complain(&error);
                        if redis.examine().await.absent.is_none() {
                            breaker.succeed();
                        }
                    }
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Which side of the drain failed. A spool that cannot be read is no reason to keep appends from Redis.
enum Failure {
    Redis(StoreError),
    Spool(StoreError),
}

/// Drains some batches, or asks Redis how it is when there are none. Answers whether the spool is empty.
async fn step(redis: &Redis, folder: &Folder) -> Result<bool, Failure> {
    let oldest = folder.oldest(STEP_RECORDS, STEP_BYTES).await;
    let Some(lot) = oldest.map_err(Failure::Spool)? else {
        return match redis.examine().await.absent {
            None => Ok(true),
            Some(problem) => Err(Failure::Redis(StoreError::new(StoreErrorKind::Unavailable, problem))),
        };
    };
    let Lot { file, rows } = lot;
    let decoding = tokio::task::spawn_blocking(move || {
        rows.into_iter().map(|row| (row.decode(), row)).collect::<Vec<_>>()
    });
    let rows = decoding.await.map_err(|_| undecodable())?;
    let sound: Vec<(Submission, Row)> =
        rows.iter().map_while(|(batch, row)| Some((batch.clone()?, row.clone()))).collect();
    if !sound.is_empty() {
        drain_rows(redis, folder, &file, sound).await?;
    } else if let Some((_, damaged)) = rows.first() {
        // What cannot be decoded is not what was acknowledged; it is kept for people, and its neighbours go on.
        let set_aside = folder.set_batch_aside(&file, damaged, "its bytes are not those that were spooled");
        set_aside.await.map_err(Failure::Spool)?;
    }
    Ok(false)
}

fn undecodable() -> Failure {
    Failure::Spool(StoreError::new(StoreErrorKind::Unavailable, "spool: batches could not be decoded"))
}

async fn drain_rows(
    redis: &Redis,
    folder: &Folder,
    file: &SpoolFile,
    batches: Vec<(Submission, Row)>,
) -> Result<(), Failure> {
    let (submissions, rows): (Vec<Submission>, Vec<Row>) = batches.into_iter().unzip();
    match redis.append_all(submissions.clone(), STEP_BUDGET).await {
        Ok(_) => {
            folder.remove(file, &rows).await;
            return Ok(());
        }
        Err(error) if !is_hopeless(&error) => return Err(Failure::Redis(error)),
        Err(_) => {}
    }
    // One of them can never be stored: find out which, and let the others through.
    for (submission, row) in submissions.into_iter().zip(&rows) {
        match redis.append_all(vec![submission], STEP_BUDGET).await {
            Ok(_) => folder.remove(file, std::slice::from_ref(row)).await,
            Err(error) if is_hopeless(&error) => {
                folder.set_batch_aside(file, row, &error.detail).await.map_err(Failure::Spool)?;
            }
            Err(error) => return Err(Failure::Redis(error)),
        }
    }
    Ok(())
}

fn is_hopeless(error: &StoreError) -> bool {
    matches!(error.kind, StoreErrorKind::Corrupt | StoreErrorKind::Invalid)
}
