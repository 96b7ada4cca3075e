//! `plugin build`: from a project's sources to `NAME.wasm`, with the tools of its language, which it finds or tells how to
//! get.

mod c;
mod javascript;
mod python;
mod rust;
mod tools;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};

use crate::plugin::into_component;

/// What to build.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Directory of the plugin's sources
    #[arg(default_value = ".")]
    directory: PathBuf,
}

/// The file by which a project's language is known, and what builds it. The result is a plugin's name and its module or
/// component.
type Build = fn(&Path) -> anyhow::Result<(String, Vec<u8>)>;
const LANGUAGES: [(&str, Build); 4] = [
    ("Cargo.toml", rust::build),
    ("plugin.js", javascript::build),
    ("plugin.py", python::build),
    ("plugin.c", c::build),
];

/// Builds, and says what was made.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let made = build(&arguments.directory)?;
    let size = fs::metadata(&made)
        .with_context(|| format!("looking at {}", made.display()))?
        .len();
    println!("{} ({size} bytes)", made.display());
    Ok(ExitCode::SUCCESS)
}

/// Builds the project, and writes the component into its directory. Its path.
fn build(directory: &Path) -> anyhow::Result<PathBuf> {
    let build = language(directory)?;
    let (name, code) =
        build(directory).with_context(|| format!("{} can't be built", shown(directory)))?;
    let component = into_component(code)
        .with_context(|| format!("what was built in {} is no plugin", shown(directory)))?;
    let path = directory.join(name).with_extension("wasm");
    replace(&path, &component).with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}

fn language(directory: &Path) -> anyhow::Result<Build> {
    let found: Vec<_> = LANGUAGES
        .iter()
        .filter(|(file, _)| directory.join(file).is_file())
        .collect();
    match found[..] {
        [(_, build)] => Ok(*build),
        [] => {
            let files = LANGUAGES.map(|(file, _)| file).join(", ");
            bail!(
                "there is no plugin in {}: it has none of {files}. `picam-host plugin new NAME` begins one",
                shown(directory)
            )
        }
        _ => {
            let files: Vec<_> = found.iter().map(|(file, _)| *file).collect();
            bail!(
                "{} has {}, so that it can't be told which language the plugin is in; keep one of them",
                shown(directory),
                files.join(" and ")
            )
        }
    }
}

/// A file for a tool to write to, which is gone when this is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(kind: &str) -> anyhow::Result<Self> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).context("asking for a random name")?;
        let name = format!("picam-host-{kind}-{:016x}.wasm", u64::from_le_bytes(random));
        let path = std::env::temp_dir().join(name);
        // Made here, so that nobody else can have put something there.
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .with_context(|| format!("making {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::warn!("{} can't be removed: {error}", self.0.display());
        }
    }
}

/// A directory as somebody would call it.
fn shown(directory: &Path) -> String {
    if directory == Path::new(".") {
        "this directory".to_owned()
    } else {
        directory.display().to_string()
    }
}

/// Writes a file under another name first: a host that runs may be watching this one.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension("wasm.new");
    fs::write(&temporary, bytes)?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_without_a_plugin_is_told_how_to_begin_one() {
        let folder = tempfile::tempdir().unwrap();
        let error = build(folder.path()).unwrap_err().to_string();
        assert!(
            error.contains("plugin new") && error.contains("plugin.c"),
            "{error}"
        );
    }

    #[test]
    fn a_directory_with_two_languages_is_not_guessed_at() {
        let folder = tempfile::tempdir().unwrap();
        for (file, _) in LANGUAGES {
            fs::write(folder.path().join(file), "").unwrap();
        }
        let error = build(folder.path()).unwrap_err().to_string();
        assert!(error.contains("Cargo.toml and "), "{error}");
    }
}
