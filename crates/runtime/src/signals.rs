//! The wish of the person or the system that the program ends.

use tokio_util::sync::CancellationToken;

use crate::tasks::Tasks;

/// A token that is cancelled by Ctrl-C, SIGTERM, and on Windows by closing the console, logging off or shutting down.
#[must_use]
pub fn stop_token(tasks: &Tasks) -> CancellationToken {
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tasks.spawn("signals", async move {
        wait().await;
        tracing::info!("asked to stop");
        cancelled.cancel();
    });
    token
}

#[cfg(unix)]
async fn wait() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = match signal(SignalKind::terminate()) {
        Ok(terminate) => terminate,
        Err(error) => {
            tracing::warn!(%error, "SIGTERM cannot be handled");
            let _ = tokio::signal::ctrl_c().await;
            return;
        }
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

#[cfg(windows)]
async fn wait() {
    use tokio::signal::windows;
    let (Ok(mut close), Ok(mut logoff), Ok(mut shutdown), Ok(mut interrupt)) =
        (windows::ctrl_close(), windows::ctrl_logoff(), windows::ctrl_shutdown(), windows::ctrl_break())
    else {
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = close.recv() => {}
        _ = logoff.recv() => {}
        _ = shutdown.recv() => {}
        _ = interrupt.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
