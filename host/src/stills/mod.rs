//! Single pictures of the stream as JPEG, for whoever can't play video: home automation, old browsers, a thumbnail.
//!
//! A [`Stills`] decodes what was published, whatever encoded it. The latest key frame costs one picture's decoding and
//! encoding, once for everybody ([`Stills::snapshot`]). All pictures ([`Stills::motion`]) cost a thread, while somebody
//! watches, that decodes each and encodes the newest; all who watch share its JPEGs.
//!
//! This room knows the newest end of the live window and pictures, and nothing of HTTP.

mod jpeg;
mod motion;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

pub use jpeg::StillError;

use crate::{
    live::{EdgeChunk, Live},
    picture::Decoder,
    time::Wall,
};

/// A picture of the stream as JPEG.
#[derive(Clone, Debug)]
pub struct Still {
    /// Running number of the picture; another one is another picture.
    pub number: u64,
    /// The JPEG (JFIF).
    pub jpeg: Bytes,
    /// It shows the slate, since the camera is lost: when its last picture was captured.
    pub lost_since: Option<Wall>,
}

/// Makes JPEGs of a stream.
#[derive(Debug)]
pub struct Stills {
    live: Arc<Live>,
    /// The last snapshot. Held while one is made, so that it is made once.
    snapshot: tokio::sync::Mutex<Option<Still>>,
    /// Where the thread publishes that makes one of every picture, while there is one.
    motion: motion::Slot,
}

impl Stills {
    /// Of this stream.
    pub fn new(live: Arc<Live>) -> Arc<Self> {
        Arc::new(Self {
            live,
            snapshot: tokio::sync::Mutex::new(None),
            motion: motion::Slot::default(),
        })
    }

    /// The latest key frame. `None` while there is none: nothing was published yet, or the stream has ended.
    ///
    /// # Errors
    ///
    /// If it can't be decoded: openh264 takes 4:2:0 with eight bits, progressive and in order.
    pub async fn snapshot(&self) -> Result<Option<Still>, StillError> {
        let entry = |(number, chunk): (u64, &EdgeChunk)| (number, chunk.clone());
        let latest = self.live.edge().borrow().entry().map(entry);
        let Some((number, chunk)) = latest else {
            return Ok(None);
        };
        let mut last = self.snapshot.lock().await;
        // Who waited for the lock may hold an older number than is there by now.
        if let Some(still) = last.as_ref().filter(|still| still.number >= number) {
            return Ok(Some(still.clone()));
        }
        let lost_since = chunk.lost_since;
        let made = tokio::task::spawn_blocking(move || {
            let mut decoder = Decoder::new().map_err(StillError::NoDecoder)?;
            jpeg::encode(jpeg::decode(&mut decoder, &chunk)?)
        });
        let jpeg = made.await.map_err(|_| StillError::BrokenOff)??;
        let still = Still {
            number,
            jpeg,
            lost_since,
        };
        *last = Some(still.clone());
        Ok(Some(still))
    }

    /// All pictures, as fast as they can be made; who is slow misses some. The pictures cease when nobody has the receiver
    /// any more. To be called within a Tokio runtime.
    pub fn motion(&self) -> watch::Receiver<Option<Still>> {
        motion::join(&self.live, &self.motion)
    }
}
