//! How long it takes until many requests that wait for the same position of a media playlist have their answer, over
//! HTTP/1.1 (each on a connection of its own) and over HTTP/2 (a hundred on each).
//!
//!     bench-blocked [REQUESTS] [ROUNDS]
//!
//! The moment that counts is when the last byte of the picture was written that completes what they wait for, as in
//! `bench-viewers`; an answer's moment is when the kernel had its last byte ready for who asked.
//!
//! Prints lines of the table that `cargo xtask bench` prints.

use std::process::Stdio;

use anyhow::{Context, Result};
use picam_tests::{
    Clip, Feed, Host, Pictures, Sent, blocked,
    crowd::{Manners, Protocol, Receipt},
    millis_between, percentile,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |otherwise: usize| match arguments.next() {
        Some(word) => word
            .parse()
            .with_context(|| format!("{word:?} is no number")),
        None => Ok(otherwise),
    };
    let (requests, rounds) = (number(10_000)?, number(5)?);
    let clip = Clip::default();
    let pictures = clip.ended_units().await?;
    let known = Pictures::of(&pictures);
    let (reader, writer) = std::io::pipe()?;
    let host = Host::source("-")
        // Long enough for all to have asked.
        .plugin("ll-hls.wasm,segment-ms=4000")
        .stdin(Stdio::from(reader))
        .start()
        .await?;
    let feed = Feed::start(pictures, clip.fps, vec![Box::new(writer)])?;
    let client = host.http1()?;

    let mut woken = Vec::new();
    for protocol in [Protocol::Http1, Protocol::Http2] {
        for _ in 0..rounds {
            let blocked = blocked(&host, requests, protocol, Manners::GivesWay).await?;
            let part = blocked
                .playlist
                .segments
                .last()
                .and_then(|segment| segment.parts.first());
            let path = blocked
                .playlist
                .resolve(&part.context("no part is listed")?.uri);
            let picture = known.last_of(&client.fetch(&path).await?)?;
            woken.push((protocol, picture, blocked));
        }
    }
    let sent = feed.stop()?;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let (mut times, mut calls) = (Vec::new(), Vec::new());
        for (_, picture, blocked) in woken.iter().filter(|(of, ..)| *of == protocol) {
            let first = blocked
                .receipts
                .iter()
                .map(|receipt| receipt.readable)
                .min();
            let written = Sent::before(&sent, *picture, first.context("nobody waited")?)?;
            let readable = |receipt: &Receipt| millis_between(written, receipt.readable);
            times.extend(blocked.receipts.iter().map(readable));
            calls.push(blocked.calls_to_wake);
        }
        times.sort_by(f64::total_cmp);
        calls.sort_unstable();
        println!(
            "| last byte of a frame → the playlist readable by {requests} blocked requests, {} | p50 {:.0} ms, p99 {:.0} ms, \
             {} plugin call(s) | | | p99 ≤ 100 ms, 1 call |",
            match protocol {
                Protocol::Http1 => "HTTP/1.1",
                Protocol::Http2 => "HTTP/2",
            },
            percentile(&times, 0.5),
            percentile(&times, 0.99),
            calls.last().context("no rounds")?,
        );
    }
    Ok(())
}
