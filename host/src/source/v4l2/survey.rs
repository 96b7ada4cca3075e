//! All that a camera can do, for people to read.

use std::{os::fd::AsFd, path::Path};

use serde::Serialize;

use super::{
    coding::Coding,
    device::Node,
    format::{Intervals, Size, Sizes, two_places},
    knobs::{self, CameraControl},
    offer::{described_formats, intervals, sizes},
};

/// A camera, and what it can do.
#[derive(Clone, Debug, Serialize)]
pub struct Survey {
    /// What it calls itself.
    pub name: String,
    /// The kernel's driver.
    pub driver: String,
    /// How it gives pictures.
    pub formats: Vec<Format>,
    /// What it can be set to.
    pub controls: Vec<CameraControl>,
}

/// How a camera gives pictures.
#[derive(Clone, Debug, Serialize)]
pub struct Format {
    /// Four characters, as V4L2 has them.
    pub code: String,
    /// As the driver describes it.
    pub description: String,
    /// What becomes of it here.
    pub usable: Use,
    /// In what sizes. None: it doesn't say.
    pub sizes: Vec<SizeRange>,
}

/// What becomes of a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Use {
    /// It goes out as it is.
    AsItIs,
    /// It is encoded here.
    Encoded,
    /// It can't be used.
    No,
}

/// A size, or all from one to another, and how fast pictures of it come.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SizeRange {
    /// Width and height in pixels.
    pub from: (u32, u32),
    /// The same, unless there is a range.
    pub to: (u32, u32),
    /// Pictures a second, fastest first: each that there is, or the ends of a range. Of the largest size.
    pub rates: Vec<f64>,
    /// All rates between the first and the last are possible.
    pub any_rate: bool,
}

/// Asks a camera for all that it can do. The error says what is wrong with it.
pub fn survey(path: &Path) -> Result<Survey, String> {
    let Node { fd, card, driver } = Node::open(path).map_err(|error| error.to_string())?;
    let listed = described_formats(fd.as_fd())
        .map_err(|error| format!("{}: can't list its formats: {error}", path.display()))?;
    let formats = listed
        .into_iter()
        .map(|(code, description)| {
            // A device that is gone by now has nothing more to say.
            let sizes = sizes(fd.as_fd(), code).unwrap_or_default();
            let range = |sizes| {
                let (from, to) = ends(sizes);
                let rates = intervals(fd.as_fd(), code, to).unwrap_or_default();
                range(from, to, &rates)
            };
            Format {
                code: code.to_string(),
                description,
                usable: match Coding::of(code) {
                    Some(Coding::H264) => Use::AsItIs,
                    Some(Coding::Raw(_)) => Use::Encoded,
                    None => Use::No,
                },
                sizes: sizes.into_iter().map(range).collect(),
            }
        })
        .collect();
    Ok(Survey {
        name: card,
        driver,
        formats,
        controls: knobs::list(fd.as_fd()),
    })
}

fn ends(sizes: Sizes) -> (Size, Size) {
    match sizes {
        Sizes::One(size) => (size, size),
        Sizes::Range(least, most, _) => (least, most),
    }
}

fn range(from: Size, to: Size, intervals: &[Intervals]) -> SizeRange {
    let mut any_rate = false;
    let mut rates: Vec<_> = intervals
        .iter()
        .flat_map(|&intervals| match intervals {
            Intervals::One(interval) => vec![interval],
            Intervals::Range(fastest, slowest) => {
                any_rate = true;
                vec![fastest, slowest]
            }
        })
        .map(|interval| two_places(interval.rate()))
        .filter(|&rate| rate > 0.0)
        .collect();
    rates.sort_by(|a, b| b.total_cmp(a));
    rates.dedup();
    SizeRange {
        from: (from.width, from.height),
        to: (to.width, to.height),
        rates,
        any_rate,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::format::Interval, *};

    #[test]
    fn rates_are_listed_fastest_first_and_once() {
        let interval = |numerator, denominator| Interval {
            numerator,
            denominator,
        };
        let size = Size {
            width: 640,
            height: 480,
        };
        let listed = [
            Intervals::One(interval(1, 15)),
            Intervals::One(interval(1001, 30000)),
            Intervals::One(interval(1, 15)),
            Intervals::One(interval(0, 0)),
        ];
        let listed = range(size, size, &listed);
        assert_eq!(listed.rates, [29.97, 15.0]);
        assert!(!listed.any_rate);
        let any = [Intervals::Range(interval(1, 90), interval(1, 2))];
        let any = range(size, size, &any);
        assert_eq!(
            (any.rates.as_slice(), any.any_rate),
            (&[90.0, 2.0][..], true)
        );
    }
}
