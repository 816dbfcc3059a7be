//! The number of pages of a PDF. Whatever the file holds, the worst that comes of it is that the number is unknown.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hayro_syntax::Pdf;
use posthouse_runtime::tasks::blocking;
use tokio::sync::Semaphore;

/// An upload is not kept waiting longer for a number.
const LIMIT: Duration = Duration::from_secs(20);

/// Counts the pages of the file at `path`, which no longer changes.
pub(crate) async fn count(permits: &Arc<Semaphore>, path: &Path) -> Option<u32> {
    let counting = async {
        let permit = permits.clone().acquire_owned().await.ok()?;
        // A handle of its own: the file may be moved while it is being read.
        let mapped = posthouse_package::map_whole(path).ok()?;
        blocking(move || {
            // Held to the end of the work, also when nobody waits for it any more.
            let _permit = permit;
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let pdf = Pdf::new(Arc::new(mapped)).ok()?;
                u32::try_from(pdf.pages().len()).ok()
            }))
            .unwrap_or_else(|_| {
                tracing::warn!("the reader of PDF files panicked; the number of pages stays unknown");
                None
            })
        })
        .await
    };
    tokio::time::timeout(LIMIT, counting).await.unwrap_or_else(|_| {
        tracing::warn!("counting the pages of a PDF takes too long; their number stays unknown");
        None
    })
}
