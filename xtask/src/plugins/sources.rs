use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

/// What the `.wasm` of a stock plugin is made from, relative to the workspace's root; folders with all that is in them.
fn inputs(name: &str) -> [String; 8] {
    [
        "plugins/Cargo.lock".into(),
        "plugins/Cargo.toml".into(),
        "plugins/componentize/src".into(),
        format!("plugins/{name}/Cargo.toml"),
        format!("plugins/{name}/src"),
        "plugins/sdk/Cargo.toml".into(),
        "plugins/sdk/src".into(),
        "wit".into(),
    ]
}

/// SHA-256, in hexadecimal, of a stock plugin's sources: names, lengths and contents, in the order of their names. It
/// depends neither on where the workspace lies nor on the order in which a file system lists.
pub fn hash(root: &Path, name: &str) -> Result<String> {
    let mut files = Vec::new();
    for input in inputs(name) {
        collect(root, &input, &mut files)?;
    }
    ensure!(!files.is_empty(), "{name} has no sources");
    files.sort();

    let mut hash = Sha256::new();
    for file in &files {
        let path = root.join(file);
        let text = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        hash.update(format!("{file}\0{}\0", text.len()));
        hash.update(text);
    }
    Ok(hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

/// Adds a file, or the files below a folder, as slash-separated paths below `root`.
fn collect(root: &Path, path: &str, files: &mut Vec<String>) -> Result<()> {
    // Nothing is made from what is written for people.
    if path.ends_with("/README.md") {
        return Ok(());
    }
    let full: PathBuf = root.join(path);
    if full.is_file() {
        files.push(path.to_owned());
        return Ok(());
    }
    let listing = fs::read_dir(&full).with_context(|| format!("listing {}", full.display()))?;
    for entry in listing {
        let name = entry?.file_name();
        let name = name
            .to_str()
            .with_context(|| format!("{name:?} in {} is no UTF-8", full.display()))?;
        collect(root, &format!("{path}/{name}"), files)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A workspace with just enough in it. Removed when dropped.
    struct Made(PathBuf);

    impl Made {
        fn new(place: &str) -> Self {
            let root = std::env::temp_dir().join(format!("xtask-{}-{place}", std::process::id()));
            let made = Self(root);
            for input in inputs("p") {
                let file = if Path::new(&input).extension().is_some() {
                    input
                } else {
                    input + "/file"
                };
                made.write(&file, &file);
            }
            made
        }

        fn write(&self, file: &str, text: &str) {
            let path = self.0.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn hash(&self) -> String {
            hash(&self.0, "p").unwrap()
        }
    }

    impl Drop for Made {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn the_hash_does_not_depend_on_where_the_sources_lie() {
        assert_eq!(Made::new("here").hash(), Made::new("there").hash());
    }

    #[test]
    fn every_input_counts_by_name_and_by_content() {
        let made = Made::new("inputs");
        let before = made.hash();
        assert_eq!(before.len(), 64);
        for file in [
            "wit/types.wit",
            "plugins/p/src/deep/er.rs",
            "plugins/Cargo.lock",
        ] {
            let before = made.hash();
            made.write(file, "changed");
            assert_ne!(made.hash(), before, "{file}");
        }
        let changed = made.hash();
        fs::rename(made.0.join("wit/types.wit"), made.0.join("wit/other.wit")).unwrap();
        assert_ne!(made.hash(), changed, "a name");
        assert_ne!(made.hash(), before);
    }

    #[test]
    fn what_is_no_source_does_not_count() {
        let made = Made::new("others");
        let before = made.hash();
        made.write("plugins/p/tests/rules.rs", "a test");
        made.write("plugins/q/src/lib.rs", "another plugin");
        made.write("wit/README.md", "words");
        assert_eq!(made.hash(), before);
    }

    #[test]
    fn a_missing_source_is_named() {
        let made = Made::new("missing");
        fs::remove_dir_all(made.0.join("wit")).unwrap();
        let error = format!("{:#}", hash(&made.0, "p").unwrap_err());
        assert!(error.contains("wit"), "{error}");
    }
}
