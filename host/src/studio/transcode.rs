//! Pictures that came encoded, decoded to be retouched and encoded again.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
};

use super::{Encode, Openh264, Retouch};
use crate::{
    h264::AccessUnit,
    line_gate::LineGate,
    picture::{Canvas, DecodeError, Decoder, EncodeError, Rate, Settings},
    source::{Damage, Event, KeyFrames, Picture, Source, Wanted},
    time::Monotonic,
};

/// Pictures that may wait to be taken.
const QUEUE: usize = 4;
/// Pictures that may wait to be decoded before one is left out: fewer than the source holds, so that it needn't drop what
/// others refer to.
const BEHIND: usize = 1;
const TOO_SLOW: &str = "decoding and encoding take too long; ask the source for a smaller size or fewer pictures a second";

/// What went wrong is said at once, then not more often than this.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// Decodes a source's pictures, has them retouched, and encodes them, on a thread of its own. Each keeps its time of
/// capture, and is an IDR picture where the source has one.
///
/// What can't be decoded is not shown: damaged pictures, up to the next IDR picture, count as dropped; a stream for which
/// there is no decoder is lost, and the reason says why. Where decoding and encoding take too long, every other picture or
/// so is decoded and not encoded. The thread ends with the source, or when nobody takes its pictures any more. Must be
/// called within a Tokio runtime.
///
/// # Errors
/// If there is no decoder or no thread to be had.
pub fn open(
    source: Source,
    wanted: &Wanted,
    retouch: Option<Box<dyn Retouch>>,
) -> anyhow::Result<Source> {
    let (events, receiver) = mpsc::channel(QUEUE);
    let (key_frames, asked) = KeyFrames::new();
    let (damage, damage_receiver) = watch::channel(*source.damage.borrow());
    let rate = source.nominal.frame.map(|frame| 1.0 / frame.as_secs_f64());
    let bench = Transcoder {
        input: source.events,
        decoder: Decoder::new().context("can't set up a decoder for the source's pictures")?,
        retouch,
        encoder: None,
        // A float that is out of range becomes the nearest number.
        fps: rate
            .map_or(wanted.fps, |rate| rate.round() as u32)
            .clamp(1, 240),
        bitrate: wanted.bitrate,
        key_due: false,
        asked,
        lost: false,
        events,
        before: source.damage,
        own: Damage::default(),
        damage,
        complaints: LineGate::new(1, COMPLAIN_EVERY),
    };
    let runtime = Handle::current();
    thread::Builder::new()
        .name("transcoder".to_owned())
        .spawn(move || bench.run(&runtime))
        .context("can't start a thread that decodes and encodes")?;
    Ok(Source {
        events: receiver,
        nominal: source.nominal,
        key_frames,
        name: source.name,
        description: format!("{}, decoded and encoded again", source.description),
        encoded_here: true,
        controls: source.controls,
        damage: damage_receiver,
    })
}

/// What the thread owns.
struct Transcoder {
    input: mpsc::Receiver<Event>,
    decoder: Decoder,
    retouch: Option<Box<dyn Retouch>>,
    /// With what it was opened for.
    encoder: Option<(Settings, Box<dyn Encode>)>,
    fps: u32,
    bitrate: u32,
    /// The next picture must be an IDR picture, since one that should have been wasn't encoded.
    key_due: bool,
    asked: watch::Receiver<u64>,
    /// It was said that the stream can't be shown.
    lost: bool,
    events: mpsc::Sender<Event>,
    /// What was lost before it came here.
    before: watch::Receiver<Damage>,
    /// What was lost here.
    own: Damage,
    damage: watch::Sender<Damage>,
    complaints: LineGate,
}

/// Nobody wants pictures any more.
struct Gone;

impl Transcoder {
    fn run(mut self, runtime: &Handle) {
        while let Some(event) = runtime.block_on(self.next()) {
            let told = match event {
                Event::Picture(picture) => self.picture(picture),
                other => {
                    self.decoder.restart();
                    self.send(other)
                }
            };
            self.count();
            if told.is_err() {
                return;
            }
        }
    }

    async fn next(&mut self) -> Option<Event> {
        tokio::select! {
            () = self.events.closed() => None,
            event = self.input.recv() => event,
        }
    }

    fn send(&self, event: Event) -> Result<(), Gone> {
        self.events.blocking_send(event).map_err(|_| Gone)
    }

    fn picture(&mut self, Picture { unit, captured }: Picture) -> Result<(), Gone> {
        let canvas = match self.decoder.decode(&unit) {
            Ok(canvas) => canvas,
            Err(error) => return self.undecoded(error),
        };
        // An error means that nobody is left to ask.
        let asked = self.asked.has_changed().unwrap_or(false);
        let key = unit.idr || self.key_due || asked;
        if self.input.len() > BEHIND && !key {
            self.own.late_units += 1;
            self.drop_one(TOO_SLOW);
            return Ok(());
        }
        if let Some(retouch) = &mut self.retouch {
            retouch.retouch(canvas, captured);
        }
        let settings = (self.fps, self.bitrate);
        match encode(&mut self.encoder, canvas, settings, key) {
            Ok(unit) => {
                self.key_due = false;
                if asked {
                    self.asked.mark_unchanged();
                }
                self.encoded(unit, captured)
            }
            Err(error) => {
                // What follows may refer to the picture that is missing, and openh264 never encodes again after some of
                // its errors: another one begins, with a key frame.
                self.encoder = None;
                self.key_due = true;
                self.drop_one(&format!("{:#}", anyhow::Error::from(error)));
                Ok(())
            }
        }
    }

    fn encoded(&mut self, unit: AccessUnit, captured: Monotonic) -> Result<(), Gone> {
        if std::mem::take(&mut self.lost) {
            self.own.restarts += 1;
            // Whoever sees the picture may look.
            self.count();
        }
        self.send(Event::Picture(Picture { unit, captured }))
    }

    /// There is no picture: for now, or none at all.
    fn undecoded(&mut self, error: DecodeError) -> Result<(), Gone> {
        self.own.dropped_units += 1;
        match error {
            DecodeError::Waiting => Ok(()),
            DecodeError::Broken(_) | DecodeError::Nothing => {
                self.complain(&format!(
                    "{error}; the stream goes on with the next key frame"
                ));
                Ok(())
            }
            DecodeError::Unsupported(..) | DecodeError::Size(_) | DecodeError::Hopeless(_) => {
                if std::mem::replace(&mut self.lost, true) {
                    return Ok(());
                }
                let reason =
                    format!("the source can't be shown with masks or drawings in it: {error}");
                self.send(Event::Lost { reason })
            }
        }
    }

    fn drop_one(&mut self, why: &str) {
        self.own.dropped_units += 1;
        self.complain(&format!("a picture is left out: {why}"));
    }

    fn complain(&mut self, what: &str) {
        match self.complaints.pass(Instant::now()) {
            None => {}
            Some(0) => tracing::warn!("{what}"),
            Some(before) => tracing::warn!("{what} ({before} such before)"),
        }
    }

    /// Adds up what was lost before it came here, and here.
    fn count(&mut self) {
        let before = *self.before.borrow_and_update();
        let sum = Damage {
            dropped_units: before.dropped_units + self.own.dropped_units,
            late_units: before.late_units + self.own.late_units,
            bad_nals: before.bad_nals,
            restarts: before.restarts + self.own.restarts,
        };
        self.damage
            .send_if_modified(|damage| std::mem::replace(damage, sum) != sum);
    }
}

/// Encodes a picture, by another encoder if its size or its colours are others.
fn encode(
    encoder: &mut Option<(Settings, Box<dyn Encode>)>,
    canvas: &Canvas,
    (fps, bitrate): (u32, u32),
    key: bool,
) -> Result<AccessUnit, EncodeError> {
    let settings = Settings {
        size: canvas.size(),
        colors: canvas.colors(),
        fps,
        rate: Rate::Bits(bitrate),
    };
    let (_, encoder) = match encoder.take() {
        Some(open) if open.0 == settings => encoder.insert(open),
        _ => encoder.insert((settings, Openh264::open(settings)?)),
    };
    encoder.encode(canvas, key)
}

#[cfg(test)]
mod tests;
