//! Log lines as the deployed node writes them, `2026-11-20 10:15:30 - target - INFO - text`, to the terminal and to a
//! file that is rotated by size; each line of a request ends with its id.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use file_rotate::compression::Compression;
use file_rotate::suffix::AppendCount;
use file_rotate::{ContentLimit, FileRotate};
use parking_lot::Mutex;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{ChronoLocal, FormatTime as _};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, reload};

use crate::http::request_id;
use crate::private_file;

/// What a role's configuration says about logging.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// Least level that is written.
    pub level: Level,
    /// The file, absolute; `None`: no file.
    pub file: Option<PathBuf>,
    /// Bytes after which the file is rotated.
    pub max_file_bytes: usize,
    /// Rotated files that are kept (`node.log.1` is the newest).
    pub backups: usize,
}

/// The level by the seed's names (those of Python's `logging`).
#[must_use]
pub fn level_from_name(name: &str) -> Option<Level> {
    match name.to_ascii_uppercase().as_str() {
        "DEBUG" => Some(Level::DEBUG),
        "INFO" => Some(Level::INFO),
        "WARNING" | "WARN" => Some(Level::WARN),
        "ERROR" | "CRITICAL" => Some(Level::ERROR),
        _ => None,
    }
}

type FileSlot = Arc<Mutex<Option<FileRotate<AppendCount>>>>;

/// Changes level and file of a running process.
#[derive(Clone)]
pub struct Logging {
    filter: reload::Handle<EnvFilter, tracing_subscriber::Registry>,
    file: FileSlot,
    applied: Arc<Mutex<LogSettings>>,
}

impl fmt::Debug for Logging {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Logging").field("applied", &self.applied.lock()).finish_non_exhaustive()
    }
}

impl Logging {
    /// Begins logging for the whole process. Call once.
    pub fn start(settings: LogSettings) -> io::Result<Self> {
        let file: FileSlot = Arc::new(Mutex::new(open(&settings)?));
        let (filter, handle) = reload::Layer::new(filter_of(&settings));
        let to_terminal =
            tracing_subscriber::fmt::layer().event_format(SeedFormat).with_writer(io::stderr).with_ansi(false);
        let to_file = tracing_subscriber::fmt::layer()
            .event_format(SeedFormat)
            .with_writer(FileWriter(file.clone()))
            .with_ansi(false);
        tracing_subscriber::registry()
            .with(filter)
            .with(to_terminal)
            .with(to_file)
            .try_init()
            .map_err(io::Error::other)?;
        Ok(Self { filter: handle, file, applied: Arc::new(Mutex::new(settings)) })
    }

    /// Makes new settings effective.
    pub fn apply(&self, settings: &LogSettings) -> io::Result<()> {
        let mut applied = self.applied.lock();
        if *applied == *settings {
            return Ok(());
        }
        let opened = open(settings)?;
        *self.file.lock() = opened;
        self.filter.reload(filter_of(settings)).map_err(io::Error::other)?;
        *applied = settings.clone();
        Ok(())
    }
}

fn filter_of(settings: &LogSettings) -> EnvFilter {
    // Libraries speak up from warnings on; their debug lines can hold headers, and with them secrets.
    let text = format!(
        "warn,posthouse={level},posthouse_node={level},posthouse_master={level},posthouse_runtime={level},posthouse_package={level}",
        level = settings.level.as_str().to_lowercase()
    );
    let text = if settings.level == Level::ERROR { "error".to_owned() } else { text };
    EnvFilter::new(text)
}

fn open(settings: &LogSettings) -> io::Result<Option<FileRotate<AppendCount>>> {
    let Some(path) = &settings.file else { return Ok(None) };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    // Opened here first, so that a folder that cannot be written is an error with a reason.
    options().open(path)?;
    private_file::restrict(path)?;
    Ok(Some(FileRotate::new(
        path,
        AppendCount::new(settings.backups),
        ContentLimit::BytesSurpassed(settings.max_file_bytes),
        Compression::None,
        Some(options()),
    )))
}

/// How each log file is opened: only its owner may read it.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

struct FileWriter(FileSlot);

impl<'a> MakeWriter<'a> for FileWriter {
    type Writer = FileGuard<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        FileGuard(&self.0)
    }

    fn make_writer_for(&'a self, _: &Metadata<'_>) -> Self::Writer {
        FileGuard(&self.0)
    }
}

struct FileGuard<'a>(&'a FileSlot);

impl Write for FileGuard<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.lock().as_mut() {
            Some(file) => file.write_all(bytes).map(|()| bytes.len()),
            None => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().as_mut().map_or(Ok(()), Write::flush)
    }
}

struct SeedFormat;

impl<S, N> FormatEvent<S, N> for SeedFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        ChronoLocal::new("%Y-%m-%d %H:%M:%S%.3f".to_owned()).format_time(&mut writer)?;
        let metadata = event.metadata();
        let level = if *metadata.level() == Level::WARN { "WARNING" } else { metadata.level().as_str() };
        write!(writer, " - {} - {level} - ", metadata.target())?;
        context.format_fields(writer.by_ref(), event)?;
        if let Some(id) = request_id::current() {
            write!(writer, " [{id}]")?;
        }
        writeln!(writer)
    }
}
