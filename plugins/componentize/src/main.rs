//! `componentize IN OUT`: makes a component of a core module that was built on the SDK, which describes itself in
//! custom sections, and drops the custom sections that no host needs. The names of functions stay, since a trap should
//! say where it was, but shortened: as the compiler writes them they are a third of a small plugin.

mod names;

use std::{env, fs, path::PathBuf};

use anyhow::{Context, Result, bail};
use wasm_encoder::{NameMap, NameSection, RawSection};
use wasmparser::{KnownCustom, Name, NameSectionReader, Parser, Payload};
use wit_component::ComponentEncoder;

fn main() -> Result<()> {
    let mut args = env::args_os().skip(1).map(PathBuf::from);
    let (Some(input), Some(output), None) = (args.next(), args.next(), args.next()) else {
        bail!("usage: componentize MODULE.wasm COMPONENT.wasm");
    };
    let module = fs::read(&input).with_context(|| format!("reading {}", input.display()))?;
    let component =
        component(&module).with_context(|| format!("making a component of {}", input.display()))?;
    fs::write(&output, component).with_context(|| format!("writing {}", output.display()))
}

fn component(module: &[u8]) -> Result<Vec<u8>> {
    let module = strip(module).context("reading the module")?;
    ComponentEncoder::default()
        .module(&module)?
        .validate(true)
        .encode()
}

/// The module without debug information, without what its compiler notes about itself, and with readable names.
fn strip(wasm: &[u8]) -> Result<Vec<u8>> {
    let mut module = wasm_encoder::Module::new();
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload?;
        if let Payload::CustomSection(section) = &payload {
            if let KnownCustom::Name(names) = section.as_known() {
                module.section(&readable(names)?);
                continue;
            }
            if !section.name().starts_with("component-type") {
                continue;
            }
        }
        if let Some((id, range)) = payload.as_section() {
            let data = &wasm[usize::try_from(range.start)?..usize::try_from(range.end)?];
            module.section(&RawSection { id, data });
        }
    }
    Ok(module.finish())
}

/// The names of functions, as [`names`] has them, and of nothing else.
fn readable(names: NameSectionReader<'_>) -> Result<NameSection> {
    let mut functions = NameMap::new();
    for names in names {
        if let Name::Function(names) = names? {
            for naming in names {
                let naming = naming?;
                functions.append(naming.index, &names::readable(naming.name));
            }
        }
    }
    let mut section = NameSection::new();
    section.functions(&functions);
    Ok(section)
}
