use std::sync::Arc;

use super::{bindings::exports::picam::plugin::overlay as contract, failure::flat};
use crate::{
    overlay::{Anchor, Colour, Drawing, Operation, POSITIONS, Png, Point, SIZES},
    time::MediaTime,
};

/// Operations of one drawing.
const OPERATIONS_MOST: usize = 256;
/// Bytes of one text, and of all texts of a drawing.
const TEXT_MOST: usize = 1_000;
const TEXTS_MOST: usize = 16 << 10;
/// Bytes of a font's name.
const FONT_MOST: usize = 60;
/// Bytes of one image, and of all images of a drawing, each counted as often as it is drawn.
const PNG_MOST: usize = 256 << 10;
const PNGS_MOST: usize = 1 << 20;
/// Turns what a plugin wants drawn into our own type, or says what is wrong with it. Images that are `known` are taken
/// from there.
pub(super) fn check(said: contract::Drawing, known: &[Arc<Png>]) -> Result<Drawing, String> {
    let count = said.operations.len();
    if count > OPERATIONS_MOST {
        return Err(format!(
            "a drawing of {count} operations; at most {OPERATIONS_MOST} are allowed"
        ));
    }
    let (mut texts, mut images) = (0, 0);
    let mut operations = Vec::with_capacity(count);
    for (index, operation) in said.operations.into_iter().enumerate() {
        match &operation {
            contract::Operation::Text(text) => texts += text.content.len(),
            contract::Operation::Image(image) => images += image.png.len(),
            _ => {}
        }
        if texts > TEXTS_MOST || images > PNGS_MOST {
            return Err(format!(
                "a drawing with more than {TEXTS_MOST} bytes of text or {PNGS_MOST} of images"
            ));
        }
        let checked = self::operation(operation, known)
            .map_err(|why| format!("operation {} of its drawing: {why}", index + 1))?;
        operations.push(checked);
    }
    Ok(Drawing {
        operations,
        until: MediaTime(said.until),
    })
}

fn operation(said: contract::Operation, known: &[Arc<Png>]) -> Result<Operation, String> {
    Ok(match said {
        contract::Operation::Text(text) => Operation::Text {
            at: point(text.at)?,
            anchor: anchor(text.anchor),
            content: content(&text.content)?,
            size: size("a line's height", text.size)?,
            colour: colour(text.colour),
            background: text.background.map(colour),
            outline: text.outline.map(colour),
            font: font(text.font)?,
        },
        contract::Operation::Rectangle(rectangle) => Operation::Rectangle {
            from: point(rectangle.top_left)?,
            to: point(rectangle.bottom_right)?,
            fill: rectangle.fill.map(colour),
            stroke: rectangle.stroke.map(colour),
            width: match rectangle.stroke {
                Some(_) => size("a stroke's width", rectangle.stroke_width)?,
                None => 0,
            },
        },
        contract::Operation::Line(line) => Operation::Line {
            from: point(line.start)?,
            to: point(line.end)?,
            colour: colour(line.colour),
            width: size("a line's width", line.width)?,
        },
        contract::Operation::Image(image) => Operation::Image {
            at: point(image.at)?,
            anchor: anchor(image.anchor),
            size: size("an image's height", image.size)?,
            png: png(image.png, known)?,
        },
    })
}

fn point(said: contract::Point) -> Result<Point, String> {
    for value in [said.x, said.y] {
        if !POSITIONS.contains(&value) {
            return Err(format!(
                "({}, {}) lies too far outside; positions are thousandths of the picture, from {} to {}",
                said.x,
                said.y,
                POSITIONS.start(),
                POSITIONS.end()
            ));
        }
    }
    Ok(Point(said.x, said.y))
}

fn size(what: &str, said: u32) -> Result<u32, String> {
    match SIZES.contains(&said) {
        true => Ok(said),
        false => Err(format!(
            "{what} is {said}; it is in thousandths of the picture's height, from {} to {}",
            SIZES.start(),
            SIZES.end()
        )),
    }
}

fn content(said: &str) -> Result<String, String> {
    if said.len() > TEXT_MOST {
        return Err(format!(
            "a text of {} bytes; at most {TEXT_MOST} are allowed",
            said.len()
        ));
    }
    Ok(said.chars().filter(|c| !c.is_control()).collect())
}

/// A family's name is put into a style: what it is made of can't end it.
fn font(said: String) -> Result<String, String> {
    let plain = |c: char| c.is_alphanumeric() || " -_".contains(c);
    match said.len() <= FONT_MOST && said.chars().all(plain) {
        true => Ok(said),
        false => Err(format!(
            "`{}` is no font: its name has up to {FONT_MOST} bytes of letters, digits, spaces, `-` and `_`",
            flat(&said)
        )),
    }
}

fn png(said: Vec<u8>, known: &[Arc<Png>]) -> Result<Arc<Png>, String> {
    if let Some(png) = known.iter().find(|png| png.bytes()[..] == said[..]) {
        return Ok(png.clone());
    }
    if said.len() > PNG_MOST {
        return Err(format!(
            "an image of {} bytes; at most {PNG_MOST} are allowed",
            said.len()
        ));
    }
    let (width, height) = Png::measure(&said).ok_or("an image that is no PNG")?;
    if u64::from(width) * u64::from(height) > Png::PIXELS_MOST {
        return Err(format!(
            "an image of {width}x{height} pixels; at most {} are allowed",
            Png::PIXELS_MOST
        ));
    }
    Ok(Arc::new(Png::new(said.into())))
}

fn colour(said: contract::Colour) -> Colour {
    Colour([said.red, said.green, said.blue, said.alpha])
}

fn anchor(said: contract::Anchor) -> Anchor {
    match said {
        contract::Anchor::TopLeft => Anchor::TopLeft,
        contract::Anchor::Top => Anchor::Top,
        contract::Anchor::TopRight => Anchor::TopRight,
        contract::Anchor::Left => Anchor::Left,
        contract::Anchor::Centre => Anchor::Centre,
        contract::Anchor::Right => Anchor::Right,
        contract::Anchor::BottomLeft => Anchor::BottomLeft,
        contract::Anchor::Bottom => Anchor::Bottom,
        contract::Anchor::BottomRight => Anchor::BottomRight,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHITE: contract::Colour = contract::Colour {
        red: 255,
        green: 255,
        blue: 255,
        alpha: 200,
    };

    fn at(x: i32, y: i32) -> contract::Point {
        contract::Point { x, y }
    }

    fn text(change: impl FnOnce(&mut contract::Text)) -> contract::Operation {
        let mut text = contract::Text {
            at: at(500, 500),
            anchor: contract::Anchor::Centre,
            content: "12:00".to_owned(),
            size: 50,
            colour: WHITE,
            background: None,
            outline: None,
            font: String::new(),
        };
        change(&mut text);
        contract::Operation::Text(text)
    }

    fn image(png: Vec<u8>) -> contract::Operation {
        contract::Operation::Image(contract::Image {
            at: at(0, 0),
            anchor: contract::Anchor::TopLeft,
            size: 100,
            png,
        })
    }

    /// The beginning of a PNG, and some bytes.
    fn fake(width: u32, height: u32, len: usize) -> Vec<u8> {
        let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
        png.extend(width.to_be_bytes());
        png.extend(height.to_be_bytes());
        png.resize(png.len().max(len), 7);
        png
    }

    fn checked(operations: Vec<contract::Operation>) -> Result<Drawing, String> {
        check(
            contract::Drawing {
                operations,
                until: 7,
            },
            &[],
        )
    }

    fn refused(operation: contract::Operation) -> String {
        checked(vec![operation]).unwrap_err()
    }

    #[test]
    fn what_is_sane_is_taken_over_in_order_and_control_characters_are_left_out() {
        let drawing = checked(vec![
            text(|text| text.content = "a\nb\u{1b}[1mü\u{7f}".into()),
            contract::Operation::Rectangle(contract::Rectangle {
                top_left: at(-1_000, 0),
                bottom_right: at(2_000, 1_000),
                fill: Some(WHITE),
                stroke: None,
                stroke_width: 0,
            }),
        ])
        .unwrap();
        assert_eq!(drawing.until, MediaTime(7));
        let [
            Operation::Text {
                content, colour, ..
            },
            Operation::Rectangle { from, width: 0, .. },
        ] = &drawing.operations[..]
        else {
            panic!("{drawing:?}")
        };
        assert_eq!(
            (&**content, *colour, *from),
            ("ab[1mü", Colour([255, 255, 255, 200]), Point(-1_000, 0))
        );
    }

    #[test]
    fn what_is_not_says_which_operation_what_and_what_would_be() {
        let error = refused(text(|text| text.at.x = 2_001));
        assert!(
            error.contains("operation 1") && error.contains("from -1000 to 2000"),
            "{error}"
        );
        assert!(refused(text(|text| text.size = 0)).contains("from 1 to 1000"));
        assert!(refused(text(|text| text.size = u32::MAX)).contains("4294967295"));
        assert!(refused(text(|text| text.content = "x".repeat(1_001))).contains("1001 bytes"));
        for bad in ["a;b", "a\"b", "a'b", "a,b", "a/b", "a\nb", &"x".repeat(61)] {
            assert!(
                refused(text(|text| text.font = bad.into())).contains("no font"),
                "{bad}"
            );
        }
        checked(vec![text(|text| text.font = "Noto Sans Mono".into())]).unwrap();
        let rectangle = contract::Rectangle {
            top_left: at(0, 0),
            bottom_right: at(1, 1),
            fill: None,
            stroke: Some(WHITE),
            stroke_width: 0,
        };
        assert!(refused(contract::Operation::Rectangle(rectangle)).contains("stroke"));
    }

    #[test]
    fn counts_and_sums_are_bounded() {
        let lines = |count| {
            (0..count)
                .map(|_| {
                    contract::Operation::Line(contract::Line {
                        start: at(0, 0),
                        end: at(1, 1),
                        colour: WHITE,
                        width: 1,
                    })
                })
                .collect()
        };
        assert!(checked(lines(256)).is_ok());
        assert!(checked(lines(257)).unwrap_err().contains("257 operations"));
        let texts = |count| {
            (0..count)
                .map(|_| text(|text| text.content = "x".repeat(1_000)))
                .collect()
        };
        assert!(checked(texts(16)).is_ok());
        assert!(checked(texts(17)).unwrap_err().contains("bytes of text"));
    }

    #[test]
    fn an_image_is_a_png_of_bounded_size_and_known_ones_are_not_kept_twice() {
        for bad in [
            vec![],
            b"GIF89a".to_vec(),
            fake(0, 1, 100),
            fake(1, 1, 24),
            fake(1, 1, 40),
        ] {
            assert!(refused(image(bad)).contains("no PNG"));
        }
        assert!(refused(image(fake(1_921, 1_080, 100))).contains("1921x1080"));
        assert!(refused(image(fake(u32::MAX, u32::MAX, 100))).contains("pixels"));
        assert!(refused(image(fake(1, 1, PNG_MOST + 1))).contains("262145 bytes"));
        let many = (0..5).map(|_| image(fake(1, 1, PNG_MOST))).collect();
        assert!(checked(many).unwrap_err().contains("of images"));

        let png = |drawing: &Drawing| match &drawing.operations[..] {
            [Operation::Image { png, .. }] => png.clone(),
            other => panic!("{other:?}"),
        };
        let first = png(&checked(vec![image(fake(10, 10, 100))]).unwrap());
        let again = contract::Drawing {
            operations: vec![image(fake(10, 10, 100))],
            until: 0,
        };
        assert!(Arc::ptr_eq(
            &first,
            &png(&check(again, std::slice::from_ref(&first)).unwrap())
        ));
    }
}
