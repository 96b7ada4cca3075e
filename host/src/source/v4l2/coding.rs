//! Pixel formats, and which of them we take.

use std::fmt;

use crate::studio::Pixels;

/// How pictures come out of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// One access unit a buffer, Annex B.
    H264,
    /// One picture a buffer, for the host to encode.
    Raw(Pixels),
}

impl Coding {
    /// All that we take. Where nothing else tells them apart, the first is the best: it costs the least to turn into
    /// what an encoder takes. A JPEG has to be decoded, and was damaged by being encoded; grey lacks something.
    pub(super) const ALL: [Self; 8] = [
        Self::H264,
        Self::Raw(Pixels::Yu12),
        Self::Raw(Pixels::Yv12),
        Self::Raw(Pixels::Nv12),
        Self::Raw(Pixels::Yuyv),
        Self::Raw(Pixels::Uyvy),
        Self::Raw(Pixels::Mjpg),
        Self::Raw(Pixels::Grey),
    ];

    pub(super) fn fourcc(self) -> FourCc {
        FourCc(*match self {
            Self::H264 => b"H264",
            Self::Raw(Pixels::Nv12) => b"NV12",
            Self::Raw(Pixels::Yu12) => b"YU12",
            Self::Raw(Pixels::Yv12) => b"YV12",
            Self::Raw(Pixels::Yuyv) => b"YUYV",
            Self::Raw(Pixels::Uyvy) => b"UYVY",
            Self::Raw(Pixels::Grey) => b"GREY",
            Self::Raw(Pixels::Mjpg) => b"MJPG",
        })
    }

    /// The one with this code, if we take it.
    pub(super) fn of(code: FourCc) -> Option<Self> {
        Self::ALL.into_iter().find(|coding| coding.fourcc() == code)
    }

    /// Its place in [`ALL`](Self::ALL).
    pub(super) fn rank(self) -> usize {
        Self::ALL
            .iter()
            .position(|&coding| coding == self)
            .expect("all codings are listed")
    }
}

impl fmt::Display for Coding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fourcc().fmt(f)
    }
}

/// A pixel format's four-character code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FourCc(pub(super) [u8; 4]);

impl FourCc {
    pub(super) fn number(self) -> u32 {
        u32::from_le_bytes(self.0)
    }
}

impl fmt::Display for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The top bit of a code says big-endian; codes end in blanks ("VP9 " hasn't, "Y16 " has).
        for byte in self.0 {
            match byte & 0x7f {
                byte if byte.is_ascii_graphic() => write!(f, "{}", byte as char)?,
                b' ' => {}
                byte => write!(f, "\\x{byte:02x}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_take_is_known_by_its_code() {
        for coding in Coding::ALL {
            assert_eq!(Coding::of(coding.fourcc()), Some(coding));
        }
        assert_eq!(Coding::of(FourCc(*b"RGB3")), None);
    }

    #[test]
    fn codes_print_as_people_know_them() {
        assert_eq!(FourCc(*b"YUYV").to_string(), "YUYV");
        assert_eq!(FourCc(*b"Y16 ").to_string(), "Y16");
        assert_eq!(FourCc([b'Y', b'1', b'6', b' ' | 0x80]).to_string(), "Y16");
        assert_eq!(FourCc([b'a', 0, b'b', b'c']).to_string(), "a\\x00bc");
    }
}
