//! The plugins that the binary brings along: what `cargo xtask plugins` last built into `plugins/stock`.

/// Name and component of each, sorted. The build script lists them.
pub(super) const ALL: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/stock.rs"));
