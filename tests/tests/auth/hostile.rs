//! A plugin whose `decide` does what the token in the address begins with: it allows, denies, or means ill.

use anyhow::{Context, Result};
use wit_component::StringEncoding;
use wit_parser::Resolve;

const WORLD: &str = "package test:hostile;
    world hostile {
        include picam:plugin/imports@0.1.0;
        export picam:plugin/lifecycle@0.1.0;
        export picam:plugin/auth@0.1.0;
    }";

/// By the canonical ABI: `request` lies in memory with its path at 8 and its token at 16 (its text at 20), and `decision`
/// at 64 is 0 for `allow` with seconds at 4, a prefix at 8 and headers at 16, or 1 for `deny` with a status at 4.
const TEXT: &str = r#"(module
    (memory (export "memory") 2)
    (global $heap (mut i32) (i32.const 65536))
    (data (i32.const 256) "hostile")
    (data (i32.const 272) "1.0.0")
    (data (i32.const 288) "/cam/")
    (data (i32.const 304) "x\0d\0aset-cookie: a=b")
    ;; description: name, version, summary, options
    (data (i32.const 512) "\00\01\00\00\07\00\00\00\10\01\00\00\05\00\00\00\00\01\00\00\07\00\00\00\00\00\00\00\00\00\00\00")
    ;; one header field: name and value
    (data (i32.const 576) "\30\01\00\00\01\00\00\00\30\01\00\00\13\00\00\00")
    (func (export "cabi_realloc") (param i32 i32) (param $align i32) (param $size i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and
            (i32.add (global.get $heap) (i32.sub (local.get $align) (i32.const 1)))
            (i32.sub (i32.const 0) (local.get $align))))
        (global.set $heap (i32.add (local.get $at) (local.get $size)))
        (local.get $at))
    (func (export "picam:plugin/lifecycle@0.1.0#describe") (result i32) (i32.const 512))
    (func (export "picam:plugin/lifecycle@0.1.0#init") (param i32 i32) (result i32)
        (i32.store8 (i32.const 64) (i32.const 0))
        (i32.const 64))
    ;; declares nothing
    (func (export "picam:plugin/auth@0.1.0#reads") (result i32) (i32.const 1024))
    (func $answer (param $kind i32) (param $first i32) (result i32)
        (memory.fill (i32.const 64) (i32.const 0) (i32.const 64))
        (i32.store8 (i32.const 64) (local.get $kind))
        (i32.store offset=4 (i32.const 64) (local.get $first))
        (i32.const 64))
    (func (export "picam:plugin/auth@0.1.0#decide") (param $request i32) (result i32)
        (local $letter i32)
        (if (i32.eqz (i32.load8_u offset=16 (local.get $request)))
            (then (return (call $answer (i32.const 1) (i32.const 401)))))
        (local.set $letter (i32.load8_u (i32.load offset=20 (local.get $request))))
        (if (i32.eq (local.get $letter) (i32.const 97)) ;; allow
            (then
                (drop (call $answer (i32.const 0) (i32.const 3600)))
                (i32.store offset=8 (i32.const 64) (i32.const 288))
                (i32.store offset=12 (i32.const 64) (i32.const 5))
                (return (i32.const 64))))
        (if (i32.eq (local.get $letter) (i32.const 108)) ;; loop
            (then (loop $for_ever (br $for_ever))))
        (if (i32.eq (local.get $letter) (i32.const 98)) ;; bomb
            (then (loop $more (drop (memory.grow (i32.const 16))) (br $more))))
        (if (i32.eq (local.get $letter) (i32.const 104)) ;; header
            (then
                (drop (call $answer (i32.const 0) (i32.const 3600)))
                (i32.store offset=16 (i32.const 64) (i32.const 576))
                (i32.store offset=20 (i32.const 64) (i32.const 1))
                (return (i32.const 64))))
        (if (i32.eq (local.get $letter) (i32.const 115)) ;; status
            (then (return (call $answer (i32.const 1) (i32.const 200)))))
        (if (i32.eq (local.get $letter) (i32.const 100)) ;; deny
            (then (return (call $answer (i32.const 1) (i32.const 401)))))
        ;; On trial the token is `trial`, and other words with a t are to trap.
        (if (i32.eq (i32.load8_u offset=2 (i32.load offset=20 (local.get $request))) (i32.const 105))
            (then (return (call $answer (i32.const 1) (i32.const 401)))))
        (unreachable))
    (func (export "cabi_post_picam:plugin/auth@0.1.0#decide") (param i32)
        (global.set $heap (i32.const 65536))))"#;

/// The core module with the contract in it, as compilers write it.
pub fn module() -> Result<Vec<u8>> {
    let mut module = wat::parse_str(TEXT)?;
    let mut resolve = Resolve::default();
    resolve.push_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../wit"))?;
    let package = resolve.push_str("hostile.wit", WORLD)?;
    let world = resolve
        .select_world(&[package], Some("hostile"))
        .context("the world above")?;
    wit_component::embed_component_metadata(
        &mut module,
        &resolve,
        world,
        StringEncoding::UTF8,
        false,
    )?;
    Ok(module)
}
