//! Puts the page together: `page/index.html` with the player from npm inside, so that the binary serves it in one answer
//! and nobody needs npm to watch.
//!
//! The player is hls.js, in the version that `page/package-lock.json` pins. It is looked for at `PICAM_HLS_JS` (a path to
//! `hls.light.min.js`, for builds without a network), then in `page/node_modules`, else `npm ci` fetches it into the build
//! directory. Where there is no npm, the page is built without it: it then plays where the browser itself knows HLS, and
//! says so elsewhere.
//!
//! In `OUT_DIR` lie then `page.html`, `page.html.gz` and `page.etag`, and `stock.rs`, the list of the plugins in
//! `plugins/stock`.
//!
//! Beside them lies `kit_files.rs`: the contract and the SDK, which `picam-host plugin new` gives to people who have
//! nothing but the binary.

use std::{
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use sha2::{Digest, Sha256};

/// The tag of `index.html` that the player's text replaces; it lets the file run as it lies there, too.
const PLAYER_TAG: &str = r#"<script src="node_modules/hls.js/dist/hls.light.min.js"></script>"#;
/// Where the policy goes: as early as can be, for it covers only what follows.
const CHARSET_TAG: &str = "<meta charset=\"utf-8\">\n";

fn main() {
    // The whole folder, so that `npm ci` in it is noticed.
    println!("cargo::rerun-if-changed=page");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../plugins/stock");
    println!("cargo::rerun-if-env-changed=PICAM_HLS_JS");

    let source = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("Cargo sets it")).join("page");
    let out = PathBuf::from(env::var("OUT_DIR").expect("Cargo sets it"));

    let stock = source.join("../../plugins/stock");
    write(&out.join("stock.rs"), stock_plugins(&stock).as_bytes());

    let player = match player(&source, &out.join("npm")) {
        Ok(player) => player,
        Err(reason) => {
            println!(
                "cargo::warning=the page is built without hls.js, so only browsers that know HLS by themselves will \
                 play on it: {reason}. To have it inside, install Node.js with npm and touch host/page/index.html, or \
                 set PICAM_HLS_JS to a copy of hls.light.min.js"
            );
            String::new()
        }
    };
    let page = page(&read(&source.join("index.html")), &player);
    let digest: String = Sha256::digest(&page)[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(page.as_bytes())
        .expect("writing to memory succeeds");
    let gzip = gzip.finish().expect("writing to memory succeeds");

    write(&out.join("page.html"), page.as_bytes());
    write(&out.join("page.html.gz"), &gzip);
    write(&out.join("page.etag"), format!("\"{digest}\"").as_bytes());

    let operator = with_policy(&read(&source.join("operator.html")), "connect-src 'self'");
    write(&out.join("operator.html"), operator.as_bytes());

    let root = source.join("../..");
    let kit = format!(
        "/// The contract: file names and texts.\npub const WIT: &[(&str, &str)] = &[{}];\n\
         /// The guest SDK's sources: paths below `src`, and texts.\npub const SDK: &[(&str, &str)] = &[{}];\n",
        included(&root.join("wit"), "wit"),
        included(&root.join("plugins/sdk/src"), "rs"),
    );
    write(&out.join("kit_files.rs"), kit.as_bytes());
}

/// `("path below the folder", include_str!("path"))` for each file with this extension.
fn included(folder: &Path, extension: &str) -> String {
    let mut files = Vec::new();
    collect(folder, &mut files);
    files.retain(|file| file.extension().is_some_and(|found| found == extension));
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    let entry = |file: &PathBuf| {
        let name = file
            .strip_prefix(folder)
            .expect("it was found below the folder");
        format!("({:?}, include_str!({:?}))", name, file)
    };
    files.iter().map(entry).collect::<Vec<_>>().join(", ")
}

/// All files below a folder. Cargo runs this again when one comes or goes.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    println!("cargo::rerun-if-changed={}", folder.display());
    let listing = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("listing {}: {error}", folder.display()));
    for entry in listing {
        let path = entry
            .unwrap_or_else(|error| panic!("listing {}: {error}", folder.display()))
            .path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}

/// A list of names and bytes, as Rust has it: all plugins in the folder, sorted.
fn stock_plugins(folder: &Path) -> String {
    let listing = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("listing {}: {error}", folder.display()));
    let mut paths: Vec<_> = listing
        .map(|entry| entry.expect("a folder can be read to its end").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "wasm")
        })
        .collect();
    paths.sort();
    let items = paths.iter().map(|path| {
        let name = path.file_name().expect("a file has a name");
        format!("({name:?}, include_bytes!({path:?})),\n")
    });
    format!("&[\n{}]\n", items.collect::<String>())
}

/// The page's text: the player inside, and a policy that lets run only what is in it.
fn page(index: &str, player: &str) -> String {
    assert!(
        index.matches(PLAYER_TAG).count() == 1,
        "page/index.html must contain {PLAYER_TAG} once"
    );
    let script = if player.is_empty() {
        String::new()
    } else {
        // The one sequence that would end the element early; in strings and regular expressions the slash may be escaped.
        format!(
            "<script>{}</script>",
            player.replace("</script", "<\\/script")
        )
    };
    with_policy(
        &index.replace(PLAYER_TAG, &script),
        "connect-src 'self'; media-src 'self' blob: data:",
    )
}

/// A page with a policy that lets run only what is in it, and fetch only what is named here.
fn with_policy(page: &str, fetches: &str) -> String {
    assert!(
        page.contains(CHARSET_TAG),
        "every page must contain {CHARSET_TAG}"
    );
    let policy = format!(
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; base-uri 'none'; form-action 'none'; \
         {fetches}; img-src data:; script-src {}; style-src {}\">\n",
        hashes(page, "script"),
        hashes(page, "style"),
    );
    page.replace(CHARSET_TAG, &format!("{CHARSET_TAG}{policy}"))
}

/// The source list of a Content-Security-Policy that allows the elements of this name in the page, and no other.
fn hashes(page: &str, element: &str) -> String {
    let (open, close) = (format!("<{element}>"), format!("</{element}>"));
    let texts = page.split(&open).skip(1).map(|rest| {
        rest.split(&close)
            .next()
            .expect("a split has a first piece")
    });
    texts
        .map(|text| format!("'sha256-{}'", BASE64.encode(Sha256::digest(text))))
        .collect::<Vec<_>>()
        .join(" ")
}

/// The text of hls.js with its licence above it, or why there is none.
fn player(source: &Path, npm: &Path) -> Result<String, String> {
    if let Some(path) = env::var_os("PICAM_HLS_JS").map(PathBuf::from) {
        // Whoever names a file wants that one, or to hear that it isn't there.
        println!("cargo::rerun-if-changed={}", path.display());
        return Ok(licensed(&read(&path), "Apache License 2.0"));
    }
    let mut modules = source.join("node_modules");
    if !modules.join("hls.js").exists() {
        install(source, npm)?;
        modules = npm.join("node_modules");
    }
    let package = modules.join("hls.js");
    let player = text(&package.join("dist/hls.light.min.js"))?;
    Ok(licensed(&player, &text(&package.join("LICENSE"))?))
}

/// Whoever gets the player gets its licence. Its source map isn't there, so browsers are not sent looking.
fn licensed(player: &str, licence: &str) -> String {
    let code = player
        .lines()
        .filter(|line| !line.starts_with("//# sourceMappingURL="));
    format!(
        "/*!\nhls.js, https://github.com/video-dev/hls.js\n\n{}\n*/\n{}\n",
        licence.replace("*/", "* /").trim(),
        code.collect::<Vec<_>>().join("\n")
    )
}

/// `npm ci` in a copy of the manifest, unless it ran there for the same lock file.
fn install(source: &Path, directory: &Path) -> Result<(), String> {
    let lock = source.join("package-lock.json");
    let done = directory.join("installed-lock.json");
    if done.exists() && read(&done) == read(&lock) {
        return Ok(());
    }
    fs::create_dir_all(directory)
        .map_err(|error| format!("creating {}: {error}", directory.display()))?;
    for name in ["package.json", "package-lock.json"] {
        write(&directory.join(name), read(&source.join(name)).as_bytes());
    }
    let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
    let output = Command::new(npm)
        .args([
            "ci",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--no-update-notifier",
        ])
        .current_dir(directory)
        .output()
        .map_err(|error| format!("npm does not run ({error})"))?;
    if !output.status.success() {
        // Cargo shows a warning of one line; npm's first lines name the cause.
        let said = String::from_utf8_lossy(&output.stderr);
        let cause = said.lines().take(3).collect::<Vec<_>>().join("; ");
        return Err(format!("`npm ci` failed ({}): {cause}", output.status));
    }
    write(&done, read(&lock).as_bytes());
    Ok(())
}

fn text(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("reading {}: {error}", path.display()))
}

fn read(path: &Path) -> String {
    text(path).unwrap_or_else(|error| panic!("{error}"))
}

fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap_or_else(|error| panic!("writing {}: {error}", path.display()));
}
