//! Puts the page together: `page/index.html` with the scripts that it names inside, and beside it what it loads when it
//! needs it: `player.js`, our own player in one module, and hls.js and dash.js from npm, so that nobody needs npm to watch.
//!
//! Those are taken in the versions that `page/package-lock.json` pins. They are looked for at `PICAM_HLS_JS` and
//! `PICAM_DASH_JS` (paths to `hls.light.min.js` and `dash.mediaplayer.min.js`, for builds without a network), then in
//! `page/node_modules`, else `npm ci` fetches them into the build directory. Where there is no npm, the host is built
//! without them, and the page plays with our own player and with what the browser itself knows.
//!
//! In `OUT_DIR` lie then `page_files.rs`, the list of the page's files, and `stock.rs`, the list of the plugins in
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

/// A player from npm: its address, the variable that names a copy, its package, the file in it, where it comes from, and
/// what of its package is its licence.
struct Library {
    path: &'static str,
    variable: &'static str,
    package: &'static str,
    file: &'static str,
    home: &'static str,
    licence: &'static str,
}

const LIBRARIES: [Library; 2] = [
    Library {
        path: "/hls.js",
        variable: "PICAM_HLS_JS",
        package: "hls.js",
        file: "dist/hls.light.min.js",
        home: "https://github.com/video-dev/hls.js",
        licence: "LICENSE",
    },
    Library {
        path: "/dash.js",
        variable: "PICAM_DASH_JS",
        package: "dashjs",
        file: "dist/modern/umd/dash.mediaplayer.min.js",
        home: "https://github.com/Dash-Industry-Forum/dash.js",
        licence: "LICENSE.md",
    },
];

/// The parts of `player.js`, which are modules of their own as they lie in `page`; the first is what others import.
const PLAYER: [&str; 4] = [
    "player.js",
    "player-canvas.js",
    "player-video.js",
    "player-boxes.js",
];

/// Where the policy goes: as early as can be, for it covers only what follows.
const CHARSET_TAG: &str = "<meta charset=\"utf-8\">\n";

const SCRIPT: &str = "text/javascript; charset=utf-8";

fn main() {
    // The whole folder, so that `npm ci` in it is noticed.
    println!("cargo::rerun-if-changed=page");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../plugins/stock");

    let source = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("Cargo sets it")).join("page");
    let out = PathBuf::from(env::var("OUT_DIR").expect("Cargo sets it"));

    let stock = source.join("../../plugins/stock");
    write(&out.join("stock.rs"), stock_plugins(&stock).as_bytes());

    let mut files = vec![
        ("/", "text/html; charset=utf-8", page(&source)),
        ("/player.js", SCRIPT, module(&source)),
    ];
    for library in &LIBRARIES {
        println!("cargo::rerun-if-env-changed={}", library.variable);
        match library.text(&source, &out.join("npm")) {
            Ok(text) => files.push((library.path, SCRIPT, text)),
            Err(reason) => println!(
                "cargo::warning=the page is built without {}, so nobody can choose it there: {reason}. To have it inside, \
                 install Node.js with npm and touch host/page/index.html, or set {} to a copy of {}",
                library.package, library.variable, library.file
            ),
        }
    }
    let list: String = files
        .iter()
        .map(|(path, content_type, text)| page_file(&out, path, content_type, text))
        .collect();
    write(
        &out.join("page_files.rs"),
        format!("&[\n{list}]\n").as_bytes(),
    );

    let operator = with_policy(
        &read(&source.join("operator.html")),
        "",
        "connect-src 'self'",
    );
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

/// Writes down a file of the page, compressed as well. Returns it as Rust has it.
fn page_file(out: &Path, path: &str, content_type: &str, text: &str) -> String {
    let tag: String = Sha256::digest(text)[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(text.as_bytes())
        .expect("writing to memory succeeds");
    let gzip = gzip.finish().expect("writing to memory succeeds");
    let plain = out.join(match path {
        "/" => "page.html",
        path => &path[1..],
    });
    let packed = plain.with_added_extension("gz");
    write(&plain, text.as_bytes());
    write(&packed, &gzip);
    format!(
        "PageFile {{ path: {path:?}, content_type: {content_type:?}, text: include_bytes!({plain:?}), gzip: \
         include_bytes!({packed:?}), tag: {tag:?} }},\n"
    )
}

/// The page's text: the scripts that it names inside, and a policy that lets run only those and what lies beside it.
fn page(source: &Path) -> String {
    let index = read(&source.join("index.html"));
    let mut pieces = index.split("<script src=\"");
    let mut page = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (name, rest) = piece
            .split_once("\"></script>")
            .expect("a script of the page is named and nothing else");
        // The one sequence that would end the element early; in strings and regular expressions the slash may be escaped.
        let script = read(&source.join(name)).replace("</script", "<\\/script");
        page += &format!("<script>\n{script}</script>{rest}");
    }
    with_policy(
        &page,
        "'self' ",
        "connect-src 'self'; media-src 'self' blob: data:",
    )
}

/// `player.js`: its parts in one module, without the lines by which they import each other.
fn module(source: &Path) -> String {
    let part = |(index, name): (usize, &&str)| {
        let text = read(&source.join(name));
        let lines = text.lines().filter(|line| !line.starts_with("import "));
        let lines = lines.map(|line| match index {
            0 => line,
            _ => line.strip_prefix("export ").unwrap_or(line),
        });
        lines.collect::<Vec<_>>().join("\n") + "\n"
    };
    PLAYER.iter().enumerate().map(part).collect()
}

/// A page with a policy that lets run only what is in it and these `scripts`, and fetch only what is named here.
fn with_policy(page: &str, scripts: &str, fetches: &str) -> String {
    assert!(
        page.contains(CHARSET_TAG),
        "every page must contain {CHARSET_TAG}"
    );
    let policy = format!(
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; base-uri 'none'; form-action 'none'; \
         {fetches}; img-src data:; script-src {scripts}{}; style-src {}\">\n",
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

impl Library {
    /// Its text with its licence above it, or why there is none.
    fn text(&self, source: &Path, npm: &Path) -> Result<String, String> {
        if let Some(path) = env::var_os(self.variable).map(PathBuf::from) {
            // Whoever names a file wants that one, or to hear that it isn't there.
            println!("cargo::rerun-if-changed={}", path.display());
            return Ok(self.licensed(&read(&path), "Its licence lies where it comes from."));
        }
        let mut modules = source.join("node_modules");
        if !modules.join(self.package).exists() {
            install(source, npm)?;
            modules = npm.join("node_modules");
        }
        let package = modules.join(self.package);
        let licence = text(&package.join(self.licence))?;
        Ok(self.licensed(&text(&package.join(self.file))?, &licence))
    }

    /// Whoever gets the library gets its licence. Its source map isn't there, so browsers are not sent looking.
    fn licensed(&self, code: &str, licence: &str) -> String {
        let code = code
            .lines()
            .filter(|line| !line.starts_with("//# sourceMappingURL="));
        format!(
            "/*!\n{}, {}\n\n{}\n*/\n{}\n",
            self.package,
            self.home,
            licence.replace("*/", "* /").trim(),
            code.collect::<Vec<_>>().join("\n")
        )
    }
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
