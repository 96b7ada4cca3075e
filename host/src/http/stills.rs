//! `/cam/snapshot.jpg`, the latest key frame, and `/cam/mjpeg`, every picture as a JPEG of its own, for those who can't play
//! video.

use std::sync::Arc;

use bytes::Bytes;
use hyper::{
    StatusCode,
    header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderName},
    http::HeaderValue,
};
use tokio::{sync::watch, time::Instant};

use super::{
    body::{Body, Source},
    conditions::Conditions,
    hold::{self, FIRST_PICTURE, Phase},
    reply::{self, Response},
    state::Health,
};
use crate::{
    live::Media,
    stills::{Still, Stills},
};

const JPEG: HeaderValue = HeaderValue::from_static("image/jpeg");
/// What stands between two pictures: nothing that a JPEG's header could be taken for.
const BOUNDARY: &str = "picture";

/// The latest key frame. Until there is one it is waited for, as a playlist is.
pub(super) async fn snapshot(
    stills: &Stills,
    first: impl Future<Output = Result<(), Response>>,
    conditions: &Conditions,
) -> Response {
    if let Err(response) = first.await {
        return response;
    }
    let still = match stills.snapshot().await {
        Ok(Some(still)) => still,
        Ok(None) => return reply::not_found("the stream has come to its end"),
        Err(error) => return cannot(error.into()),
    };
    let etag = HeaderValue::from_str(&format!("\"{}\"", still.number)).expect("digits");
    let unchanged = conditions.has(&etag);
    let mut response = reply::begin(match unchanged {
        true => StatusCode::NOT_MODIFIED,
        false => StatusCode::OK,
    });
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(ETAG, etag);
    if !unchanged {
        headers.insert(CONTENT_TYPE, JPEG);
        headers.insert(CONTENT_LENGTH, still.jpeg.len().into());
        *response.body_mut() = still.jpeg.into();
    }
    response
}

/// Every picture, one after the other, until somebody ends it.
pub(super) async fn motion(
    stills: &Arc<Stills>,
    health: &watch::Receiver<Health>,
    phase: &mut watch::Receiver<Phase>,
) -> Response {
    let mut pictures = stills.motion();
    let deadline = Instant::now() + FIRST_PICTURE;
    let mut health = health.clone();
    let first = async {
        tokio::select! {
            biased;
            first = pictures.wait_for(Option::is_some) => first.is_ok(),
            // An error means that nobody tells of it any more, which is the end as well.
            _ = health.wait_for(|health| *health == Health::Ended) => false,
        }
    };
    match hold::hold(deadline, phase, first).await {
        Ok(true) => {}
        Ok(false) => return reply::not_found("the stream has come to its end"),
        Err(hold::LetGo::TimedOut) => {
            return reply::unavailable("no picture to begin with comes; ask again in a moment");
        }
        Err(why) => return reply::let_go(why),
    }
    pictures.mark_changed();
    let mut response = reply::begin(StatusCode::OK);
    let headers = response.headers_mut();
    let content_type = format!("multipart/x-mixed-replace; boundary={BOUNDARY}");
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_str(&content_type).expect("letters and dashes"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx would gather what it passes on.
    headers.insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    let mut phase = phase.clone();
    *response.body_mut() = Body::growing(|outlet| async move {
        let show = async {
            let first = Bytes::from(format!("--{BOUNDARY}\r\n"));
            outlet.send(Source::Bytes(first)).await;
            while pictures.changed().await.is_ok() {
                let still = pictures.borrow_and_update().clone();
                if let Some(still) = still {
                    outlet.send(Source::Slice(framed(still))).await;
                }
            }
        };
        tokio::select! {
            biased;
            // An error means that the server is gone, which is stopping too.
            _ = phase.wait_for(|phase| *phase != Phase::Serving) => {}
            () = show => {}
        }
    });
    response
}

/// A picture with what stands before and behind it. The boundary comes at its end, since browsers show a picture once they
/// have seen the next one's begin.
fn framed(still: Still) -> Media {
    let head = format!(
        "Content-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n",
        still.jpeg.len()
    );
    let tail = format!("\r\n--{BOUNDARY}\r\n");
    let pieces = vec![Bytes::from(head), still.jpeg, Bytes::from(tail)];
    Media {
        len: pieces.iter().map(|piece| piece.len() as u64).sum(),
        pieces,
    }
}

fn cannot(error: anyhow::Error) -> Response {
    tracing::warn!("no snapshot can be made: {error:#}");
    reply::unavailable(format!("no snapshot can be made: {error:#}"))
}
