use hyper::StatusCode;

use super::{
    SourceFacts,
    reply::{Problem, json},
};
use crate::{
    http::{self, Response},
    source::v4l2::PanelError,
};

/// What a query wants set: `brightness=50&exposure_auto=manual`.
pub(super) fn wishes(query: Option<&str>) -> Result<Vec<(String, String)>, Problem> {
    let wishes = query.and_then(http::pairs).unwrap_or_default();
    if wishes.is_empty() {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "what is to be set stands in the query, as in PUT /api/v1/controls?brightness=50",
        ));
    }
    Ok(wishes)
}

/// Sets what is wished for, up to the first that can't be, and answers all controls as they are then.
pub(super) async fn answer(
    source: &SourceFacts,
    wishes: Vec<(String, String)>,
) -> Result<Response, Problem> {
    let Some(controls) = source.controls.clone() else {
        return Err(Problem::not_found(format!(
            "this source ({}) has no controls; cameras have (/dev/videoN)",
            source.name
        )));
    };
    // Cameras take their time.
    let outcome = tokio::task::spawn_blocking(move || {
        for (name, value) in wishes {
            controls.set(&name, &value)?;
        }
        controls.list()
    });
    match outcome.await {
        Ok(Ok(controls)) => Ok(json(&controls)),
        Ok(Err(error @ PanelError::Camera(_))) => Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            error.to_string(),
        )),
        Ok(Err(error @ PanelError::Control(_))) => Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            error.to_string(),
        )),
        Err(panic) => Err(Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!(
                "the camera's controls couldn't be asked, which is a bug in picam-host: {panic}"
            ),
        )),
    }
}
