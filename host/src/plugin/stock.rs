//! The plugins that the binary brings along: what `cargo xtask plugins` last built.

/// Name and component of each.
pub(super) const ALL: &[(&str, &[u8])] = &[(
    "ll-hls.wasm",
    include_bytes!("../../../plugins/stock/ll-hls.wasm"),
)];
