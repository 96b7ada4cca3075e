use std::path::Path;

use super::Config;

/// Body of the fuzz target `config`: a configuration file of whatever bytes is read, or refused in one line that says
/// which file's which line.
///
/// # Panics
///
/// When a rule is broken.
pub fn config(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    match Config::read(Path::new("/etc/picam.toml"), text) {
        Ok(config) => {
            assert!(!config.listen.is_empty());
            assert!((1..=240).contains(&config.stream.fps));
            assert!(config.stream.size.width > 0 && config.stream.size.height > 0);
            assert!(config.plugins.iter().all(|plugin| !plugin.file.is_empty()));
        }
        Err(error) => {
            let line = error.to_string();
            assert!(!line.contains('\n'), "not one line: {line}");
            let place = line
                .strip_prefix("/etc/picam.toml, line ")
                .and_then(|rest| rest.split_once(": "));
            let (number, message) = place.unwrap_or_else(|| panic!("no place: {line}"));
            let number: usize = number.parse().expect("the number of a line");
            assert!((1..=text.matches('\n').count() + 1).contains(&number));
            assert!(!message.is_empty());
        }
    }
}
