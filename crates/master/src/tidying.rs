//! The loop that removes what nobody needs any more: files that were uploaded and never used, sessions that ended,
//! the oldest events.

use std::time::Duration;

use posthouse_runtime::tasks::Report;

use crate::error::Error;
use crate::state::Master;

const PAUSE: Duration = Duration::from_secs(3600);

/// Tidies every hour until the master stops.
pub(crate) async fn run(master: Master, report: Report) {
    loop {
        match tidy(&master).await {
            Ok(()) => report.completed(),
            Err(error) => {
                tracing::warn!(%error, "tidying failed");
                report.failed(error);
            }
        }
        report.next_in(PAUSE);
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = master.stop.cancelled() => return,
        }
    }
}

async fn tidy(master: &Master) -> Result<(), Error> {
    let removed = master.files.tidy().await?;
    if removed > 0 {
        tracing::info!(removed, "uploaded files that were not used for a day are removed");
    }
    master.users.tidy().await?;
    master.events.thin().await?;
    Ok(())
}
