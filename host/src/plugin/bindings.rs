//! The contract of `wit/` as Rust types.
//!
//! The world is the one of all hooks. No plugin must export all of it: exports are looked up interface by interface. The arguments of `render` are not from here but from [`super::window`], which lowers them without copying
//! each string first.

#![allow(
    dead_code,
    unused_variables,
    reason = "generated for a whole world, of which the parts that suit us are used"
)]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "plugin",
    imports: { default: trappable },
});
