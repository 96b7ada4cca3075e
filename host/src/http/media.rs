use std::sync::Arc;

use hyper::{
    StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE},
    http::HeaderValue,
};
use tokio::{sync::watch, time::Instant};

use super::{
    body::{Body, Source},
    conditions::Conditions,
    document,
    hold::{self, Phase},
    reply::{self, Bytewise, Response},
};
use crate::{
    cmaf,
    live::{self, Chunked, Chunks, Live, Media, Object, Snapshot},
};

/// How long caches may keep media whose address never comes back (the presentation's id is in it): for as long as anybody
/// looks back.
const KEEP: u32 = 3_600;

const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("video/mp4");

/// The live edge comes before what is further back (RFC 9218).
const LIVE_EDGE: HeaderValue = HeaderValue::from_static("u=3");

/// How long caches may keep an object. Six target durations is what RFC 8216bis, B.1 asks for at least, and all there is
/// for a name that a plugin gave, since it may give it to something else that much later.
fn keep(name: &str, target_duration: u32) -> HeaderValue {
    let least = target_duration.saturating_mul(6);
    match live::numbered(name) {
        Some(_) => reply::max_age(KEEP.max(least), true),
        None => reply::max_age(least, false),
    }
}

/// The response to a request for a media object of a presentation, held until there is one.
///
/// The name is looked up anew after every change: when a key frame closes the segment early, the part that was hinted
/// becomes the first of the next one, under the same name.
pub(super) async fn respond(
    live: &Live,
    window: Arc<Snapshot>,
    name: &str,
    conditions: &Conditions,
    phase: &mut watch::Receiver<Phase>,
) -> Response {
    let id = window.presentation.id.clone();
    let target_duration = window.presentation.timing.target_duration;
    let deadline = Instant::now() + hold::longest(&window.presentation);
    // Before the next look, so that no change is missed.
    let mut changes = live.subscribe();
    let mut window = live.presentation(&id);
    loop {
        let Some(current) = window else {
            return reply::not_found("this presentation is over; open the playlist anew");
        };
        match current.objects.get(name) {
            None if current.is_past_a_period(name) => {
                return nothing_more(keep(name, target_duration), conditions);
            }
            None => return missing(&current),
            Some(object) if waits(object) && current.ended => return missing(&current),
            Some(object) if waits(object) => {}
            Some(Object::Chunked(Chunked::Growing(chunks))) => {
                return follow(chunks.clone(), keep(name, target_duration));
            }
            Some(object) => return send(object, keep(name, target_duration), conditions),
        }
        // Not kept while waiting: it would keep its media, too.
        drop(current);
        match hold::hold(deadline, phase, changes.changed()).await {
            Ok(Ok(())) => window = live.presentation(&id),
            Ok(Err(_)) => window = None,
            Err(why) => return reply::let_go(why),
        }
    }
}

/// Nothing of it can be sent yet.
fn waits(object: &Object) -> bool {
    matches!(
        object,
        Object::NextPart(_) | Object::GrowingSegment(_) | Object::Chunked(Chunked::Next)
    )
}

/// A segment as it grows. Nobody knows its length, so there are no ranges; and no tag, since that depends on the length.
fn follow(chunks: Chunks, cache_control: HeaderValue) -> Response {
    let mut response = reply::begin(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, cache_control);
    headers.insert(CONTENT_TYPE, MEDIA_TYPE);
    headers.insert(reply::PRIORITY, LIVE_EDGE);
    *response.body_mut() = Body::growing(|outlet| async move {
        let mut at = chunks;
        while let Some((chunk, then)) = at.next().await {
            outlet.send(Source::Chunk(chunk.pieces())).await;
            at = then;
        }
    });
    response
}

/// The response to whoever asks on for the next segment of a period that is over: an empty one.
///
/// Players number segments by the clock, and learn from a later MPD only that a period has ended; Shaka Player 5.2 then
/// doesn't forget those that it had foreseen, and one that is refused it asks for again until it has left the window.
fn nothing_more(cache_control: HeaderValue, conditions: &Conditions) -> Response {
    let segment = cmaf::empty_last_segment();
    let bytewise = Bytewise {
        content_type: MEDIA_TYPE,
        cache_control,
        etag: document::etag(&document::tag(&[&segment])),
        priority: LIVE_EDGE,
        len: segment.len() as u64,
    };
    bytewise.respond(conditions, |range| match range {
        Some((start, end)) => segment.slice(start as usize..end as usize).into(),
        None => segment.into(),
    })
}

fn missing(window: &Snapshot) -> Response {
    reply::not_found(if window.ended {
        "this stream has ended, and there is nothing by this name"
    } else {
        "nothing by this name: it left the window, or it was asked for before a playlist announced it"
    })
}

fn send(object: &Object, cache_control: HeaderValue, conditions: &Conditions) -> Response {
    // The first piece tells media apart: a chunk's boxes hold its sequence number and its time, an init segment is its
    // first piece. Cheaper than a hash of everything, and made on demand.
    let (first, len) = match object {
        Object::Init(init) => (Some(&init.data), init.data.len() as u64),
        Object::Part(part) => (part.media.pieces.first(), part.media.len),
        Object::Segment(segment) | Object::Chunked(Chunked::Complete(segment)) => {
            (segment.media.pieces.first(), segment.media.len)
        }
        Object::NextPart(_) | Object::GrowingSegment(_) | Object::Chunked(_) => (None, 0),
    };
    let Some(first) = first else {
        return reply::not_found("there are no bytes by this name");
    };
    let bytewise = Bytewise {
        content_type: MEDIA_TYPE,
        cache_control,
        etag: document::etag(&format!("{}.{len:x}", document::tag(&[first]))),
        priority: match object {
            Object::Init(_) => HeaderValue::from_static("u=2"),
            Object::Part(_) => LIVE_EDGE,
            _ => HeaderValue::from_static("u=4"),
        },
        len,
    };
    bytewise.respond(conditions, |range| {
        let slice = |media: &Media, (start, end)| Body::from(media.slice(start, end));
        match (object, range) {
            (Object::Init(init), None) => init.data.clone().into(),
            (Object::Init(init), Some((start, end))) => {
                init.data.slice(start as usize..end as usize).into()
            }
            (Object::Part(part), None) => part.clone().into(),
            (Object::Part(part), Some(range)) => slice(&part.media, range),
            (Object::Segment(segment) | Object::Chunked(Chunked::Complete(segment)), None) => {
                segment.clone().into()
            }
            (
                Object::Segment(segment) | Object::Chunked(Chunked::Complete(segment)),
                Some(range),
            ) => slice(&segment.media, range),
            (Object::NextPart(_) | Object::GrowingSegment(_) | Object::Chunked(_), _) => {
                Body::empty()
            }
        }
    })
}
