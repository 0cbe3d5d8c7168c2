//! `demo`: the whole way in one process, each step shown, with the line that repeats it.

mod setup;
mod steps;
mod summary;

use std::time::Duration;

use crate::{arguments::DemoOptions, failure::Failure, stop::Stop};

use self::{setup::Running, steps::Steps};

/// How long the end may take.
const END: Duration = Duration::from_secs(15);

/// Runs the demo, and stays up until a signal.
pub async fn run(options: DemoOptions) -> Result<(), Failure> {
    let mut stop = Stop::listen()?;
    let running = setup::start(&options).await?;
    let shown = tokio::select! {
        shown = show(&options, &running) => shown,
        () = stop.wait() => Ok(()),
    };
    if shown.is_ok() && !options.exit {
        println!(
            "\nThe gateway stays up. Ctrl-C ends it; the next start goes on with {}.",
            options.data.display()
        );
        stop.wait().await;
    }
    let ended = tokio::time::timeout(END, running.stop()).await.is_ok();
    shown?;
    if ended { Ok(()) } else { Err(Failure::new("some work did not end in time")) }
}

async fn show(options: &DemoOptions, running: &Running) -> Result<(), Failure> {
    let steps = Steps::begin(running, options.entries)?;
    steps.introduce().await?;
    let events = steps.follow_events();
    steps.upload_roster().await?;
    steps.receive_pushes().await?;
    steps.walk_search().await?;
    steps.list_records().await?;
    steps.show_events(events).await?;
    steps.show_quarantine().await?;
    summary::show(&steps).await
}
