//! Date and time of the picture, drawn onto it. Its page of documentation is `README.md`.

use picam_plugin::{
    Choice, Config, Description, Number, Plugin, Words,
    overlay::*,
    strftime::{Offset, Pattern},
};

const FORMAT: Words = Words::new(
    "format",
    "%Y-%m-%d %H:%M:%S",
    "what is written, as in strftime; other text stays as it is",
);
const UTC_OFFSET: Words = Words::new(
    "utc-offset",
    "Z",
    "distance from UTC of the time shown: Z, or hours and minutes as in +02:00",
);
const POSITION: Choice<Anchor> = Choice::new(
    "position",
    "bottom-right",
    &Anchor::NAMES,
    "where in the picture, and which point of the text lies there",
);
const MARGIN: Number = Number::whole(
    "margin",
    20,
    (0, 500),
    "thousandths of the picture's height",
    "distance from the edges",
);
const X: Number = Number::whole(
    "x",
    0,
    (0, 1_000),
    "thousandths of the picture's width",
    "place instead of that of position and margin, from the left",
);
const Y: Number = Number::whole(
    "y",
    0,
    (0, 1_000),
    "thousandths of the picture's height",
    "place instead of that of position and margin, from the top",
);
const SIZE: Number = Number::whole(
    "size",
    40,
    (10, 500),
    "thousandths of the picture's height",
    "height of the line",
);
const COLOUR: Words = Words::new(
    "colour",
    "white",
    "of the letters: #rrggbb, #rrggbbaa or a name",
);
const BACKGROUND: Words = Words::new("background", "#00000080", "of the box behind them, or none");
const OUTLINE: Words = Words::new("outline", "none", "of the line around each letter, or none");
const FONT: Words = Words::new("font", "", "family of the font; empty for the built-in one");

/// The plugin.
#[derive(Debug)]
pub struct OverlayClock {
    pattern: Pattern,
    offset: Offset,
    place: Place,
    /// All but the text and its place.
    template: Text,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    /// In a corner, so far from its edges.
    Corner(u32),
    At(Point),
}

impl Plugin for OverlayClock {
    fn describe() -> Description {
        Description::new(
            "overlay-clock",
            env!("CARGO_PKG_VERSION"),
            "writes date and time of its capture onto the picture",
        )
        .words(&FORMAT)
        .words(&UTC_OFFSET)
        .choice(&POSITION)
        .number(&MARGIN)
        .number(&X)
        .number(&Y)
        .number(&SIZE)
        .words(&COLOUR)
        .words(&BACKGROUND)
        .words(&OUTLINE)
        .words(&FONT)
    }

    fn start(config: &Config) -> Result<Self, String> {
        let offset = config.words(&UTC_OFFSET);
        let offset = Offset::parse(offset).ok_or_else(|| {
            UTC_OFFSET.refuse(
                offset,
                "Z or hours and minutes, as in +02:00 (zones with summer time are not known here)",
            )
        })?;
        let format = config.words(&FORMAT);
        let pattern = Pattern::parse(format).map_err(|why| FORMAT.blame(format, &why))?;
        let place = match (config.get("x"), config.get("y")) {
            (None, None) => Place::Corner(small(config.number(&MARGIN)?)),
            (Some(_), Some(_)) => Place::At(Point::new(
                small(config.number(&X)?).cast_signed(),
                small(config.number(&Y)?).cast_signed(),
            )),
            _ => return Err("x and y are set both or not at all".into()),
        };
        let mut template = Text::new("")
            .anchor(config.choice(&POSITION)?)
            .size(small(config.number(&SIZE)?))
            .font(config.words(&FONT));
        template.background = colour(config, &BACKGROUND)?;
        template.outline = colour(config, &OUTLINE)?;
        template.colour = colour(config, &COLOUR)?
            .ok_or_else(|| COLOUR.refuse("none", "a colour: letters without one can't be seen"))?;
        Ok(Self {
            pattern,
            offset,
            place,
            template,
        })
    }
}

/// A number whose range is far below 32 bits.
fn small(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A colour, or `none`.
fn colour(config: &Config, option: &Words) -> Result<Option<Colour>, String> {
    let written = config.words(option);
    if written == "none" {
        return Ok(None);
    }
    let colour = Colour::parse(written).ok_or_else(|| {
        option.refuse(
            written,
            "#rrggbb, #rrggbbaa, or a name such as white, black, red, lime, blue, yellow, gray",
        )
    })?;
    Ok(Some(colour))
}

impl Overlay for OverlayClock {
    fn draw(&mut self, frame: &Frame) -> Drawing {
        let place = match self.place {
            Place::Corner(margin) => self.template.anchor.corner(margin, frame),
            Place::At(place) => place,
        };
        let mut text = self.template.clone().at(place.x, place.y);
        text.content = self.pattern.text(frame.captured, self.offset);
        let drawing = Drawing::new().with(text);
        match self.pattern.next_change(frame.captured, self.offset) {
            // By the presentation clock, which runs at the pace of the wall clock wherever that isn't being corrected.
            Some(change) => drawing.until(
                frame
                    .time
                    .saturating_add(change.saturating_sub(frame.captured)),
            ),
            None => drawing.for_good(),
        }
    }
}

picam_plugin::export!(OverlayClock: overlay);
