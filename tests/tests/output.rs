//! The stream as plain files, served by other people's web servers and played from there.

use std::{
    collections::BTreeSet,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use picam_tests::{Client, Host, PATIENCE, Player, Playlist, Viewer, WebServer};
use tokio::{process::Command, time::sleep};

/// A host that writes files, and where.
struct Stage {
    host: Host,
    _parent: tempfile::TempDir,
    path: PathBuf,
}

impl Stage {
    async fn start() -> Result<Self> {
        let parent = tempfile::tempdir()?;
        // Web servers are other users.
        fs::set_permissions(parent.path(), Permissions::from_mode(0o755))?;
        let path = parent.path().join("out");
        let host = host(&path).await?;
        let stage = Self {
            host,
            _parent: parent,
            path,
        };
        stage
            .until("the playlists are there", |path| {
                path.join("live.m3u8").exists() && path.join("hls.m3u8").exists()
            })
            .await?;
        Ok(stage)
    }

    async fn until(&self, what: &str, condition: impl Fn(&Path) -> bool) -> Result<()> {
        let began = Instant::now();
        while !condition(&self.path) {
            ensure!(
                began.elapsed() < PATIENCE,
                "{what}: never\n{}",
                self.host.said()
            );
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

async fn host(path: &Path) -> Result<Host> {
    Host::source("pattern")
        .arguments(["--size", "640x360", "--bitrate", "800k"])
        .arguments(["--output", &path.display().to_string()])
        .plugin("ll-hls.wasm,segment-ms=500,window-s=6")
        .plugin("hls.wasm")
        .plugin("dash.wasm,window-s=6")
        .start()
        .await
}

/// The media playlist that a file of a multivariant playlist leads to, as it lies there, and its path.
fn playlist(directory: &Path, name: &str) -> Result<(PathBuf, Playlist)> {
    let text = fs::read_to_string(directory.join(name))?;
    let media = text
        .lines()
        .find(|line| !line.starts_with('#'))
        .context("a media playlist is named")?;
    let path = directory.join(media);
    let text = fs::read_to_string(&path)?;
    Ok((path, Playlist::read(media, &text)?))
}

/// Every file below a directory, without ours.
fn files(directory: &Path) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(directory)?.display().to_string());
            }
        }
    }
    Ok(found)
}

#[tokio::test]
async fn what_a_playlist_lists_is_there_whole_and_what_none_lists_goes() -> Result<()> {
    let stage = Stage::start().await?;
    let client = stage.host.http1()?;
    let mut compared = 0;
    let mut sequences = BTreeSet::new();
    let began = Instant::now();
    // Until the window of 6 s has been left by some.
    while sequences.len() < 24 {
        ensure!(began.elapsed() < 2 * PATIENCE, "too few segments");
        for name in ["live.m3u8", "hls.m3u8"] {
            let (path, playlist) = playlist(&stage.path, name)?;
            let text = &playlist.text;
            ensure!(
                !text.contains("PART") && !text.contains("CAN-BLOCK-RELOAD"),
                "{text}"
            );
            ensure!(!playlist.segments.is_empty(), "{text}");
            for segment in &playlist.segments {
                let uri = segment.uri.as_deref().context("whole segments only")?;
                for uri in [uri, segment.map.as_deref().context("a map")?] {
                    let file = fs::read(path.with_file_name(uri))
                        .with_context(|| format!("{uri} is listed and isn't there:\n{text}"))?;
                    ensure!(!file.is_empty(), "{uri}");
                }
            }
            let last = playlist.segments.last().context("a segment")?;
            if sequences.insert(last.sequence) {
                // The same bytes as over HTTP.
                let uri = last.uri.as_deref().context("a whole segment")?;
                let served = client
                    .fetch(&format!("/cam/{}", playlist.resolve(uri)))
                    .await?;
                ensure!(served == fs::read(path.with_file_name(uri))?, "{uri}");
                compared += 1;
            }
        }
        sleep(Duration::from_millis(50)).await;
    }
    ensure!(compared >= 24);
    // It would lead to what isn't there.
    ensure!(!stage.path.join("live.mpd").exists());
    let last = playlist(&stage.path, "live.m3u8")?.1;
    let media = files(&stage.path)?
        .iter()
        .filter(|name| name.ends_with(".m4s"))
        .count();
    // Those of half a second that left the list within the last target duration, and some that came while we looked.
    let most = last.segments.len() + 2 * usize::try_from(last.target_duration)? + 4;
    ensure!(media <= most, "{media} files, at most {most} are needed");
    Ok(())
}

#[tokio::test]
async fn a_restart_cleans_up_what_the_run_before_left_and_nothing_else() -> Result<()> {
    let Stage {
        host,
        _parent,
        path,
    } = Stage::start().await?;
    let before = files(&path)?;
    drop(host);
    fs::write(path.join("robots.txt"), "")?;
    let media = before
        .iter()
        .find(|name| name.ends_with(".m4s"))
        .context("a segment")?;
    let note = path.join(media).with_file_name("note.txt");
    fs::write(&note, "")?;
    let host = self::host(&path).await?;
    let again = Stage {
        host,
        _parent,
        path,
    };
    again
        .until("it begins anew", |path| playlist(path, "live.m3u8").is_ok())
        .await?;
    let now = files(&again.path)?;
    for name in before.iter().filter(|name| name.contains('/')) {
        ensure!(!now.contains(name), "{name} is left of the run before");
    }
    ensure!(note.exists() && again.path.join("robots.txt").exists());
    Ok(())
}

#[tokio::test]
async fn a_lost_directory_and_a_full_disk_do_not_harm_the_stream() -> Result<()> {
    let stage = Stage::start().await?;
    let client = stage.host.http1()?;
    let path = stage.host.media_playlist_path().await?;
    let first = Playlist::get(&client, &path, "").await?;
    // Lost, and something else in its place, which is worse than a full disk: nothing at all can be written.
    fs::remove_dir_all(&stage.path)?;
    fs::write(&stage.path, "in the way")?;
    let mut now = first.clone();
    while now.position().0 < first.position().0 + 4 {
        now = now.next(&client).await?;
    }
    stage
        .until("a complaint", |_| {
            stage.host.said().contains("stay as they are")
        })
        .await?;
    fs::remove_file(&stage.path)?;
    stage
        .until("the files are back", |path| {
            playlist(path, "live.m3u8").is_ok()
        })
        .await?;
    let (file, list) = playlist(&stage.path, "live.m3u8")?;
    for segment in &list.segments {
        let uri = segment.uri.as_deref().context("a whole segment")?;
        ensure!(file.with_file_name(uri).exists(), "{uri}");
    }
    Ok(())
}

/// Plays both playlists from a server, with FFmpeg and with hls.js on a page that lies beside the stream.
async fn plays(stage: &Stage, server: &WebServer) -> Result<()> {
    let client = Client::http1(server.address())?;
    for name in ["live.m3u8", "hls.m3u8"] {
        ensure!(
            client.get(&format!("/{name}")).await?.status == 200,
            "{name}"
        );
        let output = Command::new("ffmpeg")
            .args([
                "-hide_banner",
                "-loglevel",
                "error",
                "-i",
                &server.url(&format!("/{name}")),
            ])
            .args([
                "-t",
                "4",
                "-an",
                "-fps_mode",
                "passthrough",
                "-f",
                "framemd5",
                "-",
            ])
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(2 * PATIENCE, output)
            .await
            .context("FFmpeg ends")??;
        let frames = String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter(|line| !line.starts_with('#'))
            .count();
        ensure!(
            output.status.success() && frames >= 100,
            "{name}: {frames} pictures\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let player = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser");
    fs::copy(player.join("pages/hls.html"), stage.path.join("hls.html"))?;
    fs::copy(
        player.join("node_modules/hls.js/dist/hls.min.js"),
        stage.path.join("hls.js"),
    )
    .context("run `npm ci` in tests/browser")?;
    let mut viewer = Viewer::open(Player::Page, &server.url("/hls.html?src=live.m3u8")).await?;
    viewer
        .until("a hundred pictures", |seen| seen.readings > 100)
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_serves_it() -> Result<()> {
    let stage = Stage::start().await?;
    plays(&stage, &WebServer::nginx_files(&stage.path).await?).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apache_serves_it() -> Result<()> {
    let stage = Stage::start().await?;
    plays(&stage, &WebServer::apache_files(&stage.path).await?).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pythons_server_serves_it() -> Result<()> {
    let stage = Stage::start().await?;
    plays(&stage, &WebServer::python_files(&stage.path).await?).await
}
