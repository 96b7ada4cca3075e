//! Bodies of the fuzz targets `plugin` and `drawing`.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use super::{
    Grants, Limits, PluginOrigin, PluginSpec,
    bindings::exports::picam::plugin::overlay as contract, drawing, engine::Runtime,
    generation::Generation,
};
use crate::overlay::{Operation, POSITIONS, SIZES};

/// Whatever file somebody gives for a plugin: it is loaded, described, configured, tried, started, its state saved and
/// restored, or refused in one line.
///
/// # Panics
///
/// When a rule is broken.
pub fn plugin(file: &[u8]) {
    static RUNTIME: OnceLock<Arc<Runtime>> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| Arc::new(Runtime::new().expect("an engine")));
    if let Err(error) = use_plugin(runtime, file) {
        let line = format!("{error:#}");
        assert!(!line.chars().any(char::is_control), "not one line: {line}");
        assert!(line.len() <= 16 << 10, "{} bytes of error", line.len());
    }
}

fn use_plugin(runtime: &Arc<Runtime>, file: &[u8]) -> anyhow::Result<()> {
    let mut spec = PluginSpec::new("fuzzed.wasm");
    spec.grants = Grants::ALL;
    spec.limits = Limits {
        memory: 4 << 20,
        call: Duration::from_millis(20),
        start: Duration::from_millis(20),
        ..Limits::default()
    };
    let origin = PluginOrigin::File(PathBuf::from(&spec.file));
    let generation =
        Generation::of_file(runtime, &spec, origin, file.to_vec(), None, Arc::default())?;
    let mut instance = generation.start()?;
    if generation.has_state() {
        let saved = instance.save()?;
        let _refused = instance.restore(&saved)?;
    }
    Ok(())
}

/// Whatever a plugin wants drawn: what is let through is within the bounds of the contract.
///
/// # Panics
///
/// When a rule is broken.
pub fn drawing(input: &[u8]) {
    let mut said = Bytes(input);
    let mut operations = Vec::new();
    while !said.0.is_empty() {
        operations.push(said.operation());
    }
    let count = operations.len();
    let until = 0;
    match drawing::check(contract::Drawing { operations, until }, &[]) {
        Ok(drawing) => {
            assert_eq!(drawing.operations.len(), count);
            drawing.operations.iter().for_each(check);
        }
        Err(why) => assert!(!why.chars().any(char::is_control), "not one line: {why}"),
    }
}

fn check(operation: &Operation) {
    let (points, extent) = match operation {
        Operation::Text {
            at, content, size, ..
        } => {
            assert!(!content.chars().any(char::is_control));
            ([*at, *at], *size)
        }
        Operation::Rectangle {
            from,
            to,
            stroke,
            width,
            ..
        } => ([*from, *to], if stroke.is_some() { *width } else { 1 }),
        Operation::Line {
            from, to, width, ..
        } => ([*from, *to], *width),
        Operation::Image { at, size, png, .. } => {
            assert!(png.bytes().starts_with(b"\x89PNG\r\n\x1a\n"));
            ([*at, *at], *size)
        }
    };
    assert!(SIZES.contains(&extent));
    for point in points {
        assert!(POSITIONS.contains(&point.0) && POSITIONS.contains(&point.1));
    }
}

/// What is left of the input. Where there is nothing left, there are zeros.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> u8 {
        let first = self.0.split_off_first();
        first.copied().unwrap_or(0)
    }

    /// Mostly small, so that it may be within bounds.
    fn number(&mut self) -> i32 {
        match self.byte() {
            255 => i32::from_le_bytes([self.byte(), self.byte(), self.byte(), self.byte()]),
            low => i32::from(low) * 16 - 1_024,
        }
    }

    fn size(&mut self) -> u32 {
        self.number().cast_unsigned()
    }

    fn bytes(&mut self) -> Vec<u8> {
        let wanted = usize::from(self.byte()) * usize::from(self.byte() % 8 + 1);
        let (now, later) = self.0.split_at(wanted.min(self.0.len()));
        self.0 = later;
        now.to_vec()
    }

    fn text(&mut self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    fn point(&mut self) -> contract::Point {
        contract::Point {
            x: self.number(),
            y: self.number(),
        }
    }

    fn colour(&mut self) -> contract::Colour {
        contract::Colour {
            red: self.byte(),
            green: self.byte(),
            blue: self.byte(),
            alpha: self.byte(),
        }
    }

    fn maybe_colour(&mut self) -> Option<contract::Colour> {
        (self.byte() % 2 == 1).then(|| self.colour())
    }

    fn operation(&mut self) -> contract::Operation {
        match self.byte() % 4 {
            0 => contract::Operation::Text(contract::Text {
                at: self.point(),
                anchor: contract::Anchor::Centre,
                content: self.text(),
                size: self.size(),
                colour: self.colour(),
                background: self.maybe_colour(),
                outline: self.maybe_colour(),
                font: self.text(),
            }),
            1 => contract::Operation::Rectangle(contract::Rectangle {
                top_left: self.point(),
                bottom_right: self.point(),
                fill: self.maybe_colour(),
                stroke: self.maybe_colour(),
                stroke_width: self.size(),
            }),
            2 => contract::Operation::Line(contract::Line {
                start: self.point(),
                end: self.point(),
                colour: self.colour(),
                width: self.size(),
            }),
            _ => contract::Operation::Image(contract::Image {
                at: self.point(),
                anchor: contract::Anchor::TopLeft,
                size: self.size(),
                png: self.bytes(),
            }),
        }
    }
}
