//! What a driver says of colours.

use v4l::v4l_sys as sys;

use crate::picture::{Colors, Matrix, Primaries};

/// The colours that are meant by the fields of a `v4l2_pix_format` (videodev2.h): where a driver leaves it to the default,
/// that goes by the colour space (`V4L2_MAP_YCBCR_ENC_DEFAULT`, `V4L2_MAP_QUANTIZATION_DEFAULT`).
pub(super) fn colors(colorspace: u32, encoding: u32, quantization: u32) -> Colors {
    let matrix = match encoding {
        sys::v4l2_ycbcr_encoding_V4L2_YCBCR_ENC_601
        | sys::v4l2_ycbcr_encoding_V4L2_YCBCR_ENC_XV601 => Matrix::Bt601,
        sys::v4l2_ycbcr_encoding_V4L2_YCBCR_ENC_709
        | sys::v4l2_ycbcr_encoding_V4L2_YCBCR_ENC_XV709
        // Of analogue HDTV, which was between the two: no camera has it.
        | sys::v4l2_ycbcr_encoding_V4L2_YCBCR_ENC_SMPTE240M => Matrix::Bt709,
        sys::v4l2_ycbcr_encoding_V4L2_YCBCR_ENC_BT2020
        | sys::v4l2_ycbcr_encoding_V4L2_YCBCR_ENC_BT2020_CONST_LUM => Matrix::Bt2020,
        _ => match colorspace {
            sys::v4l2_colorspace_V4L2_COLORSPACE_REC709
            | sys::v4l2_colorspace_V4L2_COLORSPACE_DCI_P3
            | sys::v4l2_colorspace_V4L2_COLORSPACE_SMPTE240M => Matrix::Bt709,
            sys::v4l2_colorspace_V4L2_COLORSPACE_BT2020 => Matrix::Bt2020,
            _ => Matrix::Bt601,
        },
    };
    let primaries = match colorspace {
        sys::v4l2_colorspace_V4L2_COLORSPACE_SMPTE170M
        | sys::v4l2_colorspace_V4L2_COLORSPACE_SMPTE240M => Primaries::Smpte170m,
        sys::v4l2_colorspace_V4L2_COLORSPACE_BT2020 => Primaries::Bt2020,
        _ => Primaries::Bt709,
    };
    let full_range = match quantization {
        sys::v4l2_quantization_V4L2_QUANTIZATION_FULL_RANGE => true,
        sys::v4l2_quantization_V4L2_QUANTIZATION_LIM_RANGE => false,
        _ => colorspace == sys::v4l2_colorspace_V4L2_COLORSPACE_JPEG,
    };
    Colors {
        matrix,
        primaries,
        full_range,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_driver_leaves_open_goes_by_its_colour_space() {
        let by_space = |colorspace| colors(colorspace, 0, 0).to_string();
        for (colorspace, text) in [
            // UVC webcams.
            (
                sys::v4l2_colorspace_V4L2_COLORSPACE_SRGB,
                "BT.601, limited range",
            ),
            (
                sys::v4l2_colorspace_V4L2_COLORSPACE_JPEG,
                "BT.601, full range",
            ),
            (
                sys::v4l2_colorspace_V4L2_COLORSPACE_SMPTE170M,
                "BT.601, limited range",
            ),
            // HDMI receivers.
            (
                sys::v4l2_colorspace_V4L2_COLORSPACE_REC709,
                "BT.709, limited range",
            ),
            (
                sys::v4l2_colorspace_V4L2_COLORSPACE_BT2020,
                "BT.2020, limited range",
            ),
            (
                sys::v4l2_colorspace_V4L2_COLORSPACE_DEFAULT,
                "BT.601, limited range",
            ),
        ] {
            assert_eq!(by_space(colorspace), text);
        }
    }

    #[test]
    fn what_a_driver_says_holds() {
        let colors = colors(
            sys::v4l2_colorspace_V4L2_COLORSPACE_SRGB,
            sys::v4l2_ycbcr_encoding_V4L2_YCBCR_ENC_709,
            sys::v4l2_quantization_V4L2_QUANTIZATION_FULL_RANGE,
        );
        assert_eq!(
            colors,
            Colors {
                full_range: true,
                ..Colors::BT709
            }
        );
    }
}
