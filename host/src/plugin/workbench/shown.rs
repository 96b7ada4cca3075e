//! Answers as lines of text, for people to read and for files to be compared with.

use std::fmt;

use super::{Decided, Drawn};
use crate::plugin::{
    bindings::exports::picam::plugin::{
        auth,
        overlay::{self, Anchor, Colour, Operation},
    },
    failure::flat,
};

impl fmt::Display for Decided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&decided(&self.0))
    }
}

impl fmt::Display for Drawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&drawn(&self.0))
    }
}

fn decided(decision: &auth::Decision) -> String {
    let (mut text, headers, body) = match decision {
        auth::Decision::Allow(allow) => {
            (format!("allow{}", reuse(&allow.reuse)), &allow.headers, "")
        }
        auth::Decision::Redirect(redirect) => (
            format!("redirect {} {}", redirect.status, flat(&redirect.location)),
            &redirect.headers,
            "",
        ),
        auth::Decision::Deny(deny) => (
            format!(
                "deny {} {}{}",
                deny.status,
                flat(&deny.content_type),
                reuse(&deny.reuse)
            ),
            &deny.headers,
            deny.body.as_str(),
        ),
    };
    text.push('\n');
    for header in headers {
        text += &format!("{}: {}\n", flat(&header.name), flat(&header.value));
    }
    if !body.is_empty() {
        text.push('\n');
        text.push_str(body);
    }
    text
}

fn reuse(reuse: &auth::Reuse) -> String {
    match reuse.seconds {
        0 => ", for this request alone".to_owned(),
        seconds => format!(", for {seconds} s below {}", flat(&reuse.path_prefix)),
    }
}

fn drawn(drawing: &overlay::Drawing) -> String {
    let mut text = match drawing.until {
        u64::MAX => "for good\n".to_owned(),
        until => format!("until {until}\n"),
    };
    for operation in &drawing.operations {
        let line = match operation {
            Operation::Text(it) => {
                let mut line = format!(
                    "text {:?} at {},{} {} size {} {}",
                    it.content,
                    it.at.x,
                    it.at.y,
                    anchor(it.anchor),
                    it.size,
                    colour(it.colour)
                );
                for (what, value) in [("on", it.background), ("outlined", it.outline)] {
                    if let Some(value) = value {
                        line += &format!(" {what} {}", colour(value));
                    }
                }
                if !it.font.is_empty() {
                    line += &format!(" in {:?}", it.font);
                }
                line
            }
            Operation::Rectangle(it) => {
                let mut line = format!(
                    "rectangle {},{} to {},{}",
                    it.top_left.x, it.top_left.y, it.bottom_right.x, it.bottom_right.y
                );
                if let Some(fill) = it.fill {
                    line += &format!(" filled {}", colour(fill));
                }
                if let Some(stroke) = it.stroke {
                    line += &format!(" stroked {} width {}", colour(stroke), it.stroke_width);
                }
                line
            }
            Operation::Line(it) => format!(
                "line {},{} to {},{} {} width {}",
                it.start.x,
                it.start.y,
                it.end.x,
                it.end.y,
                colour(it.colour),
                it.width
            ),
            Operation::Image(it) => format!(
                "image of {} bytes at {},{} {} size {}",
                it.png.len(),
                it.at.x,
                it.at.y,
                anchor(it.anchor),
                it.size
            ),
        };
        text += &line;
        text.push('\n');
    }
    text
}

/// As CSS writes it.
fn colour(colour: Colour) -> String {
    let Colour {
        red,
        green,
        blue,
        alpha,
    } = colour;
    match alpha {
        255 => format!("#{red:02x}{green:02x}{blue:02x}"),
        _ => format!("#{red:02x}{green:02x}{blue:02x}{alpha:02x}"),
    }
}

/// As the contract calls it.
fn anchor(anchor: Anchor) -> &'static str {
    match anchor {
        Anchor::TopLeft => "top-left",
        Anchor::Top => "top",
        Anchor::TopRight => "top-right",
        Anchor::Left => "left",
        Anchor::Centre => "centre",
        Anchor::Right => "right",
        Anchor::BottomLeft => "bottom-left",
        Anchor::Bottom => "bottom",
        Anchor::BottomRight => "bottom-right",
    }
}
