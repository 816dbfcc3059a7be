//! Receiving a file: from a stream to a temporary file, hashed on the way, synced. A file that is not completed
//! leaves nothing.

use std::fs::File;
use std::io::Write as _;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use posthouse_protocol::ContentHash;
use posthouse_runtime::tasks::blocking;
use tempfile::{NamedTempFile, TempPath};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{Files, names, pages};
use crate::error::Error;
use crate::store::files::StoredFile;

/// Parts of a body on their way to the disk; each has some hundred KiB at most.
const PARTS_WAITING: usize = 4;

/// A complete file that is not in its place yet. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) temporary: TempPath,
    pub(crate) stored: StoredFile,
}

/// Why a file was not received.
#[derive(Debug)]
pub(crate) enum UploadError<Cause> {
    /// The stream broke.
    Interrupted(Cause),
    /// The file could not be written.
    NotWritten(Error),
}

enum Part {
    Bytes(Bytes),
    /// Without this the stream was cut off, and the file is to be forgotten.
    End,
}

struct Written {
    temporary: TempPath,
    size_bytes: u64,
    hash: ContentHash,
    starts_like_pdf: bool,
}

/// Receives one file that its sender calls `given_name`.
pub(crate) async fn receive<Body, Cause>(
    files: &Files,
    given_name: &str,
    mut body: Body,
) -> Result<Received, UploadError<Cause>>
where
    Body: Stream<Item = Result<Bytes, Cause>> + Unpin,
{
    let (sender, receiver) = mpsc::channel(PARTS_WAITING);
    let (scratch, received_bytes) = (files.scratch.clone(), &files.received_bytes);
    let writing = blocking(move || write(&scratch, receiver));
    let feeding = async move {
        while let Some(bytes) = body.next().await {
            let bytes = bytes.map_err(UploadError::Interrupted)?;
            received_bytes.inc_by(bytes.len() as u64);
            // A writer that is gone says why itself.
            if sender.send(Part::Bytes(bytes)).await.is_err() {
                return Ok(());
            }
        }
        let _ = sender.send(Part::End).await;
        Ok(())
    };
    let (written, fed) = tokio::join!(writing, feeding);
    fed?;
    let written = written.map_err(UploadError::NotWritten)?;
    let name = names::clean_name(given_name);
    let extension = names::extension(&name);
    let total_pages = if extension == "pdf" || written.starts_like_pdf {
        pages::count(&files.counts, &written.temporary).await
    } else {
        None
    };
    let Written { temporary, size_bytes, hash, .. } = written;
    let file_id = Uuid::new_v4().to_string();
    Ok(Received { temporary, stored: StoredFile { file_id, name, extension, size_bytes, hash, total_pages } })
}

fn write(scratch: &std::path::Path, mut parts: mpsc::Receiver<Part>) -> Result<Written, Error> {
    let mut temporary =
        tempfile::Builder::new().prefix("upload-").tempfile_in(scratch).map_err(Error::files(scratch))?;
    let mut hasher = blake3::Hasher::new();
    let mut size_bytes = 0;
    let mut starts_like_pdf = false;
    loop {
        match parts.blocking_recv() {
            Some(Part::Bytes(bytes)) => {
                if size_bytes == 0 {
                    starts_like_pdf = bytes.starts_with(b"%PDF-");
                }
                temporary.write_all(&bytes).map_err(Error::files(temporary.path()))?;
                hasher.update(&bytes);
                size_bytes += bytes.len() as u64;
            }
            Some(Part::End) => break,
            None => return Err(Error::files(temporary.path())(std::io::ErrorKind::UnexpectedEof.into())),
        }
    }
    sync(&temporary).map_err(Error::files(temporary.path()))?;
    let hash = ContentHash(*hasher.finalize().as_bytes());
    Ok(Written { temporary: temporary.into_temp_path(), size_bytes, hash, starts_like_pdf })
}

fn sync(temporary: &NamedTempFile) -> std::io::Result<()> {
    let file: &File = temporary.as_file();
    file.sync_all()
}
