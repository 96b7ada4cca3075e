use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    thread,
};

use bytes::Bytes;
use tokio::{runtime::Handle, sync::watch};

use super::{Still, StillError, jpeg};
use crate::{
    live::{Edge, EdgeChunk, Live, Step},
    picture::{DecodeError, Decoder},
};

/// Where the running thread publishes. Who joins it and how it ends is decided under this lock, so that nobody joins one that
/// is about to end.
pub(super) type Slot = Arc<Mutex<Weak<watch::Sender<Option<Still>>>>>;

/// Looks on, with those who do already, or as the first.
pub(super) fn join(live: &Arc<Live>, slot: &Slot) -> watch::Receiver<Option<Still>> {
    // What it guards is a pointer, which no panic upsets.
    let mut running = slot.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(sender) = running.upgrade()
        && sender.receiver_count() > 0
    {
        return sender.subscribe();
    }
    let (sender, receiver) = watch::channel(None);
    let sender = Arc::new(sender);
    *running = Arc::downgrade(&sender);
    let (edge, runtime) = (live.edge(), Handle::current());
    let projector = Projector {
        next: None,
        sender,
        slot: slot.clone(),
        decoder: None,
        told: false,
    };
    let started = thread::Builder::new()
        .name("mjpeg".to_owned())
        .spawn(move || projector.run(edge, &runtime));
    if let Err(error) = started {
        tracing::error!("no thread for motion JPEG: {error}");
    }
    receiver
}

/// Makes a JPEG of every picture, as far as it keeps up.
struct Projector {
    /// Number of the chunk to be decoded next; `None` until there is an IDR picture to begin with.
    next: Option<u64>,
    sender: Arc<watch::Sender<Option<Still>>>,
    slot: Slot,
    /// `None` before the first picture.
    decoder: Option<Decoder>,
    /// The log knows that it doesn't work.
    told: bool,
}

impl Projector {
    fn run(mut self, mut edge: watch::Receiver<Edge>, runtime: &Handle) {
        while self.is_watched() {
            let seen = {
                let edge = edge.borrow_and_update();
                let step = match self.next {
                    Some(next) => edge.after(next),
                    None => match edge.entry() {
                        Some((number, chunk)) => Step::Chunk(number, chunk),
                        None => Step::Wait,
                    },
                };
                match step {
                    Step::Chunk(number, chunk) => {
                        let newest = !matches!(edge.after(number + 1), Step::Chunk(..));
                        Some((number, chunk.clone(), newest))
                    }
                    Step::Wait | Step::Ended => None,
                }
            };
            match seen {
                Some((number, chunk, newest)) => self.show(number, &chunk, newest),
                None => {
                    let sender = self.sender.clone();
                    let gone = runtime.block_on(async {
                        tokio::select! {
                            changed = edge.changed() => changed.is_err(),
                            () = sender.closed() => false,
                        }
                    });
                    if gone {
                        return;
                    }
                }
            }
        }
    }

    fn is_watched(&self) -> bool {
        let _joining = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        self.sender.receiver_count() > 0
    }

    /// Decodes a picture, and publishes it unless there is a newer one already.
    fn show(&mut self, number: u64, chunk: &EdgeChunk, newest: bool) {
        let follows = self.next == Some(number);
        self.next = Some(number + 1);
        match self.make(chunk, follows, newest) {
            Ok(Some(jpeg)) => {
                self.sender.send_replace(Some(Still {
                    number,
                    jpeg,
                    lost_since: chunk.lost_since,
                }));
            }
            Ok(None) | Err(StillError::Decode(DecodeError::Waiting)) => {}
            Err(error) => {
                if !std::mem::replace(&mut self.told, true) {
                    let error = anyhow::Error::from(error);
                    tracing::warn!("pictures are missing in /cam/mjpeg: {error:#}");
                }
            }
        }
    }

    fn make(
        &mut self,
        chunk: &EdgeChunk,
        follows: bool,
        newest: bool,
    ) -> Result<Option<Bytes>, StillError> {
        let decoder = match &mut self.decoder {
            Some(decoder) => decoder,
            none => none.insert(Decoder::new().map_err(StillError::NoDecoder)?),
        };
        if !follows {
            decoder.restart();
        }
        let picture = jpeg::decode(decoder, chunk)?;
        newest.then(|| jpeg::encode(picture)).transpose()
    }
}
