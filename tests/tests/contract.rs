//! A plugin that was built once goes on running, whatever the contract gains.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use picam_tests::{Guest, Host, Playlist, Setup};

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn pattern() -> Setup {
    Host::source("pattern")
        .arguments(["--size", "320x180"])
        .plugin("ll-hls.wasm,window-s=6")
}

/// A playlist with some segments of the host's own naming behind it.
async fn watched(host: &Host) -> Result<Playlist> {
    let client = host.http1()?;
    let mut playlist = host.media_playlist().await?;
    while playlist.segments.len() < 4 {
        playlist = playlist.next(&client).await?;
    }
    Ok(playlist)
}

/// Segments that are called as `name-date` calls them: `2026-11-25/22-30-05_1795645812.m4s`.
fn ensure_named_by_date(playlist: &Playlist) -> Result<()> {
    let uris: Vec<_> = playlist
        .segments
        .iter()
        .filter_map(|it| it.uri.as_deref())
        .collect();
    ensure!(!uris.is_empty(), "{}", playlist.text);
    for uri in uris {
        let (day, rest) = uri.split_once('/').unwrap_or_default();
        let dated = day.len() == 10 && day.chars().all(|c| c.is_ascii_digit() || c == '-');
        ensure!(dated && rest.contains('_'), "{uri}:\n{}", playlist.text);
    }
    Ok(())
}

/// The files of `tests/kept` are never built anew: see the README there.
#[tokio::test]
async fn plugins_that_are_kept_from_every_contract_run_unchanged() -> Result<()> {
    let mut kept = 0;
    for entry in std::fs::read_dir(here("kept"))? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "wasm") {
            continue;
        }
        let file = path.to_str().context("a path in UTF-8")?;
        let host = pattern().plugin(file).start().await?;
        ensure_named_by_date(&watched(&host).await?).with_context(|| file.to_owned())?;
        ensure!(!host.said().contains("it is called"), "{}", host.said());
        kept += 1;
    }
    ensure!(kept > 0, "nothing is kept");
    Ok(())
}

/// The contract as a later version may have it: with an interface more that plugins may export, and one more that they
/// may import.
fn tomorrow() -> Result<tempfile::TempDir> {
    let contract = tempfile::tempdir()?;
    for entry in std::fs::read_dir(here("../wit"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "wit") {
            let text = std::fs::read_to_string(&path)?;
            let name = path.file_name().context("a file has a name")?;
            let later = text.replace("picam:plugin@0.1.0", "picam:plugin@0.1.1");
            ensure!(later != text, "{} has a version", path.display());
            std::fs::write(contract.path().join(name), later)?;
        }
    }
    std::fs::write(
        contract.path().join("tomorrow.wit"),
        "package picam:plugin@0.1.1;
        interface farewell { goodbye: func(); }
        interface weather { raining: func() -> bool; }
        world parting { include overlay-plugin; export farewell; }
        world outdoors { include overlay-plugin; import weather; }",
    )?;
    Ok(contract)
}

#[tokio::test]
async fn an_interface_more_in_the_contract_changes_nothing_for_hosts_and_plugins_without_it()
-> Result<()> {
    let contract = tomorrow()?;
    let parting = Guest::overlay().of_contract(
        contract.path(),
        "0.1.1",
        "parting",
        "(func (export \"picam:plugin/farewell@0.1.1#goodbye\"))",
    );
    let kept = here("kept/naming-0.1.0.wasm");
    // The page tells of drawings where pictures come encoded.
    let host = Host::encoded(320, 180)?
        .plugin("ll-hls.wasm,window-s=6")
        .plugin(&parting.build()?)
        .plugin(kept.to_str().context("a path in UTF-8")?)
        .start()
        .await?;
    ensure_named_by_date(&watched(&host).await?)?;
    let drawings = host.http1()?.get("/cam/overlay").await?;
    ensure!(
        drawings.status == 200 && drawings.text().contains("text"),
        "{}",
        drawings.text()
    );
    Ok(())
}

#[tokio::test]
async fn a_plugin_that_needs_what_only_a_later_host_has_is_told_so() -> Result<()> {
    let contract = tomorrow()?;
    let outdoors = Guest::overlay().of_contract(contract.path(), "0.1.1", "outdoors", "");
    // The import comes first in a module.
    let outdoors = outdoors
        .importing("(import \"picam:plugin/weather@0.1.1\" \"raining\" (func (result i32)))");
    let (code, said) = pattern().plugin(&outdoors.build()?).run().await?;
    ensure!(code == Some(1), "{code:?}: {said}");
    ensure!(said.contains("`picam:plugin/weather@0.1.1`"), "{said}");
    Ok(())
}
