//! The SQLite handle: one connection on one thread, hidden behind [`Store::call`]. What is asked of it stands in each
//! role's own `store/`.

use std::path::Path;
use std::sync::mpsc;

use rusqlite::Connection;
use rusqlite_migration::Migrations;
use tokio::sync::oneshot;

use crate::exit::StartError;
use crate::private_file;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// A cloneable handle to the database thread. The thread ends, and the database is closed, with the last handle.
#[derive(Debug, Clone)]
pub struct Store {
    jobs: mpsc::Sender<Job>,
}

/// Why a call did not give its result.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite said no.
    #[error("the database refused: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The database thread is gone.
    #[error("the database is closed")]
    Closed,
}

impl StoreError {
    /// Whether the disk is full.
    #[must_use]
    pub fn is_storage_full(&self) -> bool {
        matches!(self, Self::Sqlite(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull))
    }
}

impl Store {
    /// Opens or creates the database and brings its schema to the newest of `migrations`. A newer schema is refused.
    pub fn open(path: &Path, migrations: &Migrations<'_>) -> Result<Self, StartError> {
        let failed = |error: &dyn std::fmt::Display| StartError::Database(path.to_owned(), error.to_string());
        if !path.exists() {
            private_file::write(path, b"").map_err(|error| StartError::CannotWrite(path.to_owned(), error))?;
        }
        let mut connection = Connection::open(path).map_err(|error| failed(&error))?;
        apply_pragmas(&connection).map_err(|error| failed(&error))?;
        migrations.to_latest(&mut connection).map_err(|error| match error {
            rusqlite_migration::Error::MigrationDefinition(
                rusqlite_migration::MigrationDefinitionError::DatabaseTooFarAhead,
            ) => StartError::NewerSchema(path.to_owned()),
            other => failed(&other),
        })?;
        let (jobs, queue) = mpsc::channel::<Job>();
        std::thread::Builder::new()
            .name("database".to_owned())
            .spawn(move || {
                for job in queue {
                    job(&mut connection);
                }
            })
            .map_err(|error| failed(&error))?;
        Ok(Self { jobs })
    }

    /// Runs `work` on the database thread; its writes are one transaction when it opens one.
    pub async fn call<Output, Work>(&self, work: Work) -> Result<Output, StoreError>
    where
        Output: Send + 'static,
        Work: FnOnce(&mut Connection) -> rusqlite::Result<Output> + Send + 'static,
    {
        let (answer, result) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(connection)));
            match outcome {
                Ok(outcome) => {
                    let _ = answer.send(outcome);
                }
                Err(_) => tracing::error!("a database call panicked"),
            }
        });
        self.jobs.send(job).map_err(|_| StoreError::Closed)?;
        Ok(result.await.map_err(|_| StoreError::Closed)??)
    }

    /// The same from a thread that may block (start-up, `join-code`).
    pub fn call_blocking<Output, Work>(&self, work: Work) -> Result<Output, StoreError>
    where
        Output: Send + 'static,
        Work: FnOnce(&mut Connection) -> rusqlite::Result<Output> + Send + 'static,
    {
        let (answer, result) = mpsc::channel();
        let job: Job = Box::new(move |connection| {
            let _ = answer.send(work(connection));
        });
        self.jobs.send(job).map_err(|_| StoreError::Closed)?;
        Ok(result.recv().map_err(|_| StoreError::Closed)??)
    }
}

/// Each pragma with its reason.
fn apply_pragmas(connection: &Connection) -> rusqlite::Result<()> {
    // Readers (`join-code`, `reset-password` beside a running master) do not wait for the writer.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // A commit survives a crash of the program, and the file a loss of power; what must survive the latter too is
    // written by calls that raise this to FULL for their transaction.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // Another process of ours holds the write lock for milliseconds only.
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    // 2 MiB of page cache: a role idles within a few MiB of memory.
    connection.pragma_update(None, "cache_size", -2048)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use rusqlite_migration::M;

    use super::*;

    #[tokio::test]
    async fn a_newer_schema_is_refused_and_a_call_that_panics_does_not_close_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("数据.db");
        let newer = Migrations::new(vec![M::up("CREATE TABLE a (x)"), M::up("CREATE TABLE b (x)")]);
        let store = Store::open(&path, &newer).unwrap();
        let panicked = store.call(|_| -> rusqlite::Result<()> { panic!("a defect") }).await;
        assert!(matches!(panicked, Err(StoreError::Closed)));
        let count: i64 = store
            .call(|connection| connection.query_row("SELECT count(*) FROM a", [], |row| row.get(0)))
            .await
            .unwrap();
        assert_eq!(count, 0);
        drop(store);
        let older = Migrations::new(vec![M::up("CREATE TABLE a (x)")]);
        assert!(matches!(Store::open(&path, &older), Err(StartError::NewerSchema(_))));
    }
}
