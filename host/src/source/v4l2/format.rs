//! Which of what a camera offers comes nearest to what is wanted.

use std::time::Duration;

/// Width and height in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) width: u32,
    pub(super) height: u32,
}

/// Sizes a camera offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sizes {
    /// This one.
    One(Size),
    /// From the first to the second, by the third.
    Range(Size, Size, Size),
}

/// Time between two pictures, in seconds as a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interval {
    pub(super) numerator: u32,
    pub(super) denominator: u32,
}

/// Intervals a camera offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Intervals {
    /// This one.
    One(Interval),
    /// Any from the first (the fastest rate) to the second.
    Range(Interval, Interval),
}

impl Interval {
    /// As a length of time; `None` for a fraction that says nothing.
    pub(super) fn duration(self) -> Option<Duration> {
        (self.numerator > 0 && self.denominator > 0).then(|| {
            Duration::from_nanos(
                u64::from(self.numerator) * 1_000_000_000 / u64::from(self.denominator),
            )
        })
    }

    /// Pictures a second; 0 for a fraction that says nothing.
    pub(super) fn rate(self) -> f64 {
        if self.numerator == 0 {
            0.0
        } else {
            f64::from(self.denominator) / f64::from(self.numerator)
        }
    }
}

/// 30, 29.97
pub(super) fn two_places(rate: f64) -> f64 {
    (rate * 100.0).round() / 100.0
}

/// The size to ask for: the wanted one if there is one, else the largest that fits within it, else the smallest of all.
/// `None` when nothing is known of the camera: ask for what is wanted and see.
pub(super) fn nearest_size(offered: &[Sizes], wanted: Size) -> Option<Size> {
    let area = |size: &Size| u64::from(size.width) * u64::from(size.height);
    let fits = |size: &Size| size.width <= wanted.width && size.height <= wanted.height;
    let candidates: Vec<Size> = offered
        .iter()
        .map(|&sizes| match sizes {
            Sizes::One(size) => size,
            Sizes::Range(least, most, step) => Size {
                width: on_grid(wanted.width, least.width, most.width, step.width),
                height: on_grid(wanted.height, least.height, most.height, step.height),
            },
        })
        .collect();
    candidates
        .iter()
        .filter(|size| fits(size))
        .max_by_key(|size| area(size))
        .or_else(|| candidates.iter().min_by_key(|size| area(size)))
        .copied()
}

/// The largest value of the grid that isn't above `wanted`, else the least of the grid.
fn on_grid(wanted: u32, least: u32, most: u32, step: u32) -> u32 {
    let inside = wanted.clamp(least, most.max(least));
    inside - (inside - least) % step.max(1)
}

/// The interval to ask for: the one whose rate is nearest to `fps`. `None` when nothing is known of the camera.
pub(super) fn nearest_interval(offered: &[Intervals], fps: u32) -> Option<Interval> {
    let wanted = f64::from(fps);
    offered
        .iter()
        .map(|&intervals| match intervals {
            Intervals::One(interval) => interval,
            Intervals::Range(fastest, _) if fastest.rate() < wanted => fastest,
            Intervals::Range(_, slowest) if slowest.rate() > wanted => slowest,
            Intervals::Range(..) => Interval {
                numerator: 1,
                denominator: fps,
            },
        })
        .filter(|interval| interval.duration().is_some())
        .min_by(|a, b| {
            let distance = |interval: &Interval| (interval.rate() - wanted).abs();
            distance(a).total_cmp(&distance(b))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn size(width: u32, height: u32) -> Size {
        Size { width, height }
    }

    const fn interval(numerator: u32, denominator: u32) -> Interval {
        Interval {
            numerator,
            denominator,
        }
    }

    /// What a Logitech C920 offers for H.264.
    const WEBCAM: [Sizes; 5] = [
        Sizes::One(size(640, 480)),
        Sizes::One(size(320, 240)),
        Sizes::One(size(1280, 720)),
        Sizes::One(size(1920, 1080)),
        Sizes::One(size(864, 480)),
    ];

    #[test]
    fn the_wanted_size_is_taken_if_there_is_one() {
        let wanted = size(1280, 720);
        assert_eq!(nearest_size(&WEBCAM, wanted), Some(wanted));
    }

    #[test]
    fn else_the_largest_that_fits_is_taken() {
        assert_eq!(
            nearest_size(&WEBCAM, size(1600, 900)),
            Some(size(1280, 720))
        );
        assert_eq!(nearest_size(&WEBCAM, size(1280, 480)), Some(size(864, 480)));
    }

    #[test]
    fn else_the_smallest_is_taken() {
        assert_eq!(nearest_size(&WEBCAM, size(160, 120)), Some(size(320, 240)));
    }

    #[test]
    fn a_stepwise_camera_is_asked_for_a_size_on_its_grid() {
        // bcm2835-v4l2: 32x32 to 2592x1944 by 2.
        let grid = [Sizes::Range(size(32, 32), size(2592, 1944), size(2, 2))];
        assert_eq!(nearest_size(&grid, size(1279, 721)), Some(size(1278, 720)));
        assert_eq!(
            nearest_size(&grid, size(4000, 3000)),
            Some(size(2592, 1944))
        );
        assert_eq!(nearest_size(&grid, size(8, 8)), Some(size(32, 32)));
    }

    #[test]
    fn a_camera_that_lists_nothing_is_asked_for_what_is_wanted() {
        assert_eq!(nearest_size(&[], size(1280, 720)), None);
        assert_eq!(nearest_interval(&[], 30), None);
    }

    #[test]
    fn the_rate_nearest_to_the_wanted_one_is_taken() {
        let offered = [
            interval(1, 30),
            interval(1, 24),
            interval(1, 15),
            interval(2, 15),
        ]
        .map(Intervals::One);
        assert_eq!(nearest_interval(&offered, 30), Some(interval(1, 30)));
        assert_eq!(nearest_interval(&offered, 25), Some(interval(1, 24)));
        assert_eq!(nearest_interval(&offered, 60), Some(interval(1, 30)));
        assert_eq!(nearest_interval(&offered, 5), Some(interval(2, 15)));
    }

    #[test]
    fn a_range_of_rates_gives_the_wanted_rate_or_its_end() {
        let offered = [Intervals::Range(interval(1, 90), interval(1, 2))];
        assert_eq!(nearest_interval(&offered, 30), Some(interval(1, 30)));
        assert_eq!(nearest_interval(&offered, 120), Some(interval(1, 90)));
        assert_eq!(nearest_interval(&offered, 1), Some(interval(1, 2)));
    }

    #[test]
    fn intervals_that_say_nothing_are_passed_over() {
        let offered = [
            Intervals::One(interval(0, 0)),
            Intervals::One(interval(1, 15)),
        ];
        assert_eq!(nearest_interval(&offered, 30), Some(interval(1, 15)));
        assert_eq!(interval(1, 0).duration(), None);
        assert_eq!(interval(1, 25).duration(), Some(Duration::from_millis(40)));
    }
}
