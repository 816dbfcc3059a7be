//! Turns requests away while the master is starting or draining, so that a client goes to the next address at once.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use posthouse_runtime::http::ApiError;

use crate::http::operators::STATUS_PATH;
use crate::state::{Master, Phase};

/// The middleware.
pub(crate) async fn only_while_running(State(master): State<Master>, request: Request, next: Next) -> Response {
    let phase = *master.phase.borrow();
    if phase == Phase::Running || request.uri().path() == STATUS_PATH {
        return next.run(request).await;
    }
    let detail = match phase {
        Phase::Draining => "主控正在停止 / the master is stopping",
        Phase::Starting | Phase::Running => "主控正在启动 / the master is starting",
    };
    ApiError::unavailable(detail).with_retry_after(2).into_response()
}
