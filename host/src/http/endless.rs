//! `/cam/live.mp4`: the stream as one fragmented MP4 that has no end, for whoever wants each picture as soon as there is one.
//!
//! It begins with an init segment and the latest IDR picture, and goes on with every chunk as it is published, the same
//! memory for everybody. Who reads too slowly is not sent ever older pictures: he goes on with the latest IDR picture, and
//! an event before that chunk says how much is missing ([`Event::Gap`]). Another init segment (the camera came back, the
//! slate took over, another size) ends the response, and so do a new presentation, the end of the source, and the server's
//! stop; whoever asks again gets what there is then.

use std::sync::Arc;

use hyper::{
    StatusCode,
    header::{ACCEPT_RANGES, CACHE_CONTROL, CONTENT_TYPE, HeaderName},
    http::HeaderValue,
};
use tokio::{sync::watch, time::Instant};

use super::{
    body::{Body, Outlet, Source},
    hold::{self, FIRST_PICTURE, Phase},
    reply::{self, Response},
    state::Health,
};
use crate::{
    cmaf::{Event, with_events},
    live::{Edge, EdgeChunk, InitSegment, Live, Media, Step},
    time::{MediaTime, Wall},
};

/// The response, once there is a picture to begin with.
pub(super) async fn respond(
    live: &Live,
    health: &watch::Receiver<Health>,
    phase: &mut watch::Receiver<Phase>,
) -> Response {
    let mut edge = live.edge();
    let deadline = Instant::now() + FIRST_PICTURE;
    let first = hold::hold(deadline, phase, first(&mut edge, health.clone())).await;
    let (number, init) = match first {
        Ok(Some(first)) => first,
        Ok(None) => return reply::not_found("the stream has come to its end"),
        Err(hold::LetGo::TimedOut) => {
            return reply::unavailable("no picture to begin with comes; ask again in a moment");
        }
        Err(why) => return reply::let_go(why),
    };
    let mut response = reply::begin(StatusCode::OK);
    let headers = response.headers_mut();
    let content_type = format!("video/mp4; codecs=\"{}\"", init.parameter_sets.codecs());
    for (name, value) in [
        (
            CONTENT_TYPE,
            HeaderValue::from_str(&content_type).expect("letters, digits and dots"),
        ),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (ACCEPT_RANGES, HeaderValue::from_static("none")),
        (reply::PRIORITY, HeaderValue::from_static("u=2, i")),
        // nginx would gather what it passes on.
        (
            HeaderName::from_static("x-accel-buffering"),
            HeaderValue::from_static("no"),
        ),
    ] {
        headers.insert(name, value);
    }
    let mut phase = phase.clone();
    *response.body_mut() = Body::growing(|outlet| async move {
        let follower = Follower::new(number, init, outlet);
        tokio::select! {
            biased;
            // An error means that the server is gone, which is stopping too.
            _ = phase.wait_for(|phase| *phase != Phase::Serving) => {}
            () = follower.run(edge) => {}
        }
    });
    response
}

/// The chunk to begin with and what it needs, or `None` if there won't be one.
async fn first(
    edge: &mut watch::Receiver<Edge>,
    mut health: watch::Receiver<Health>,
) -> Option<(u64, Arc<InitSegment>)> {
    tokio::select! {
        biased;
        edge = edge.wait_for(|edge| edge.entry().is_some()) => {
            let edge = edge.ok()?;
            edge.entry().map(|(number, chunk)| (number, chunk.init.clone()))
        }
        // An error means that nobody tells of it any more, which is the end as well.
        _ = health.wait_for(|health| *health == Health::Ended) => None,
    }
}

/// A viewer who takes the stream chunk by chunk.
struct Follower {
    outlet: Outlet,
    /// The one that was sent, and will stay the only one.
    init: Arc<InitSegment>,
    /// Number of the chunk to be sent next.
    next: u64,
    /// Where the last chunk ended; `None` before the first.
    end: Option<MediaTime>,
    /// What was told last of a lost camera.
    lost_since: Option<Wall>,
    events: u32,
}

/// What a look at the edge shows.
enum Seen {
    Chunk(u64, EdgeChunk),
    Nothing,
    End,
}

impl Follower {
    fn new(next: u64, init: Arc<InitSegment>, outlet: Outlet) -> Self {
        Self {
            outlet,
            init,
            next,
            end: None,
            lost_since: None,
            events: 0,
        }
    }

    /// Sends until there is an end.
    async fn run(mut self, mut edge: watch::Receiver<Edge>) {
        self.outlet
            .send(Source::Bytes(self.init.data.clone()))
            .await;
        loop {
            // Looked at anew for every chunk: while the last one was on its way, all may have moved on.
            let seen = match edge.borrow_and_update().after(self.next) {
                Step::Chunk(number, chunk) if Arc::ptr_eq(&chunk.init, &self.init) => {
                    Seen::Chunk(number, chunk.clone())
                }
                Step::Wait => Seen::Nothing,
                Step::Chunk(..) | Step::Ended => Seen::End,
            };
            match seen {
                Seen::Chunk(number, chunk) => self.send(number, chunk).await,
                Seen::Nothing if edge.changed().await.is_ok() => {}
                Seen::Nothing | Seen::End => return,
            }
        }
    }

    async fn send(&mut self, number: u64, chunk: EdgeChunk) {
        let mut events = Vec::new();
        if let Some(end) = self.end.filter(|end| *end != chunk.start) {
            events.push(Event::Gap {
                missing: chunk.start.since(end),
                slow: number != self.next,
            });
        }
        if chunk.lost_since != self.lost_since {
            events.extend(chunk.lost_since.map(Event::CameraLost));
            self.lost_since = chunk.lost_since;
        }
        self.next = number + 1;
        self.end = Some(chunk.end);
        let (head, sample) = (chunk.chunk.head, chunk.chunk.sample);
        let piece = if events.is_empty() {
            Source::Chunk([head, sample])
        } else {
            let [stamp, boxes, rest] = with_events(&head, chunk.start, self.events, &events);
            self.events += u32::try_from(events.len()).unwrap_or(u32::MAX);
            let pieces = vec![stamp, boxes, rest, sample];
            let len = pieces.iter().map(|piece| piece.len() as u64).sum();
            Source::Slice(Media { pieces, len })
        };
        self.outlet.send(piece).await;
    }
}
