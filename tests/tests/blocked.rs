//! Ten thousand viewers that wait for the same thing.

use anyhow::{Result, ensure};
use picam_tests::{
    Host, blocked,
    crowd::{Manners, Protocol},
};

/// Held at once.
const REQUESTS: usize = 10_000;

async fn all_are_woken(protocol: Protocol) -> Result<()> {
    let host = Host::source("pattern")
        .arguments(["--size", "320x180"])
        // Long enough for all to have asked.
        .plugin("ll-hls.wasm,segment-ms=10000")
        .start()
        .await?;
    let blocked = blocked(&host, REQUESTS, protocol, Manners::TakesItsShare).await?;
    ensure!(blocked.receipts.len() == REQUESTS);
    // One to learn what is waited for, and one to write it.
    ensure!(
        (blocked.calls, blocked.calls_to_wake) == (2, 1),
        "{} calls, {} of them to wake all",
        blocked.calls,
        blocked.calls_to_wake
    );
    Ok(())
}

#[tokio::test]
async fn ten_thousand_connections_are_woken_by_one_call() -> Result<()> {
    all_are_woken(Protocol::Http1).await
}

#[tokio::test]
async fn ten_thousand_streams_are_woken_by_one_call() -> Result<()> {
    all_are_woken(Protocol::Http2).await
}
