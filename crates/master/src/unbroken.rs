//! Work of several steps that a client which goes away must not break off in the middle.

use posthouse_runtime::tasks::Tasks;
use tokio::sync::oneshot;

use crate::error::Error;

/// Runs `work` to its end in a task of its own, and gives its result to who still waits for it.
pub(crate) async fn run<Output: Send + 'static>(
    tasks: &Tasks,
    name: &str,
    work: impl Future<Output = Result<Output, Error>> + Send + 'static,
) -> Result<Output, Error> {
    let (answer, result) = oneshot::channel();
    tasks.spawn(name, async move {
        let _ = answer.send(work.await);
    });
    // The task panicked; that was logged.
    result.await.map_err(|_| Error::Stopping)?
}
