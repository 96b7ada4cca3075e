//! `plugin new`: a small working plugin, from templates inside the binary.
//!
//! What is written stands alone: the contract is in it, and a plugin in Rust brings the SDK along, with the work of its one
//! macro done, so that it compiles without a network. A template is source code with two kinds of marks, see [`template`].

mod foreign;
mod name;
mod rust;
mod template;

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use clap::{
    ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};

use self::name::Name;
use super::files;
use crate::plugin::Hook;

/// What to write.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Name of the plugin, and of the directory that is made: lower-case letters, digits and `-`
    name: Name,

    /// What the plugin decides. May be repeated
    #[arg(long, value_parser = hook(), default_value = Hook::Overlay.name())]
    hook: Vec<Hook>,

    /// Language that it is written in
    #[arg(long, value_enum, default_value = "rust")]
    lang: Language,
}

/// Reads a hook's name.
fn hook() -> impl TypedValueParser<Value = Hook> {
    PossibleValuesParser::new(Hook::ALL.map(Hook::name)).map(|name| {
        let named = Hook::ALL.into_iter().find(|hook| hook.name() == name);
        named.expect("it is one of the names that there are")
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Language {
    /// Small and quick; comes with a library
    Rust,
    /// Needs Node.js to build; large, and some seconds to compile
    Js,
    /// Needs Python to build; large, and some seconds to compile
    Python,
    /// Needs clang to build; small and quick
    C,
}

/// One file of a project: its path, and what is in it.
type File = (PathBuf, String);

/// Writes the project, and says what to do next.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    // In the contract's order, each once.
    let hooks: Vec<_> = Hook::ALL
        .into_iter()
        .filter(|hook| arguments.hook.contains(hook))
        .collect();
    let name = &arguments.name;
    let directory = Path::new(name.as_str());
    let project = match arguments.lang {
        Language::Rust => rust::project(name, &hooks)?,
        Language::Js => foreign::javascript(name, &hooks),
        Language::Python => foreign::python(name, &hooks),
        Language::C => foreign::c(name, &hooks),
    };
    write(directory, &project)
        .with_context(|| format!("beginning a plugin in {}", directory.display()))?;
    println!(
        "{name}/ is a plugin that {}. Next:\n\n    cd {name}\n{}    picam-host plugin build\n    picam-host plugin test \
         {name}.wasm\n    picam-host --source pattern --plugin ./{name}.wasm\n\n{name}/README.md says what is where.",
        summary(&hooks),
        match arguments.lang {
            Language::Rust | Language::C => "",
            Language::Js => "    npm install\n",
            Language::Python => {
                "    python3 -m venv .venv && .venv/bin/pip install componentize-py==0.25.1\n"
            }
        },
    );
    Ok(ExitCode::SUCCESS)
}

/// What it does, as part of a sentence.
fn summary(hooks: &[Hook]) -> String {
    let summaries: Vec<_> = hooks
        .iter()
        .map(|hook| match hook {
            Hook::Playlist => "lists whole segments",
            Hook::Naming => "gives media names that can be read",
            Hook::Auth => "lets in the local network, and whoever knows the word",
            Hook::Overlay => "writes a line on the picture",
        })
        .collect();
    summaries.join(", and ")
}

/// The contract's files, below `folder`.
fn contract(folder: &str) -> impl Iterator<Item = File> {
    let folder = PathBuf::from(folder);
    files::WIT
        .iter()
        .map(move |(file, text)| (folder.join(file), (*text).to_owned()))
}

/// Writes the files into a directory that is new or empty. Nothing is ever written over.
fn write(directory: &Path, project: &[File]) -> anyhow::Result<()> {
    match fs::read_dir(directory) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                bail!("it exists and is not empty; choose another name, or remove it");
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).context("it exists and can't be listed"),
    }
    for (path, text) in project {
        let path = directory.join(path);
        let parent = path.parent().expect("a file lies in the project");
        fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_never_written_over() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("my-plugin");
        let project = [(PathBuf::from("src/lib.rs"), "new".to_owned())];
        write(&directory, &project).unwrap();
        fs::write(directory.join("src/lib.rs"), "mine").unwrap();
        let error = write(&directory, &project).unwrap_err().to_string();
        assert!(error.contains("not empty"), "{error}");
        assert_eq!(
            fs::read_to_string(directory.join("src/lib.rs")).unwrap(),
            "mine"
        );
    }

    #[test]
    fn an_empty_directory_will_do() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), &[("a".into(), "b".into())]).unwrap();
        assert_eq!(fs::read_to_string(root.path().join("a")).unwrap(), "b");
    }
}
