use picam_plugin::{
    naming::{Kind, Object},
    percent, strftime,
    strftime::Offset,
    text,
};

/// Bytes of a name, without the suffix: the contract permits 200.
const LONGEST: usize = 180;

const NUMBER: &str = "{number}";
const RENDITION: &str = "{rendition}";

/// A moment at which every conversion is as long as it gets, and those that pad with spaces show one:
/// 2025-09-03T09:07:03Z, a Wednesday.
const SAMPLE: u64 = 1_756_890_423_000_000;

/// What names are made by.
#[derive(Debug)]
pub struct NamePattern(Vec<Piece>);

#[derive(Debug)]
enum Piece {
    Time(strftime::Pattern),
    Number,
    Rendition,
}

impl NamePattern {
    /// Reads a pattern, and makes sure that every name it can give is one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(pattern: &str) -> Result<Self, String> {
        if !pattern.contains(NUMBER) {
            return Err(
                "it needs {number} somewhere, without which two names could be the same (a clock may be set back), as \
                 in %Y-%m-%d/%H-%M-%S_{number}"
                    .into(),
            );
        }
        let mut pieces = Vec::new();
        let mut rest = pattern;
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix(NUMBER) {
                pieces.push(Piece::Number);
                rest = after;
            } else if let Some(after) = rest.strip_prefix(RENDITION) {
                pieces.push(Piece::Rendition);
                rest = after;
            } else {
                let marks = [NUMBER, RENDITION].map(|mark| rest.find(mark).unwrap_or(rest.len()));
                let (time, after) = rest.split_at(marks[0].min(marks[1]));
                pieces.push(Piece::Time(strftime::Pattern::parse(time)?));
                rest = after;
            }
        }
        let read = Self(pieces);
        let longest = Object {
            kind: Kind::Segment,
            rendition: "video".into(),
            number: u64::MAX,
            captured: SAMPLE,
        };
        check(&read.name(&longest, Offset::UTC))?;
        Ok(read)
    }

    /// The name of an object, without what its kind adds.
    pub fn name(&self, object: &Object, offset: Offset) -> String {
        let mut name = String::with_capacity(64);
        for piece in &self.0 {
            match piece {
                Piece::Time(pattern) => pattern.push(&mut name, object.captured, offset),
                Piece::Number => text::push_whole(&mut name, object.number),
                Piece::Rendition => name.push_str(&object.rendition),
            }
        }
        name
    }

    /// The names of all segments in one DASH template; none if the time is in them.
    pub fn template(&self, rendition: &str) -> Option<String> {
        let mut template = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Time(pattern) if pattern.next_change(SAMPLE, Offset::UTC).is_some() => {
                    return None;
                }
                Piece::Time(pattern) => pattern.push(&mut template, SAMPLE, Offset::UTC),
                Piece::Number => template.push_str("$Number$"),
                Piece::Rendition => template.push_str(rendition),
            }
        }
        Some(template)
    }
}

/// Whether the host would take the name, and if not, what it would take.
fn check(name: &str) -> Result<(), String> {
    let stranger = name
        .chars()
        .find(|c| !(c.is_ascii() && (*c == '/' || percent::unreserved(*c as u8))));
    if let Some(stranger) = stranger {
        let shown = String::from(stranger);
        return Err(text::joined(&[
            "names would hold a `",
            &shown,
            "`, and are made of letters, digits, `-`, `.`, `_`, `~` and `/`",
            match stranger {
                ':' => ": write %H-%M-%S instead of %T",
                ' ' => ": write %d instead of %e, %H instead of %k, %I instead of %l",
                _ => "",
            },
        ]));
    }
    if name
        .split('/')
        .any(|element| matches!(element, "" | "." | ".."))
    {
        return Err(
            "a name neither begins nor ends with a slash, and has something other than . or .. between two"
                .into(),
        );
    }
    if name.len() > LONGEST {
        return Err("names would have more than 180 characters".into());
    }
    Ok(())
}
