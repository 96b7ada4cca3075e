//! Which colours the samples of a picture mean, and the colours that are drawn.

/// How luma and chroma are made of red, green and blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matrix {
    /// ITU-R BT.601, of analogue television, JPEG, and most webcams.
    Bt601,
    /// ITU-R BT.709, of high definition.
    Bt709,
    /// ITU-R BT.2020, with non-constant luminance.
    Bt2020,
}

impl Matrix {
    /// The weights of red and of blue in luma (H.264, table E-5).
    const fn weights(self) -> (f64, f64) {
        match self {
            Self::Bt601 => (0.299, 0.114),
            Self::Bt709 => (0.2126, 0.0722),
            Self::Bt2020 => (0.2627, 0.0593),
        }
    }
}

/// Which red, green and blue are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Primaries {
    /// SMPTE 170M: television of 525 lines.
    Smpte170m,
    /// ITU-R BT.709, which are those of sRGB too.
    Bt709,
    /// ITU-R BT.2020.
    Bt2020,
}

/// What the samples of a picture mean. A stream says it in its VUI, so that samples needn't be changed to fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colors {
    /// How luma and chroma are made of red, green and blue.
    pub matrix: Matrix,
    /// Which red, green and blue.
    pub primaries: Primaries,
    /// Samples go from 0 to 255, rather than from 16 to 235 (luma) and 240 (chroma).
    pub full_range: bool,
}

impl Colors {
    /// High definition in limited range: of all that the host draws by itself.
    pub const BT709: Self = Self {
        matrix: Matrix::Bt709,
        primaries: Primaries::Bt709,
        full_range: false,
    };

    /// Of every JPEG (JFIF 1.02): BT.601 in full range.
    pub const JPEG: Self = Self {
        matrix: Matrix::Bt601,
        primaries: Primaries::Bt709,
        full_range: true,
    };
}

impl std::fmt::Display for Colors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let matrix = match self.matrix {
            Matrix::Bt601 => "BT.601",
            Matrix::Bt709 => "BT.709",
            Matrix::Bt2020 => "BT.2020",
        };
        let range = if self.full_range { "full" } else { "limited" };
        write!(f, "{matrix}, {range} range")
    }
}

/// A colour to draw with: full-range R'G'B'. What samples that makes is up to the [`Colors`] of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Color {
    red: u8,
    green: u8,
    blue: u8,
}

impl Color {
    /// Black, as the clock bar has it.
    pub const BLACK: Self = Self::rgb(0, 0, 0);
    /// White, as the clock bar has it.
    pub const WHITE: Self = Self::rgb(255, 255, 255);

    /// From full-range R'G'B'.
    pub const fn rgb(red: u8, green: u8, blue: u8) -> Self {
        Self { red, green, blue }
    }

    /// The samples that show this colour in a picture of these colours (H.264, E-19 to E-24).
    pub const fn samples(self, colors: Colors) -> Samples {
        let (kr, kb) = colors.matrix.weights();
        let red = self.red as f64 / 255.0;
        let green = self.green as f64 / 255.0;
        let blue = self.blue as f64 / 255.0;
        let luma = kr * red + (1.0 - kr - kb) * green + kb * blue;
        let (base, luma_range, chroma_range) = if colors.full_range {
            (0.0, 255.0, 255.0)
        } else {
            (16.0, 219.0, 224.0)
        };
        // A half more, for casts cut off; and a cast of what lies beyond 255 gives 255.
        Samples {
            y: (base + 0.5 + luma_range * luma) as u8,
            cb: (128.5 + chroma_range * (blue - luma) / (2.0 - 2.0 * kb)) as u8,
            cr: (128.5 + chroma_range * (red - luma) / (2.0 - 2.0 * kr)) as u8,
        }
    }
}

/// What a pixel of a colour is in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Samples {
    /// Luma.
    pub y: u8,
    /// Blue difference.
    pub cb: u8,
    /// Red difference.
    pub cr: u8,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(red: u8, green: u8, blue: u8, colors: Colors) -> (u8, u8, u8) {
        let Samples { y, cb, cr } = Color::rgb(red, green, blue).samples(colors);
        (y, cb, cr)
    }

    #[test]
    fn colours_of_high_definition_are_those_of_bt709() {
        let samples = |red, green, blue| samples(red, green, blue, Colors::BT709);
        assert_eq!(samples(0, 0, 0), (16, 128, 128));
        assert_eq!(samples(255, 255, 255), (235, 128, 128));
        // 100 % bars of ITU-R BT.709.
        assert_eq!(samples(255, 0, 0), (63, 102, 240));
        assert_eq!(samples(0, 255, 0), (173, 42, 26));
        assert_eq!(samples(0, 0, 255), (32, 240, 118));
    }

    #[test]
    fn colours_of_a_webcam_are_those_of_bt601_in_its_range() {
        let limited = Colors {
            full_range: false,
            ..Colors::JPEG
        };
        // 100 % bars of ITU-R BT.601.
        assert_eq!(samples(255, 0, 0, limited), (81, 90, 240));
        assert_eq!(samples(0, 255, 0, limited), (145, 54, 34));
        assert_eq!(samples(0, 0, 255, limited), (41, 240, 110));
        // JFIF 1.02.
        assert_eq!(samples(0, 0, 0, Colors::JPEG), (0, 128, 128));
        assert_eq!(samples(255, 255, 255, Colors::JPEG), (255, 128, 128));
        assert_eq!(samples(255, 0, 0, Colors::JPEG), (76, 85, 255));
        assert_eq!(samples(0, 0, 255, Colors::JPEG), (29, 255, 107));
    }
}
