//! Figures of the plugin's own on the operator's `/metrics`. They need the grant `metrics`. Natively they go nowhere.

/// Adds to a counter: 0 or more.
pub fn add(name: &str, value: f64) {
    #[cfg(target_family = "wasm")]
    crate::bindings::imports::picam::plugin::metrics::add(name, value);
    #[cfg(not(target_family = "wasm"))]
    let _ = (name, value);
}

/// Sets a gauge.
pub fn set(name: &str, value: f64) {
    #[cfg(target_family = "wasm")]
    crate::bindings::imports::picam::plugin::metrics::set(name, value);
    #[cfg(not(target_family = "wasm"))]
    let _ = (name, value);
}
