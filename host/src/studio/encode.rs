use crate::{
    h264::AccessUnit,
    picture::{Canvas, EncodeError, Encoder, Settings},
};

/// An encoder: one picture in, one access unit out, in order. There is room for others beside openh264, such as the one
/// that a Raspberry Pi 4 has as a V4L2 device.
pub trait Encode: Send {
    /// Encodes a picture, as an IDR picture if `key` or if it is the first. After an error the next must be a `key`.
    fn encode(&mut self, picture: &Canvas, key: bool) -> Result<AccessUnit, EncodeError>;
}

/// openh264, on the processor.
#[derive(Debug)]
pub struct Openh264(Encoder);

impl Openh264 {
    /// What people know it by.
    pub const NAME: &str = "openh264";

    /// Sets it up.
    pub fn open(settings: Settings) -> Result<Box<dyn Encode>, EncodeError> {
        Ok(Box::new(Self(Encoder::open(settings)?)))
    }
}

impl Encode for Openh264 {
    fn encode(&mut self, picture: &Canvas, key: bool) -> Result<AccessUnit, EncodeError> {
        self.0.encode(picture, key)
    }
}
