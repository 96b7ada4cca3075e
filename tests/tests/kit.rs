//! The commands of the guide, as somebody types them who has the binary and nothing else of the project.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Output,
};

use anyhow::{Context as _, Result, ensure};
use picam_host::picture::clockbar;
use picam_tests::{Host, target_directory};
use serde_json::Value;
use tokio::process::Command;

/// Runs the binary in a directory, with nothing that Cargo told us about our own build.
async fn picam<A: AsRef<OsStr>>(
    directory: &Path,
    arguments: impl IntoIterator<Item = A>,
) -> Result<Output> {
    let mut command = Command::new(picam_tests::program()?);
    command
        .args(arguments)
        .current_dir(directory)
        // The standard library, where it has to be compiled, is compiled once for all tests.
        .env("CARGO_TARGET_DIR", target_directory().join("kit"))
        .env("CARGO_NET_OFFLINE", "true")
        .kill_on_drop(true);
    for (name, _) in std::env::vars() {
        let cargos = ["CARGO_PKG_", "CARGO_BIN_", "CARGO_MANIFEST_"];
        if cargos.iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    Ok(command.output().await?)
}

/// The same, where it has to succeed. What it wrote to standard output.
async fn succeed<A: AsRef<OsStr>>(
    directory: &Path,
    arguments: impl IntoIterator<Item = A>,
) -> Result<String> {
    let arguments: Vec<_> = arguments
        .into_iter()
        .map(|argument| argument.as_ref().to_owned())
        .collect();
    let output = picam(directory, &arguments).await?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "{arguments:?} ended with {}:\n{said}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(said)
}

/// Begins and builds a plugin. Its directory, and the component.
async fn made(root: &Path, name: &str, options: &[&str]) -> Result<(PathBuf, PathBuf)> {
    succeed(root, ["plugin", "new", name].iter().chain(options)).await?;
    let directory = root.join(name);
    let said = succeed(&directory, ["plugin", "build"]).await?;
    let component = directory.join(name).with_extension("wasm");
    ensure!(component.is_file(), "build said:\n{said}");
    Ok((directory, component))
}

#[tokio::test]
async fn a_playlist_plugin_is_begun_built_checked_tested_and_streams() -> Result<()> {
    let root = tempfile::tempdir()?;
    let (directory, component) = made(root.path(), "my-list", &["--hook", "playlist"]).await?;

    let checked = succeed(&directory, ["plugin", "check", "my-list.wasm", "--json"]).await?;
    let checked: Value = serde_json::from_str(&checked).context(checked)?;
    assert_eq!(checked["name"], "my-list");
    assert_eq!(checked["hooks"], serde_json::json!(["playlist"]));
    assert_eq!(checked["options"][0]["key"], "segments");
    assert_eq!(checked["documents"][0]["address"], "/cam/my-list.m3u8");
    assert_eq!(checked["grants"], serde_json::json!([]));

    let shown = succeed(&directory, ["plugin", "test", "my-list.wasm"]).await?;
    assert!(shown.contains("#EXT-X-MEDIA-SEQUENCE:1000\n"), "{shown}");

    let host = Host::source("pattern")
        .plugin(&format!("{},segments=3", component.display()))
        .start()
        .await?;
    let client = host.http1()?;
    let list = client.fetch("/cam/my-list.m3u8").await?;
    assert!(list.starts_with(b"#EXTM3U\n"), "{list:?}");
    Ok(())
}

/// The example in a language is what `plugin new` writes. Built, it answers as those in the other languages do. `tools` is
/// what the project needs once.
async fn front_door(
    lang: &str,
    source: &str,
    tools: impl AsyncFnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/front-door");
    let root = tempfile::tempdir()?;
    succeed(
        root.path(),
        [
            "plugin",
            "new",
            "front-door",
            "--hook",
            "auth",
            "--lang",
            lang,
        ],
    )
    .await?;
    let directory = root.path().join("front-door");
    for file in [source, "README.md"] {
        let written = std::fs::read_to_string(directory.join(file))?;
        let shown = std::fs::read_to_string(examples.join(lang).join(file))?;
        ensure!(
            written == shown,
            "examples/front-door/{lang}/{file} is not what `plugin new` writes"
        );
    }
    tools(&directory).await?;
    succeed(&directory, ["plugin", "build"]).await?;
    let cases = examples.join("cases");
    let said = succeed(
        &directory,
        [
            "plugin".as_ref(),
            "test".as_ref(),
            "front-door.wasm".as_ref(),
            cases.as_os_str(),
        ],
    )
    .await?;
    ensure!(said.ends_with("8 passed, 0 failed\n"), "{said}");
    Ok(())
}

/// Runs a tool that prepares a project.
async fn prepare(directory: &Path, program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .output()
        .await
        .with_context(|| format!("starting {program}"))?;
    ensure!(
        output.status.success(),
        "{program} {} failed: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

#[tokio::test]
async fn the_front_door_in_rust_needs_nothing_but_a_compiler() -> Result<()> {
    front_door("rust", "src/lib.rs", async |_: &Path| Ok(())).await
}

#[tokio::test]
async fn the_front_door_in_c_answers_as_the_others_do() -> Result<()> {
    front_door("c", "plugin.c", async |_: &Path| Ok(())).await
}

#[tokio::test]
async fn the_front_door_in_javascript_answers_as_the_others_do() -> Result<()> {
    front_door("js", "plugin.js", async |project: &Path| {
        // 400 MB of packages: fetched once, and lent to the project.
        let packages = target_directory().join("kit-js");
        std::fs::create_dir_all(&packages)?;
        std::fs::copy(project.join("package.json"), packages.join("package.json"))?;
        prepare(&packages, "npm", &["install", "--no-audit", "--no-fund"]).await?;
        std::os::unix::fs::symlink(packages.join("node_modules"), project.join("node_modules"))?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_front_door_in_python_answers_as_the_others_do() -> Result<()> {
    front_door("python", "plugin.py", async |project: &Path| {
        let venv = target_directory().join("kit-python");
        let shown = venv.to_str().context("the target directory is UTF-8")?;
        if !venv.join("bin/componentize-py").exists() {
            prepare(project, "python3", &["-m", "venv", shown]).await?;
            let pip = venv.join("bin/pip");
            let pip = pip.to_str().context("the target directory is UTF-8")?;
            prepare(
                project,
                pip,
                &["install", "--quiet", "componentize-py==0.25.1"],
            )
            .await?;
        }
        std::os::unix::fs::symlink(&venv, project.join(".venv"))?;
        Ok(())
    })
    .await
}

/// By how much of a turn, clockwise from the top, the hand of the example `dial` is turned in a picture of 320x180, if it
/// is drawn. The dial is 800 thousandths high.
fn hand(luma: &[u8]) -> Option<f64> {
    // 20 thousandths of 180 rows from the upper and the right edge.
    let (radius, away) = (72.0, 3.6);
    let middle = (320.0 - away - radius, away + radius);
    let (mut right, mut up) = (0.0, 0.0);
    for degree in 0..360 {
        // Halfway between the middle and the marks.
        let (sine, cosine) = f64::from(degree).to_radians().sin_cos();
        let (x, y) = (
            middle.0 + 0.5 * radius * sine,
            middle.1 - 0.5 * radius * cosine,
        );
        let bright = f64::from(luma[y as usize * 320 + x as usize].saturating_sub(150));
        right += bright * sine;
        up += bright * cosine;
    }
    let drawn = right.hypot(up) > 100.0;
    drawn.then(|| right.atan2(up) / std::f64::consts::TAU)
}

#[tokio::test]
async fn the_dial_shows_on_each_picture_when_it_was_captured() -> Result<()> {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/dial");
    let root = tempfile::tempdir()?;
    succeed(root.path(), ["plugin", "new", "dial"]).await?;
    let directory = root.path().join("dial");
    let written = std::fs::read_to_string(directory.join("Cargo.toml"))?;
    let shown = std::fs::read_to_string(example.join("Cargo.toml"))?;
    ensure!(
        written.replace("\"picam-plugin\"", "\"../../plugins/sdk\"") == shown,
        "examples/dial/Cargo.toml is not what `plugin new` writes"
    );
    std::fs::copy(example.join("src/lib.rs"), directory.join("src/lib.rs"))?;
    let shared = target_directory().join("plugins");
    let shared = shared.to_str().context("the target directory is UTF-8")?;
    // What the stock plugins' tests compiled needn't be compiled again.
    let test = ["test", "--offline", "--quiet", "--target-dir", shared];
    prepare(&directory, "cargo", &test).await?;
    succeed(&directory, ["plugin", "build"]).await?;

    let component = directory.join("dial.wasm");
    let host = Host::source("pattern")
        .arguments(["--size", "320x180"])
        .plugin(&format!("{},size=800", component.display()))
        .start()
        .await?;
    host.segments(3).await?;
    let pictures = host.luma((320, 180)).await?;
    let (mut drawn, mut off) = (0, 0.0_f64);
    for picture in &pictures {
        let card = clockbar::read(picture, 320, 320, 180).context("the clock bar")?;
        // A picture may go without, where the machine is busy, but never has another one's.
        if let Some(hand) = hand(picture) {
            drawn += 1;
            let turned = (card.millis % 1_000) as f64 / 1_000.0;
            let between = (hand - turned).rem_euclid(1.0);
            off = off.max(between.min(1.0 - between) * 1_000.0);
        }
    }
    let all = pictures.len();
    println!("{drawn} of {all} pictures have a hand, off by {off:.0} ms at most");
    ensure!(drawn > 0, "no hand on any of {all} pictures");
    ensure!(
        off < 33.0,
        "a hand is {off:.0} ms off: it is another picture's"
    );
    Ok(())
}

#[tokio::test]
async fn answers_are_compared_with_those_that_were_blessed() -> Result<()> {
    let root = tempfile::tempdir()?;
    let window = succeed(
        root.path(),
        ["plugin", "test", "ll-hls", "--print-window", "ended"],
    )
    .await?;
    std::fs::write(
        root.path().join("recorded.json"),
        window.replace("seg-1003", "other-name"),
    )?;
    std::fs::write(
        root.path().join("cases.toml"),
        "[config]\nhold-back = \"4\"\n[[case]]\nname = \"recorded\"\nhook = \"playlist\"\ndocument = \
         \"video.m3u8\"\nwindow = \"recorded.json\"\n",
    )?;
    let test = ["plugin", "test", "ll-hls.wasm", "."];
    assert_eq!(picam(root.path(), test).await?.status.code(), Some(1));
    succeed(root.path(), test.iter().chain(&["--bless"])).await?;
    let answer = std::fs::read_to_string(root.path().join("recorded.txt"))?;
    assert!(answer.contains("other-name.m4s\n"), "{answer}");
    succeed(root.path(), test).await?;

    std::fs::write(
        root.path().join("recorded.txt"),
        answer.replace("other-name", "yet-another"),
    )?;
    let output = picam(root.path(), test).await?;
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.contains("- yet-another.m4s\n+ other-name.m4s\n"),
        "{said}"
    );
    assert!(said.ends_with("0 passed, 1 failed\n"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_plugin_is_tested_with_the_grants_of_its_cases_and_told_which_it_lacks() -> Result<()> {
    let root = tempfile::tempdir()?;
    let stock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/stock/auth-basic.wasm");
    std::fs::copy(stock, root.path().join("mine.wasm"))?;
    let cases = "[config]\nusers = \"ada:$2y$04$abcdefghijklmnopqrstuu5LLVZzhOtXXFRGMwHrg9pFrv0Sr3BHW\"\n\
                 [[case]]\nname = \"a-stranger\"\nhook = \"auth\"\npath = \"/\"\n";
    let test = ["plugin", "test", "mine.wasm", ".", "--bless"];
    let file = root.path().join("cases.toml");
    std::fs::write(&file, cases)?;
    let output = picam(root.path(), test).await?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("add \"kv\" to `grants` there"), "{said}");

    std::fs::write(&file, format!("grants = [\"random\", \"kv\"]\n{cases}"))?;
    let output = picam(root.path(), test).await?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*said), (Some(0), ""));

    std::fs::write(&file, format!("grants = [\"rndom\"]\n{cases}"))?;
    let output = picam(root.path(), test).await?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("did you mean `random`?"), "{said}");
    Ok(())
}

#[tokio::test]
async fn what_is_no_plugin_is_told_and_the_status_says_so() -> Result<()> {
    let root = tempfile::tempdir()?;
    std::fs::write(root.path().join("not.wasm"), "#!/bin/sh\n")?;
    let output = picam(root.path(), ["plugin", "check", "not.wasm"]).await?;
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.contains("wrong") && said.contains("not WebAssembly"),
        "{said}"
    );

    let output = picam(root.path(), ["plugin", "build"]).await?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("picam-host plugin new"), "{said}");
    Ok(())
}

#[tokio::test]
async fn the_doctor_names_what_is_wrong_and_says_so_in_its_status() -> Result<()> {
    let root = tempfile::tempdir()?;
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let listen = taken.local_addr()?.to_string();
    let healthy = [
        "doctor",
        "--json",
        "--source",
        "pattern",
        "--operator",
        "127.0.0.1:0",
        "--listen",
    ];
    let output = picam(root.path(), healthy.iter().chain(&[&*listen])).await?;
    let said: Value = serde_json::from_slice(&output.stdout)?;
    let wrong = |said: &Value| -> Vec<String> {
        said["findings"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|finding| finding["level"] == "wrong")
            .map(|finding| finding["subject"].to_string())
            .collect()
    };
    assert_eq!(wrong(&said), ["\"port\""], "{said}");
    assert_eq!(output.status.code(), Some(1));
    drop(taken);

    let said = succeed(root.path(), healthy.iter().chain(&["127.0.0.1:0"])).await?;
    assert!(wrong(&serde_json::from_str(&said)?).is_empty(), "{said}");
    Ok(())
}

#[tokio::test]
async fn too_little_address_space_is_found_before_the_stream_is() -> Result<()> {
    let program = picam_tests::program()?;
    // Enough for the program itself, and not for what plugins reserve.
    let script = "ulimit -v 300000; exec \"$0\" doctor --source pattern --listen 127.0.0.1:0 --operator 127.0.0.1:0";
    let output = Command::new("sh")
        .args(["-c", script])
        .arg(program)
        .output()
        .await?;
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("wrong  address space"), "{said}");
    assert!(said.contains("ulimit -v unlimited"), "{said}");
    Ok(())
}
