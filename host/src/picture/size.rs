/// The longer side of the largest picture that the encoder takes: openh264 ends at level 5.2 and 3840x2160.
const LONG: u32 = 3840;
/// The shorter side of it.
const SHORT: u32 = 2160;
/// One macroblock: nothing smaller can be encoded.
const SMALLEST: u32 = 16;

/// The size of a picture that can be encoded: even, since 4:2:0 halves the chroma, at least one macroblock, and at most
/// 3840x2160 lying or standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Size {
    width: u32,
    height: u32,
}

/// A size that can't be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// Width or height is odd.
    #[error(
        "a picture of {width}x{height} can't be encoded: 4:2:0 wants an even width and height; ask for {near}",
        near = Size::near(*.width, *.height)
    )]
    Odd {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
    /// Less than a macroblock, or more than the encoder can do.
    #[error(
        "a picture of {width}x{height} can't be encoded: the encoder takes 16x16 to 3840x2160 (or 2160x3840); ask for {near}",
        near = Size::near(*.width, *.height)
    )]
    OutOfRange {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
}

impl Size {
    /// This size, if it can be encoded as it is.
    pub fn new(width: u32, height: u32) -> Result<Self, SizeError> {
        let (long, short) = (width.max(height), width.min(height));
        if short < SMALLEST || long > LONG || short > SHORT {
            Err(SizeError::OutOfRange { width, height })
        } else if !width.is_multiple_of(2) || !height.is_multiple_of(2) {
            Err(SizeError::Odd { width, height })
        } else {
            Ok(Self { width, height })
        }
    }

    /// The size that is nearest to this one and can be encoded: scaled down to fit, in its shape where that is
    /// possible, then rounded down to even numbers.
    pub fn near(width: u32, height: u32) -> Self {
        let (long, short) = (width.max(height).max(1), width.min(height).max(1));
        let scale = 1f64
            .min(f64::from(LONG) / f64::from(long))
            .min(f64::from(SHORT) / f64::from(short));
        let fit = |side: u32| ((f64::from(side) * scale) as u32).max(SMALLEST) & !1;
        Self {
            width: fit(width),
            height: fit(height),
        }
    }

    /// Pixels.
    pub fn width(self) -> u32 {
        self.width
    }

    /// Pixels.
    pub fn height(self) -> u32 {
        self.height
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_that_cannot_be_encoded_names_one_that_can() {
        let odd = Size::new(641, 361).unwrap_err().to_string();
        assert!(
            odd.contains("641x361") && odd.contains("ask for 640x360"),
            "{odd}"
        );
        let big = Size::new(7680, 4320).unwrap_err().to_string();
        assert!(
            big.contains("7680x4320") && big.contains("ask for 3840x2160"),
            "{big}"
        );
        let small = Size::new(0, 1).unwrap_err().to_string();
        assert!(small.contains("ask for 16x16"), "{small}");
    }

    #[test]
    fn lying_and_standing_pictures_have_the_same_limit() {
        assert!(Size::new(3840, 2160).is_ok());
        assert!(Size::new(2160, 3840).is_ok());
        assert!(Size::new(2162, 3840).is_err());
    }

    #[test]
    fn whatever_is_near_can_be_encoded() {
        for (width, height) in [
            (0, 0),
            (1, 9000),
            (u32::MAX, 3),
            (4056, 3040),
            (u32::MAX, u32::MAX),
            (1279, 719),
        ] {
            let near = Size::near(width, height);
            assert_eq!(
                Size::new(near.width, near.height),
                Ok(near),
                "{width}x{height}"
            );
        }
        assert_eq!(Size::near(4056, 3040).to_string(), "2880x2160");
    }
}
