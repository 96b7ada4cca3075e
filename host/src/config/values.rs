//! Values as people write them, on the command line and in TOML alike. Every error says what would be accepted.

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    output::DEFAULT_DIRECTORY,
    overlay::Mask,
    plugin::{Grants, NamingFailure, OverlayFailure, PlaylistFailure, Storage},
    source::{BadSource, SourceSpec},
    tls::TlsSpec,
};

/// Width and height in pixels, as in `1280x720`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// The largest side that H.264 level 6.2 has room for.
const SIDE_MOST: u32 = 16_384;

pub(crate) fn size(text: &str) -> Result<Size, String> {
    // Cameras write `1280x720`, people also `1280×720`.
    let sides = text.split_once(['x', 'X', '×', '*']);
    let side = |side: &str| {
        side.trim()
            .parse()
            .ok()
            .filter(|side| (16..=SIDE_MOST).contains(side) && side % 2 == 0)
    };
    sides
        .and_then(|(width, height)| {
            Some(Size {
                width: side(width)?,
                height: side(height)?,
            })
        })
        .ok_or_else(|| {
            format!(
                "expected WIDTHxHEIGHT in pixels, as in 1280x720, both even and 16 to {SIDE_MOST}"
            )
        })
}

pub(crate) fn fps(text: &str) -> Result<u32, String> {
    whole(text, 1, 240)
        .ok_or_else(|| "expected a whole number of pictures a second, 1 to 240".into())
}

pub(crate) fn bitrate(text: &str) -> Result<u32, String> {
    let factors = [("k", 1_000), ("M", 1_000_000), ("bps", 1), ("", 1)];
    scaled(text, &factors)
        .filter(|bits| (10_000..=1_000_000_000).contains(bits))
        .and_then(|bits| u32::try_from(bits).ok())
        .ok_or_else(|| {
            "expected bits a second, as in 800k, 2M or 2500000, from 10k to 1000M".into()
        })
}

/// Where to listen, as in `0.0.0.0:8080`, and what to speak there, as in `https://0.0.0.0:8443`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Address and port.
    pub address: SocketAddr,
    /// Whether TLS is spoken there; `None` if it wasn't said.
    pub tls: Option<bool>,
}

impl From<SocketAddr> for Listen {
    fn from(address: SocketAddr) -> Self {
        Self { address, tls: None }
    }
}

pub(crate) fn listen(text: &str) -> Result<Listen, String> {
    let schemes = [
        ("http://", Some(false)),
        ("https://", Some(true)),
        ("", None),
    ];
    let (rest, tls) = schemes
        .into_iter()
        .find_map(|(scheme, tls)| Some((text.strip_prefix(scheme)?, tls)))
        .expect("every text begins with nothing");
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let address = rest.parse().map_err(|_| {
        let example = match rest.parse::<u16>() {
            Ok(port) => format!("0.0.0.0:{port}"),
            Err(_) => "0.0.0.0:8080".into(),
        };
        format!(
            "expected IP:PORT, as in {example} for every IPv4 address of this machine, 127.0.0.1:8080, [::]:8080 or \
             https://0.0.0.0:8443"
        )
    })?;
    Ok(Listen { address, tls })
}

/// A certificate: `self-signed`, `CERT,KEY`, or one file that holds both.
pub(crate) fn tls(text: &str) -> Result<TlsSpec, String> {
    let (cert, key) = text.split_once(',').unwrap_or((text, text));
    match text {
        "self-signed" => Ok(TlsSpec::SelfSigned),
        _ if cert.is_empty() || key.is_empty() => Err(
            "expected self-signed, or the certificate and its key, as in cert.pem,key.pem".into(),
        ),
        _ => Ok(TlsSpec::Files {
            cert: cert.into(),
            key: key.into(),
        }),
    }
}

/// The only text that `tls` is in a file; paths have keys of their own there.
pub(super) fn self_signed(text: &str) -> Result<TlsSpec, String> {
    match text {
        "self-signed" => Ok(TlsSpec::SelfSigned),
        _ => Err("expected \"self-signed\", or { cert = \"cert.pem\", key = \"key.pem\" }".into()),
    }
}

/// Where files go: a directory, or `true` for the usual one; `None` for `false`.
pub(super) fn output(text: &str) -> Result<Option<PathBuf>, String> {
    match text {
        "" => Err("expected a directory, as in \"/var/www/cam\", or true for the usual one".into()),
        "false" => Ok(None),
        "true" => Ok(Some(DEFAULT_DIRECTORY.into())),
        path => Ok(Some(path.into())),
    }
}

pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    self::text(text).map(|text| Path::new(&text).to_owned())
}

pub(super) fn text(text: &str) -> Result<String, String> {
    match text.is_empty() {
        true => Err("expected some text".into()),
        false => Ok(text.to_owned()),
    }
}

pub(super) fn source(text: &str) -> Result<SourceSpec, String> {
    text.parse().map_err(|error: BadSource| error.to_string())
}

/// What the log shows.
pub(super) fn log(text: &str) -> Result<String, String> {
    match tracing_subscriber::EnvFilter::try_new(text) {
        Ok(_) if !text.is_empty() => Ok(text.to_owned()),
        _ => Err("expected what the log shows, as in picam_host=debug,warn".into()),
    }
}

/// The name of a grant.
pub(super) fn grant(text: &str) -> Result<String, String> {
    let checked = Grants::default().add(text);
    checked
        .map(|()| text.to_owned())
        .map_err(|error| error.to_string())
}

pub(super) fn bytes(text: &str) -> Result<usize, String> {
    let factors = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("k", 1 << 10),
        ("K", 1 << 10),
        ("M", 1 << 20),
        ("G", 1 << 30),
        ("", 1),
    ];
    scaled(text, &factors)
        .filter(|bytes| *bytes > 0)
        .and_then(|bytes| usize::try_from(bytes).ok())
        .ok_or_else(|| "expected bytes, as in 32MiB, 512KiB or 65536".into())
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    // Milliseconds before seconds: one unit ends in the other.
    scaled(text, &[("ms", 1), ("s", 1_000)])
        .filter(|milliseconds| (1..=600_000).contains(milliseconds))
        .map(Duration::from_millis)
        .ok_or_else(|| "expected a time with its unit, as in 200ms or 2s, at most 600s".into())
}

pub(super) fn count(text: &str) -> Result<usize, String> {
    whole(text, 1, u32::MAX)
        .and_then(|count| usize::try_from(count).ok())
        .ok_or_else(|| "expected a whole number from 1 on".into())
}

pub(super) fn budget(text: &str) -> Result<u32, String> {
    whole(text, 0, 1_000).ok_or_else(|| "expected a whole number from 0 to 1000".into())
}

/// One of several words.
fn choice<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, String> {
    let found = words.iter().find(|(word, _)| *word == text);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<_> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
        format!("expected {}", words.join(" or "))
    })
}

pub(super) fn storage(text: &str) -> Result<Storage, String> {
    let words = [
        ("memory", Storage::Memory),
        ("persistent", Storage::Persistent),
    ];
    choice(text, &words)
}

pub(super) fn playlist_failure(text: &str) -> Result<PlaylistFailure, String> {
    let words = [
        ("stale-if-error", PlaylistFailure::StaleIfError),
        ("unavailable", PlaylistFailure::Unavailable),
    ];
    choice(text, &words)
}

pub(super) fn naming_failure(text: &str) -> Result<NamingFailure, String> {
    let words = [
        ("number", NamingFailure::Number),
        ("random", NamingFailure::Random),
    ];
    choice(text, &words)
}

pub(super) fn overlay_failure(text: &str) -> Result<OverlayFailure, String> {
    let words = [
        ("clear", OverlayFailure::Clear),
        ("keep", OverlayFailure::Keep),
    ];
    choice(text, &words)
}

/// Where drawings are seen on pictures that come encoded.
pub(super) fn overlay(text: &str) -> Result<super::Overlay, String> {
    let words = [
        ("page", super::Overlay::Page),
        ("transcode", super::Overlay::Transcode),
    ];
    choice(text, &words)
}

/// An edge of a mask. Whether it lies in the picture the mask says.
pub(super) fn thousandths(text: &str) -> Result<i64, String> {
    text.trim().parse().map_err(|_| {
        "expected a whole number: thousandths of the picture's width or height, from 0 to 1000"
            .into()
    })
}

/// A mask on the command line: its edges, as in `0,700,250,1000`.
pub(crate) fn mask(text: &str) -> Result<Mask, String> {
    let edges: Result<Vec<_>, _> = text.split(',').map(thousandths).collect();
    match edges.as_deref() {
        Ok(&[left, top, right, bottom]) => {
            Mask::new(left, top, right, bottom).map_err(|error| error.to_string())
        }
        _ => Err(
            "expected LEFT,TOP,RIGHT,BOTTOM in thousandths of the picture's width and height, as in 0,700,250,1000 for its \
             lower left corner"
                .into(),
        ),
    }
}

pub(super) fn auth_failure(text: &str) -> Result<(), String> {
    choice(text, &[("deny", ())]).map_err(|expected| {
        format!(
            "{expected}: a plugin that fails to decide who may watch lets nobody in, whatever is set; let viewers in by \
             leaving the plugin out"
        )
    })
}

fn whole(text: &str, least: u32, most: u32) -> Option<u32> {
    text.parse()
        .ok()
        .filter(|number| (least..=most).contains(number))
}

/// A number, with up to six decimals, and the first of the units that it ends in. `None` for what is none, what doesn't
/// come out whole, and what is too large.
fn scaled(text: &str, factors: &[(&str, u64)]) -> Option<u64> {
    let (number, factor) = factors
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?.trim_end(), *factor)))?;
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(decimals) || decimals.len() > 6 {
        return None;
    }
    let millionths = format!("{decimals:0<6}").parse::<u128>().ok()?;
    let scaled =
        (u128::from(whole.parse::<u64>().ok()?) * 1_000_000 + millionths) * u128::from(factor);
    scaled
        .is_multiple_of(1_000_000)
        .then(|| u64::try_from(scaled / 1_000_000).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_read_as_people_write_them() {
        let (width, height) = (1920, 1080);
        assert_eq!(size("1920x1080"), Ok(Size { width, height }));
        assert_eq!(size("1920 × 1080"), Ok(Size { width, height }));
        assert_eq!(bitrate("2M"), Ok(2_000_000));
        assert_eq!(bitrate("2.5M"), Ok(2_500_000));
        assert_eq!(bitrate("800k"), Ok(800_000));
        assert_eq!(bitrate("1234567"), Ok(1_234_567));
        assert_eq!(bytes("32MiB"), Ok(32 << 20));
        assert_eq!(bytes("1.5 KiB"), Ok(1536));
        assert_eq!(duration("200ms"), Ok(Duration::from_millis(200)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1_500)));
        assert_eq!(fps("25"), Ok(25));
        let loopback = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 80));
        for (text, tls) in [
            ("[::1]:80", None),
            ("http://[::1]:80", Some(false)),
            ("https://[::1]:80/", Some(true)),
        ] {
            let address = loopback;
            assert_eq!(listen(text), Ok(Listen { address, tls }));
        }
        let files = |cert: &str, key: &str| {
            Ok(TlsSpec::Files {
                cert: cert.into(),
                key: key.into(),
            })
        };
        assert_eq!(tls("self-signed"), Ok(TlsSpec::SelfSigned));
        assert_eq!(tls("a.pem,b.pem"), files("a.pem", "b.pem"));
        assert_eq!(tls("both.pem"), files("both.pem", "both.pem"));
    }

    #[test]
    fn an_error_says_what_would_be_accepted() {
        for wrong in [
            "",
            "720p",
            "1280x",
            "1281x720",
            "0x0",
            "1280x720x3",
            "-2x16",
            "99999x99998",
        ] {
            assert!(size(wrong).unwrap_err().contains("1280x720"), "{wrong}");
        }
        for wrong in [
            "",
            "M",
            "2 m",
            "-1",
            "1e6",
            "9k",
            "1001M",
            "1.0000001M",
            "99999999999999999999M",
        ] {
            assert!(bitrate(wrong).unwrap_err().contains("2M"), "{wrong}");
        }
        for wrong in ["0", "241", "29.97", "x"] {
            assert!(fps(wrong).unwrap_err().contains("1 to 240"), "{wrong}");
        }
        for wrong in ["5", "0ms", "1m", "0.1ms", "601s"] {
            assert!(duration(wrong).unwrap_err().contains("200ms"), "{wrong}");
        }
        assert!(listen("9000").unwrap_err().contains("0.0.0.0:9000"));
        assert!(listen("localhost:80").unwrap_err().contains("IP:PORT"));
        assert!(listen("ftp://0.0.0.0:80").is_err());
        for wrong in ["", ",", "cert.pem,", ",key.pem"] {
            assert!(
                tls(wrong).unwrap_err().contains("cert.pem,key.pem"),
                "{wrong}"
            );
        }
        assert!(bytes("0").is_err() && bytes("1.5").is_err());
        assert!(count("0").is_err() && count("-1").is_err());
        assert!(budget("0").is_ok() && budget("1001").is_err());
        let error = naming_failure("numbers").unwrap_err();
        assert_eq!(error, r#"expected "number" or "random""#);
    }

    proptest! {
        #[test]
        fn nothing_that_is_written_breaks_a_reader(text: String) {
            let _ = (size(&text), bitrate(&text), fps(&text), bytes(&text), duration(&text), listen(&text), tls(&text));
        }

        #[test]
        fn what_is_shown_is_read_back(width in 8u32..8_000, height in 8u32..8_000, bits in 10_000u32..=1_000_000_000) {
            let shown = Size { width: 2 * width, height: 2 * height };
            prop_assert_eq!(size(&shown.to_string()), Ok(shown));
            prop_assert_eq!(bitrate(&bits.to_string()), Ok(bits));
            prop_assert_eq!(bitrate(&format!("{}.{:03}k", bits / 1_000, bits % 1_000)), Ok(bits));
        }
    }
}
