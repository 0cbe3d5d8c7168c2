//! `run` ends on a signal. Alone in its process, because the signal is sent to the process.

use std::{net::SocketAddr, process::Command, time::Duration};

use outdial_simulator::{SimulatorConfig, run};

#[tokio::test]
async fn a_terminated_run_tells_its_address_and_ends_well() {
    let mut told = None;
    let running = run(SimulatorConfig::default(), |address: SocketAddr| {
        told = Some(address);
        let process = std::process::id().to_string();
        let sent = Command::new("kill").args(["-TERM", &process]).status();
        assert!(sent.is_ok_and(|status| status.success()));
    });
    let ended = tokio::time::timeout(Duration::from_secs(20), running).await;
    assert!(matches!(ended, Ok(Ok(()))), "{ended:?}");
    assert!(told.is_some_and(|address| address.port() != 0));
}
