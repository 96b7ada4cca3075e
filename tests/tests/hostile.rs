//! Files that are small and want to become large, given for plugins: whoever loads one is told what is wrong with it, in
//! little time and little memory.

use std::fmt::Write as _;

use anyhow::{Result, ensure};
use picam_tests::PATIENCE;
use tokio::{process::Command, time::timeout};

/// What makes the host look further: a plugin by the names of its exports.
const EXPORTS: &str = "(instance $nothing)
    (export \"picam:plugin/lifecycle@0.1.0\" (instance $nothing))
    (export \"picam:plugin/naming@0.1.0\" (instance $nothing))";

/// Address space, in KiB. The host itself has its code in it, and the threads that compile.
const ADDRESS_SPACE: u64 = 2 << 20;

/// What `plugin check` says of it, which must be that something is wrong.
async fn checked(name: &str, file: &[u8]) -> Result<String> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("hostile.wasm");
    std::fs::write(&path, file)?;
    let script = format!("ulimit -v {ADDRESS_SPACE}; exec \"$0\" plugin check \"$1\"");
    let check = Command::new("sh")
        .args(["-c", &script])
        .arg(picam_tests::program()?)
        .arg(&path)
        .kill_on_drop(true)
        .output();
    let output = timeout(PATIENCE, check).await??;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.code() == Some(1) && said.contains("wrong"),
        "{name}: {}\n{said}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(said)
}

fn component(fields: &str) -> Result<Vec<u8>> {
    Ok(wat::parse_str(format!("(component {fields} {EXPORTS})"))?)
}

/// A component in a component in a component, and so on, by bytes: text can't be nested so deep.
fn nested(levels: usize) -> Result<Vec<u8>> {
    const HEADER: usize = 8;
    const COMPONENT_SECTION: u8 = 4;
    let outermost = component("")?;
    let (header, exports) = outermost.split_at(HEADER);
    let mut nested = header.to_vec();
    for level in 1..=levels {
        let mut outer = header.to_vec();
        outer.push(COMPONENT_SECTION);
        // As a LEB128 of five bytes.
        let length = u32::try_from(nested.len())?;
        outer.extend((0..4).map(|at| (length >> (7 * at)) as u8 | 0x80));
        outer.push((length >> 28) as u8);
        outer.extend(nested);
        if level == levels {
            outer.extend(exports);
        }
        nested = outer;
    }
    Ok(nested)
}

#[tokio::test]
async fn what_unfolds_without_end_is_refused_before_it_is_compiled() -> Result<()> {
    let mut doubling =
        "(component $c0 (core module $m) (core instance (instantiate $m)))".to_owned();
    for level in 1..40 {
        let below = format!("(instance (instantiate $c{}))", level - 1);
        write!(doubling, "(component $c{level} {below} {below})")?;
    }
    doubling += "(instance (instantiate $c39))";
    let said = checked("doubling", &component(&doubling)?).await?;
    ensure!(said.contains("instantiate one another"), "{said}");

    let locals = format!("(func (local{}))", " i64".repeat(50_000)).repeat(30);
    let said = checked("locals", &component(&format!("(core module {locals})"))?).await?;
    ensure!(said.contains("out of all proportion"), "{said}");

    let table = "(core module (table 1000000 funcref) (func $f) (elem (i32.const 999999) $f))";
    let said = checked("tables", &component(&table.repeat(900))?).await?;
    ensure!(said.contains("900000000 entries"), "{said}");
    Ok(())
}

#[tokio::test]
async fn what_is_as_large_as_a_function_or_as_deep_as_a_component_can_be_is_told_or_taken()
-> Result<()> {
    // Most of a megabyte: large for a function, and compiled in time by a small board.
    let long = format!(
        "(core module (func (local i32) {}))",
        "(local.set 0 (i32.add (local.get 0) (i32.const 1)))".repeat(100_000)
    );
    checked("a long function", &component(&long)?).await?;
    let deep = format!(
        "(core module (func {} {}))",
        "block ".repeat(100_000),
        "end ".repeat(100_000)
    );
    checked("deep blocks", &component(&deep)?).await?;
    checked("deep components", &nested(2_000)?).await?;
    let mut types = "(type $t0 (tuple u8 u8))".to_owned();
    for level in 1..40 {
        write!(types, "(type $t{level} (tuple $t{0} $t{0}))", level - 1)?;
    }
    checked("types", &component(&types)?).await?;
    Ok(())
}
