use std::{pin::Pin, time::Duration};

use bytes::{Buf as _, Bytes};
use http_body::Body as _;
use hyper::{StatusCode, body::Incoming};
use tokio::time::timeout;

use super::{
    State,
    reply::{Problem, reply},
};
use crate::{http::Response, plugin::BadValue};

/// How long the body of a value may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sets a value to what the body holds.
pub(super) async fn put(state: &State, name: &str, body: Incoming) -> Result<Response, Problem> {
    let read = timeout(PATIENCE, read(body));
    let value = read.await.map_err(|_| {
        Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "the value did not come in time",
        )
    })??;
    set(state, name, Some(&value))
}

/// Deletes a value.
pub(super) fn delete(state: &State, name: &str) -> Result<Response, Problem> {
    set(state, name, None)
}

fn set(state: &State, name: &str, value: Option<&[u8]>) -> Result<Response, Problem> {
    let done = state.plugins.set_value(name, value);
    done.map_err(|error| {
        let status = match error {
            BadValue::Name => StatusCode::BAD_REQUEST,
            BadValue::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
            BadValue::NoPlugin => StatusCode::NOT_FOUND,
            BadValue::Store { .. } => StatusCode::INSUFFICIENT_STORAGE,
        };
        Problem::new(status, error.to_string())
    })?;
    Ok(reply(
        StatusCode::NO_CONTENT,
        "application/json",
        Bytes::new(),
    ))
}

async fn read(mut body: Incoming) -> Result<Vec<u8>, Problem> {
    let mut value = Vec::new();
    loop {
        let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        match frame {
            None => return Ok(value),
            Some(Err(error)) => {
                let what = format!("the value broke off: {error}");
                return Err(Problem::new(StatusCode::BAD_REQUEST, what));
            }
            Some(Ok(frame)) => {
                let data: Bytes = frame.into_data().unwrap_or_default();
                if value.len() + data.remaining() > BadValue::VALUE_MOST {
                    let what = BadValue::TooLong.to_string();
                    return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, what));
                }
                value.extend_from_slice(&data);
            }
        }
    }
}
