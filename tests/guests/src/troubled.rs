use wasmparser::{Parser, Payload};

use super::with_contract;

/// A real plugin with trouble in front of one of its functions: it looks and works like the one that it was made from, until
/// it doesn't.
#[derive(Clone, Debug)]
pub struct Troubled {
    /// The core module inside the component, as text.
    text: String,
    interfaces: Vec<String>,
}

/// What the trouble can look at.
///
/// `$live` counts the calls of the function that are no trial: `render` sees that by the presentation, which is called
/// `trial` then, and `decide` by the token, which is that or none.
const HELPERS: &str = r#"
    (global $live (mut i32) (i32.const 0))
    (func $starts_with_tria (param $at i32) (result i32)
        (i32.eq (i32.load align=1 (local.get $at)) (i32.const 0x61697274)))
    (func $render_on_trial (param $args i32) (result i32)
        (call $starts_with_tria (i32.load offset=32 (local.get $args))))
    (func $decide_on_trial (param $args i32) (result i32)
        (if (result i32) (i32.load8_u offset=16 (local.get $args))
            (then (call $starts_with_tria (i32.load offset=20 (local.get $args))))
            (else (i32.const 1))))"#;

impl Troubled {
    /// Of a component, as the stock plugins are.
    ///
    /// # Panics
    /// It is none, or has no core module in it.
    pub fn new(component: &[u8]) -> Self {
        let module = Parser::new(0)
            .parse_all(component)
            .find_map(|payload| match payload.expect("a whole component") {
                Payload::ModuleSection {
                    unchecked_range, ..
                } => {
                    let at = |at| usize::try_from(at).expect("it is in memory");
                    Some(&component[at(unchecked_range.start)..at(unchecked_range.end)])
                }
                _ => None,
            })
            .expect("a core module in the component");
        let text = wasmprinter::print_bytes(module).expect("a whole module");
        let interfaces = ["playlist", "naming", "auth", "overlay", "state"]
            .into_iter()
            .filter(|interface| text.contains(&format!("\"picam:plugin/{interface}@0.1.0#")))
            .map(str::to_owned)
            .collect();
        Self { text, interfaces }
    }

    /// `init` begins so.
    pub fn init(&self, trouble: &str) -> Vec<u8> {
        self.before("lifecycle", "init", 2, trouble)
    }

    /// `render` begins so in each call that is no trial. `$live` says which it is, from 1 on.
    pub fn render(&self, trouble: &str) -> Vec<u8> {
        self.before("playlist", "render", 1, &live("render", trouble))
    }

    /// `decide` begins so in each call that is no trial. `$live` says which it is, from 1 on.
    pub fn decide(&self, trouble: &str) -> Vec<u8> {
        self.before("auth", "decide", 1, &live("decide", trouble))
    }

    fn before(&self, interface: &str, function: &str, parameters: usize, trouble: &str) -> Vec<u8> {
        let export = format!("(export \"picam:plugin/{interface}@0.1.0#{function}\" (func ");
        let (before, after) = self.text.split_once(&export).expect("it exports that");
        let (original, after) = after.split_once("))").expect("an export has an end");
        let after = after
            .trim_end()
            .strip_suffix(')')
            .expect("a module has an end");
        let arguments: String = (0..parameters)
            .map(|n| format!(" (local.get {n})"))
            .collect();
        let signature = "i32 ".repeat(parameters);
        let text = format!(
            "{before}{export}$troubled)){after}
                {HELPERS}
                (func $troubled (param {signature}) (result i32)
                    {trouble}
                    (call {original}{arguments})))"
        );
        let module = wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}"));
        with_contract(module, self.interfaces.iter().map(String::as_str))
    }
}

fn live(function: &str, trouble: &str) -> String {
    format!(
        "(if (i32.eqz (call ${function}_on_trial (local.get 0)))
            (then (global.set $live (i32.add (global.get $live) (i32.const 1))) {trouble}))"
    )
}
