//! Lines in the host's log, marked with the plugin's name, at most 10 a second. On the machine where a plugin is
//! tested they go to standard error.

use crate::bindings::imports::picam::plugin::log::Level;

/// Something failed.
pub fn error(message: &str) {
    write(Level::Error, message);
}

/// Something is wrong, and was coped with.
pub fn warn(message: &str) {
    write(Level::Warn, message);
}

/// Something worth knowing happened.
pub fn info(message: &str) {
    write(Level::Info, message);
}

/// For whoever works on the plugin.
pub fn debug(message: &str) {
    write(Level::Debug, message);
}

#[cfg(target_family = "wasm")]
fn write(level: Level, message: &str) {
    crate::bindings::imports::picam::plugin::log::write(level, message);
}

#[cfg(not(target_family = "wasm"))]
fn write(level: Level, message: &str) {
    let level = match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
    };
    eprintln!("{level}: {message}");
}
