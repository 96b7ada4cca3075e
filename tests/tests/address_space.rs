//! Small boards give a process little address space, and WebAssembly likes to reserve much.

use anyhow::{Result, ensure};
use picam_tests::{Host, Playlist, token};

/// What a Raspberry Pi's kernel gives, with pages of 4 KiB: 39 bits.
const PI: u64 = 1 << 39;
/// With room to spare over what it takes: a plugin that reserved a gigabyte would not fit.
const TIGHT: u64 = 1 << 30;

#[tokio::test]
async fn four_plugins_fit_into_the_address_space_of_a_small_board_and_into_far_less() -> Result<()>
{
    for bytes in [PI, TIGHT] {
        let host = Host::source("pattern")
            .arguments(["--size", "320x180"])
            .plugin("ll-hls.wasm")
            .plugin("name-date.wasm")
            .plugin("overlay-clock.wasm")
            .plugin(&format!("auth-token.wasm,keys={}", token::KEY))
            .address_space(bytes)
            .start()
            .await?;
        let client = host.http1()?;
        let door = format!("/~{}", token::lasting(3_600)?);
        let path = loop {
            let reply = client.get(&format!("{door}/cam/live.m3u8")).await?;
            if reply.status == 200 {
                break reply;
            }
            ensure!(matches!(reply.status, 404 | 503), "{}", reply.text());
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        };
        let media = path
            .text()
            .lines()
            .find(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|uri| format!("{door}/cam/{uri}"));
        let media = media.unwrap_or_else(|| panic!("{}", path.text()));
        let mut playlist = Playlist::get(&client, &media, "").await?;
        while playlist.segments.len() < 4 {
            playlist = playlist.next(&client).await?;
        }
        ensure!(
            !host.said().contains("can't be") && !host.said().contains("failed"),
            "with {bytes} bytes of address space it said:\n{}",
            host.said()
        );
    }
    Ok(())
}
