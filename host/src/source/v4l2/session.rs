//! What is known of a stream from its start to its end, and what becomes of its buffers.

use std::os::fd::AsFd;

use super::{
    capture::{Filled, Queue},
    control,
    delivery::Delivery,
    stamp::Stamps,
};
use crate::{
    h264,
    source::{Picture, encoded::Encoded},
    studio::{Converter, Studio},
    time::Monotonic,
};

/// What a buffer led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was used, or left out.
    Done,
    /// Nobody encodes any more.
    Over,
}

/// A stream that a device was started with.
pub(super) struct Session {
    /// It was started anew, in vain so far.
    pub(super) restarted: bool,
    stamps: Stamps,
    told_distrust: bool,
    /// The driver's count of the last buffer.
    sequence: Option<u32>,
    pictures: Pictures,
}

/// How its pictures come.
enum Pictures {
    /// Encoded by the camera.
    Coded(Coded),
    /// For us to encode.
    Raw(Box<Raw>),
}

struct Coded {
    /// Marks are the times of capture.
    reader: h264::Reader<Monotonic>,
    told_no_key_frames: bool,
    /// Each buffer holds whole access units, as the kernel's description of the format promises: a picture needn't
    /// wait for the next one to begin.
    whole_pictures: bool,
}

/// A raw stream, and where its pictures go.
pub(super) struct Raw {
    pub(super) converter: Converter,
    pub(super) studio: std::sync::Arc<Studio>,
    pub(super) sink: std::sync::Arc<Encoded>,
}

impl Session {
    /// Of a camera that encodes, if `raw` is `None`.
    pub(super) fn new(raw: Option<Raw>) -> Self {
        Self {
            restarted: false,
            stamps: Stamps::default(),
            told_distrust: false,
            sequence: None,
            pictures: match raw {
                Some(raw) => Pictures::Raw(Box::new(raw)),
                None => Pictures::Coded(Coded {
                    reader: h264::Reader::new(),
                    told_no_key_frames: false,
                    whole_pictures: true,
                }),
            },
        }
    }

    /// From a buffer to events.
    pub(super) fn picture(
        &mut self,
        delivery: &mut Delivery,
        queue: &Queue,
        filled: &Filled,
    ) -> Outcome {
        let captured = self.captured(queue, filled);
        self.note_sequence(filled.sequence);
        let bytes = queue.bytes(filled);
        let whole = !filled.damaged && !bytes.is_empty();
        match &mut self.pictures {
            Pictures::Coded(coded) if whole => coded.picture(delivery, queue, bytes, captured),
            Pictures::Coded(coded) => {
                // What was in it may have been a reference for all that follows.
                coded.reader.lost();
                delivery.damaged();
                coded.ask_for_key_frame(queue);
            }
            Pictures::Raw(raw) if whole => return raw.picture(bytes, captured),
            Pictures::Raw(raw) => raw.sink.damaged("the driver says that it is damaged"),
        }
        Outcome::Done
    }

    /// The stream was started anew, after a silence.
    pub(super) fn start_anew(&mut self) {
        self.restarted = true;
        self.sequence = None;
        if let Pictures::Coded(coded) = &mut self.pictures {
            // The parameter sets it knows may be the only ones that the camera ever sends.
            coded.reader.lost();
        }
    }

    /// Has a key frame made, wherever pictures are encoded.
    pub(super) fn ask_for_key_frame(&mut self, queue: &Queue) {
        match &mut self.pictures {
            Pictures::Coded(coded) => coded.ask_for_key_frame(queue),
            Pictures::Raw(raw) => raw.studio.ask_for_key_frame(),
        }
    }

    fn captured(&mut self, queue: &Queue, filled: &Filled) -> Monotonic {
        let now = Monotonic::now();
        let (captured, distrust) = self.stamps.captured(filled.stamp, now);
        if let Some(distrust) = distrust
            && !self.told_distrust
        {
            self.told_distrust = true;
            tracing::info!(
                "{}: its time stamps {}; the time of arrival is used instead",
                queue.device().name(),
                distrust.as_str()
            );
        }
        captured
    }

    /// A gap in the driver's count is told, and nothing more. Some drivers count what the sensor gave, before the
    /// encoder was to drop pictures to keep its rate: then nothing is amiss. Others count coded pictures, and a gap
    /// means that one is lost which the next ones refer to; that shows in the bitstream itself (`frame_num`), where
    /// the reader sees it without doubt.
    fn note_sequence(&mut self, sequence: u32) {
        if let Some(last) = self.sequence.replace(sequence) {
            let missed = sequence.wrapping_sub(last).wrapping_sub(1);
            // Drivers that don't count say 0 for ever; those that begin anew fall back.
            if (1..1000).contains(&missed) {
                tracing::debug!("the driver skipped {missed} pictures before {sequence}");
            }
        }
    }
}

impl Coded {
    fn picture(
        &mut self,
        delivery: &mut Delivery,
        queue: &Queue,
        bytes: &[u8],
        captured: Monotonic,
    ) {
        self.reader.push(bytes, captured);
        if self.whole_pictures {
            self.reader.flush();
        }
        let mut in_time = true;
        while let Some(found) = self.reader.take() {
            in_time &= delivery.deliver(Picture {
                unit: found.unit,
                captured: found.mark,
            });
        }
        let loss = self.reader.loss();
        let lost = delivery.loss(loss);
        if loss.false_ends > 0 && self.whole_pictures {
            self.whole_pictures = false;
            tracing::warn!(
                "{}: its buffers don't hold whole pictures; each picture now waits for the next to begin",
                queue.device().name()
            );
        }
        if lost || !in_time {
            self.ask_for_key_frame(queue);
        }
    }

    fn ask_for_key_frame(&mut self, queue: &Queue) {
        if !queue.device().settings.controls.key_frames_on_request {
            return;
        }
        if let Err(error) = control::force_key_frame(queue.device().as_fd())
            && !self.told_no_key_frames
        {
            self.told_no_key_frames = true;
            tracing::warn!(
                "{}: makes no key frame on request: {error}",
                queue.device().name()
            );
        }
    }
}

impl Raw {
    /// Copies the picture out of the driver's memory, and leaves it to be encoded.
    fn picture(&mut self, bytes: &[u8], captured: Monotonic) -> Outcome {
        let free = self.studio.canvas(|canvas| self.converter.fits(canvas));
        let mut canvas = free.unwrap_or_else(|| self.converter.canvas());
        let there = match self.converter.convert(bytes, &mut canvas) {
            Ok(()) => self.studio.leave(canvas, captured),
            Err(error) => {
                self.studio.put_back(canvas);
                self.sink.damaged(&error.to_string());
                true
            }
        };
        if there { Outcome::Done } else { Outcome::Over }
    }
}
