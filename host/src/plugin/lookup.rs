use std::{
    fmt, fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

use super::{
    stock,
    suggest::{list, suggest},
};

/// No plugin is larger. One in Python has 18 MiB.
const FILE_MOST: u64 = 64 << 20;

/// Where a plugin was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PluginOrigin {
    /// A file.
    File(PathBuf),
    /// The binary itself.
    Stock(&'static str),
}

impl fmt::Display for PluginOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Stock(name) => write!(f, "{name} (built in)"),
        }
    }
}

/// Finds the plugin that `file` names: a path if there is one, else a file in a plugin directory, else a stock plugin.
/// In the latter two, `.wasm` may be left out.
pub(super) fn find(file: &str, directories: &[PathBuf]) -> anyhow::Result<PluginOrigin> {
    let path = Path::new(file);
    if path.is_dir() {
        bail!("it is a directory; name the .wasm file in it");
    }
    if path.is_file() {
        return Ok(PluginOrigin::File(path.to_owned()));
    }
    if path.exists() {
        bail!("it is no regular file; name a .wasm file");
    }
    let names = [file.to_owned(), format!("{file}.wasm")];
    let plain = !file.contains('/');
    if plain {
        for directory in directories {
            for name in &names {
                let candidate = directory.join(name);
                if candidate.is_file() {
                    return Ok(PluginOrigin::File(candidate));
                }
            }
        }
        for &(stock, _) in stock::ALL {
            if names.iter().any(|name| name == stock) {
                return Ok(PluginOrigin::Stock(stock));
            }
        }
    }
    let known = || stock::ALL.iter().map(|&(name, _)| name);
    let mut error = "there is no such file".to_owned();
    if plain {
        if !directories.is_empty() {
            let directories: Vec<_> = directories
                .iter()
                .map(|d| d.display().to_string())
                .collect();
            error += &format!(", none in {}", directories.join(", "));
        }
        error += ", and no stock plugin of that name";
        if let Some(meant) = suggest(&names[1], known()).or_else(|| suggest(file, known())) {
            error += &format!("; did you mean `{meant}`?");
        }
        error += &format!(" Stock plugins are {}", list(known()));
    }
    bail!(error)
}

/// The bytes of a plugin that was found.
pub(super) fn read(origin: &PluginOrigin) -> anyhow::Result<Vec<u8>> {
    match origin {
        PluginOrigin::Stock(name) => Ok(stock::ALL
            .iter()
            .find(|(stock, _)| stock == name)
            .map(|(_, bytes)| bytes.to_vec())
            .expect("only stock plugins are found among them")),
        PluginOrigin::File(path) => {
            let file = fs::File::open(path).context("it can't be opened")?;
            let mut bytes = Vec::new();
            file.take(FILE_MOST + 1)
                .read_to_end(&mut bytes)
                .context("it can't be read")?;
            if bytes.len() as u64 > FILE_MOST {
                bail!(
                    "it is larger than {} MiB, which no plugin is",
                    FILE_MOST >> 20
                );
            }
            Ok(bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_comes_before_the_directories_and_a_directory_before_another() {
        let root = tempfile::tempdir().unwrap();
        let directories = [root.path().join("a"), root.path().join("b")];
        for directory in &directories {
            fs::create_dir(directory).unwrap();
        }
        let file = |name: &str| {
            let path = root.path().join(name);
            fs::write(&path, b"x").unwrap();
            path
        };
        let in_b = file("b/own.wasm");
        assert_eq!(find("own", &directories).unwrap(), PluginOrigin::File(in_b));
        let in_a = file("a/own.wasm");
        assert_eq!(
            find("own.wasm", &directories).unwrap(),
            PluginOrigin::File(in_a)
        );
        let path = file("own.wasm");
        assert_eq!(
            find(path.to_str().unwrap(), &directories).unwrap(),
            PluginOrigin::File(path)
        );
    }

    #[test]
    fn what_is_not_found_is_told_with_where_it_was_looked_for() {
        let error = find("nothing.wasm", &[PathBuf::from("/opt/plugins")])
            .unwrap_err()
            .to_string();
        assert!(error.contains("/opt/plugins"), "{error}");
        assert!(error.contains("Stock plugins"), "{error}");
        let error = find("./nothing.wasm", &[]).unwrap_err().to_string();
        assert_eq!(error, "there is no such file");
        assert!(
            find("/", &[])
                .unwrap_err()
                .to_string()
                .contains("directory")
        );
    }
}
