//! How much a component becomes when it is compiled. Nothing interrupts the compiler or bounds its memory, and some bytes of
//! WebAssembly stand for thousands of times as much of what it makes:
//!
//! * a component that instantiates another twice, which does the same with a third, and so on: each line doubles the
//!   instances, and each instance is compiled in;
//! * a function with 50,000 locals, which take five bytes, or with calls and blocks of two bytes each that hand over a
//!   thousand values;
//! * a table, all entries of which are laid out beforehand.
//!
//! What compilers write is far from any of it.

use anyhow::{Context as _, bail};
use wasmparser::{
    BlockType, ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind,
    ComponentTypeRef, CompositeInnerType, FunctionBody, Instance, Operator, Parser, Payload,
    TypeRef,
};

/// Instances of modules and components. A plugin in Python has some fifty, and `instances` in its limits bounds them again.
const INSTANCES_MOST: u64 = 10_000;
/// Entries of all tables, each module's counted once. A plugin in JavaScript has ten thousand.
const TABLE_ENTRIES_MOST: u64 = 1 << 22;
/// Values that code handles for each byte of the file, over and above [`VALUES_FREE`]. Compiled code has about one.
const VALUES_PER_BYTE: u64 = 8;
const VALUES_FREE: u64 = 1 << 20;

/// Refuses what would cost the compiler much more than a file of its size should.
pub(super) fn check(component: &[u8]) -> anyhow::Result<()> {
    let weight = Weight::of(component).context("it is damaged")?;
    if weight.instances > INSTANCES_MOST {
        bail!(
            "its components instantiate one another more than {INSTANCES_MOST} times, which no plugin needs"
        );
    }
    if weight.table_entries > TABLE_ENTRIES_MOST {
        bail!(
            "its tables begin with {} entries; no plugin needs more than {TABLE_ENTRIES_MOST}",
            weight.table_entries
        );
    }
    let bytes = u64::try_from(component.len()).unwrap_or(u64::MAX);
    let most = bytes
        .saturating_mul(VALUES_PER_BYTE)
        .saturating_add(VALUES_FREE);
    if weight.values > most {
        bail!(
            "its {bytes} bytes stand for {} locals, arguments and results, which is out of all proportion; compilers \
             write nothing like it",
            weight.values
        );
    }
    Ok(())
}

/// What a component unfolds to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Weight {
    instances: u64,
    table_entries: u64,
    values: u64,
}

/// What is being read.
enum Scope {
    Component(Component),
    Module(Module),
}

#[derive(Default)]
struct Component {
    /// How many instances instantiating each component makes, in the order of their indices. One that was handed in may be
    /// any.
    components: Vec<u64>,
    /// How many instantiating this one makes.
    instances: u64,
}

const HANDED_IN: u64 = u64::MAX;

#[derive(Default)]
struct Module {
    /// Parameters and results of each type.
    types: Vec<u64>,
    /// The same of each function.
    functions: Vec<u64>,
}

impl Weight {
    fn of(component: &[u8]) -> wasmparser::Result<Self> {
        let mut weight = Self::default();
        let mut scopes: Vec<Scope> = Vec::new();
        for payload in Parser::new(0).parse_all(component) {
            let payload = payload?;
            match &payload {
                Payload::Version { encoding, .. } => scopes.push(match encoding {
                    wasmparser::Encoding::Component => Scope::Component(Component::default()),
                    wasmparser::Encoding::Module => Scope::Module(Module::default()),
                }),
                Payload::End(_) => {
                    if let Some(Scope::Component(read)) = scopes.pop() {
                        match scopes.last_mut() {
                            Some(Scope::Component(outer)) => outer.components.push(read.instances),
                            _ => weight.instances = read.instances,
                        }
                    }
                }
                _ => match scopes.last_mut() {
                    Some(Scope::Module(module)) => module.read(payload, &mut weight)?,
                    Some(Scope::Component(_)) => read_component(payload, &mut scopes)?,
                    None => {}
                },
            }
        }
        Ok(weight)
    }
}

/// A section of the innermost component.
fn read_component(payload: Payload<'_>, scopes: &mut [Scope]) -> wasmparser::Result<()> {
    // What was found, before anything is changed: an alias may lead to a component further out.
    let mut found = Vec::new();
    let mut instances = 0_u64;
    let at = |count: u32, index: u32| {
        let scope = scopes.iter().rev().nth(count as usize);
        match scope {
            Some(Scope::Component(scope)) => scope.components.get(index as usize).copied(),
            _ => None,
        }
    };
    match payload {
        Payload::ComponentImportSection(section) => {
            for import in section {
                if matches!(import?.ty, ComponentTypeRef::Component(_)) {
                    found.push(HANDED_IN);
                }
            }
        }
        Payload::ComponentAliasSection(section) => {
            for alias in section {
                match alias? {
                    ComponentAlias::InstanceExport {
                        kind: ComponentExternalKind::Component,
                        ..
                    } => found.push(HANDED_IN),
                    ComponentAlias::Outer {
                        kind: ComponentOuterAliasKind::Component,
                        count,
                        index,
                    } => found.push(at(count, index).unwrap_or(HANDED_IN)),
                    _ => {}
                }
            }
        }
        Payload::ComponentExportSection(section) => {
            // What is exported has an index more from here on.
            for export in section {
                let export = export?;
                if export.kind == ComponentExternalKind::Component {
                    found.push(at(0, export.index).unwrap_or(HANDED_IN));
                }
            }
        }
        Payload::ComponentInstanceSection(section) => {
            for instance in section {
                if let ComponentInstance::Instantiate {
                    component_index, ..
                } = instance?
                {
                    let within = at(0, component_index).unwrap_or(HANDED_IN);
                    instances = instances.saturating_add(within).saturating_add(1);
                }
            }
        }
        Payload::InstanceSection(section) => {
            for instance in section {
                if let Instance::Instantiate { .. } = instance? {
                    instances = instances.saturating_add(1);
                }
            }
        }
        _ => {}
    }
    if let Some(Scope::Component(component)) = scopes.last_mut() {
        component.components.extend(found);
        component.instances = component.instances.saturating_add(instances);
    }
    Ok(())
}

impl Module {
    fn read(&mut self, payload: Payload<'_>, weight: &mut Weight) -> wasmparser::Result<()> {
        match payload {
            Payload::TypeSection(section) => {
                for group in section {
                    for ty in group?.types() {
                        self.types.push(match &ty.composite_type.inner {
                            CompositeInnerType::Func(function) => {
                                (function.params().len() + function.results().len()) as u64
                            }
                            _ => 0,
                        });
                    }
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    if let TypeRef::Func(ty) | TypeRef::FuncExact(ty) = import?.ty {
                        self.functions.push(self.width(ty));
                    }
                }
            }
            Payload::FunctionSection(section) => {
                for ty in section {
                    self.functions.push(self.width(ty?));
                }
            }
            Payload::TableSection(section) => {
                for table in section {
                    weight.table_entries = weight.table_entries.saturating_add(table?.ty.initial);
                }
            }
            Payload::CodeSectionEntry(body) => {
                weight.values = weight.values.saturating_add(self.values(&body)?);
            }
            _ => {}
        }
        Ok(())
    }

    fn width(&self, ty: u32) -> u64 {
        self.types.get(ty as usize).copied().unwrap_or(0)
    }

    /// Locals, instructions, and the values that these hand over.
    fn values(&self, body: &FunctionBody<'_>) -> wasmparser::Result<u64> {
        let mut values = 0;
        for group in body.get_locals_reader()? {
            let (count, _) = group?;
            values += u64::from(count);
        }
        // How many values each block that is open takes and gives; the outermost is the function.
        let mut blocks = vec![0];
        let branch = |blocks: &[u64], depth: u32| {
            let block = blocks.iter().rev().nth(depth as usize);
            block.copied().unwrap_or(0)
        };
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            values += 1 + match operators.read()? {
                Operator::Block { blockty }
                | Operator::Loop { blockty }
                | Operator::If { blockty } => {
                    let width = match blockty {
                        BlockType::Empty => 0,
                        BlockType::Type(_) => 1,
                        BlockType::FuncType(ty) => self.width(ty),
                    };
                    blocks.push(width);
                    width
                }
                Operator::End => {
                    blocks.pop();
                    0
                }
                Operator::Br { relative_depth } | Operator::BrIf { relative_depth } => {
                    branch(&blocks, relative_depth)
                }
                Operator::BrTable { targets } => {
                    let mut sum = branch(&blocks, targets.default());
                    for target in targets.targets() {
                        sum += 1 + branch(&blocks, target?);
                    }
                    sum
                }
                Operator::Call { function_index } | Operator::ReturnCall { function_index } => {
                    let function = self.functions.get(function_index as usize);
                    function.copied().unwrap_or(0)
                }
                Operator::CallIndirect { type_index, .. }
                | Operator::ReturnCallIndirect { type_index, .. } => self.width(type_index),
                _ => 0,
            };
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        check(&wat::parse_str(text).unwrap())
            .unwrap_err()
            .to_string()
    }

    fn doubling(levels: usize) -> String {
        let last = levels;
        let levels: String = (1..=levels)
            .map(|level| {
                let below = format!("(instance (instantiate $c{}))", level - 1);
                format!("(component $c{level} {below} {below})")
            })
            .collect();
        format!("(component (component $c0) {levels} (instance (instantiate $c{last})))")
    }

    #[test]
    fn components_that_multiply_are_counted_as_often_as_they_are_made() {
        let weight = Weight::of(&wat::parse_str(doubling(10)).unwrap()).unwrap();
        assert_eq!(weight.instances, (1 << 11) - 1);
        assert!(refusal(&doubling(40)).contains("instantiate one another"));
    }

    #[test]
    fn a_component_that_is_handed_in_may_be_any() {
        let text = "(component (component $inner (import \"c\" (component $c)) (instance (instantiate $c)))
            (component $small) (instance (instantiate $inner (with \"c\" (component $small)))))";
        assert!(refusal(text).contains("instantiate one another"));
    }

    #[test]
    fn locals_that_are_only_counted_count() {
        let function = "(func (local".to_owned() + &" i64".repeat(50_000) + "))";
        let module = |count| format!("(module {})", function.repeat(count));
        check(&wat::parse_str(module(10)).unwrap()).unwrap();
        assert!(refusal(&module(30)).contains("1500030 locals"));
    }

    #[test]
    fn values_that_are_handed_over_count_at_each_call_and_block() {
        let wide = "i64 ".repeat(500);
        let wide = format!("(type $wide (func (param {wide}) (result {wide})))");
        let calls = "call $wide ".repeat(2_000);
        let drops = "drop ".repeat(500);
        let zeros = "i64.const 0 ".repeat(500);
        let calling = format!(
            "(module {wide} (func $wide (type $wide) unreachable) (func {zeros} {calls} {drops}))"
        );
        assert!(refusal(&calling).contains("out of all proportion"));
        let blocks = "block (type $wide) br 0 end ".repeat(1_000);
        let blocks = format!("(module {wide} (func {zeros} {blocks} {drops}))");
        assert!(refusal(&blocks).contains("out of all proportion"));
    }

    #[test]
    fn tables_count_in_every_module() {
        let module = "(core module (table 3000000 funcref))";
        check(&wat::parse_str(format!("(component {module})")).unwrap()).unwrap();
        let twice = format!("(component {module} {module})");
        assert!(refusal(&twice).contains("6000000 entries"));
    }

    #[test]
    fn what_compilers_write_is_far_from_any_bound() {
        for (name, plugin) in super::super::stock::ALL {
            let weight = Weight::of(plugin).unwrap();
            let bytes = plugin.len() as u64;
            assert!(weight.values < 2 * bytes, "{name}: {weight:?} of {bytes}");
            assert!(
                weight.instances < 100 && weight.table_entries < 1_000,
                "{name}: {weight:?}"
            );
        }
    }
}
