//! Pixel formats, and which of them we take.

/// How pictures come out of a device, best first. Raw formats will follow here, for the host to encode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// One access unit a buffer, Annex B.
    H264,
}

impl Coding {
    const PREFERRED: [Self; 1] = [Self::H264];

    pub(super) fn fourcc(self) -> FourCc {
        match self {
            Self::H264 => FourCc(*b"H264"),
        }
    }

    /// What to take from a device that offers `offered`.
    pub(super) fn choose(offered: &[FourCc]) -> Option<Self> {
        Self::PREFERRED
            .into_iter()
            .find(|coding| offered.contains(&coding.fourcc()))
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

impl std::fmt::Display for FourCc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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
    fn h264_is_taken_wherever_it_stands_in_the_list() {
        let codes =
            |codes: &[&[u8; 4]]| codes.iter().map(|code| FourCc(**code)).collect::<Vec<_>>();
        assert_eq!(
            Coding::choose(&codes(&[b"YUYV", b"MJPG", b"H264"])),
            Some(Coding::H264)
        );
        assert_eq!(Coding::choose(&codes(&[b"YUYV", b"MJPG"])), None);
        assert_eq!(Coding::choose(&[]), None);
    }

    #[test]
    fn codes_print_as_people_know_them() {
        assert_eq!(FourCc(*b"YUYV").to_string(), "YUYV");
        assert_eq!(FourCc(*b"Y16 ").to_string(), "Y16");
        assert_eq!(FourCc([b'Y', b'1', b'6', b' ' | 0x80]).to_string(), "Y16");
        assert_eq!(FourCc([b'a', 0, b'b', b'c']).to_string(), "a\\x00bc");
    }
}
