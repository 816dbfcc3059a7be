//! What a process writes, gathered while it runs, so that its pipes never fill.

use std::io::Read;
use std::process::Child;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::Mutex;

const TAIL_BYTES: usize = 48 * 1024;

/// Both streams of a process.
#[derive(Debug)]
pub(super) struct Output {
    written: Arc<Mutex<Written>>,
    readers: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Written {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    /// In the order of arrival.
    both: Vec<u8>,
}

impl Output {
    pub(super) fn capture(child: &mut Child) -> Self {
        let written = Arc::new(Mutex::new(Written::default()));
        let mut readers = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            readers.push(gather(stdout, Arc::clone(&written), |written| &mut written.stdout));
        }
        if let Some(stderr) = child.stderr.take() {
            readers.push(gather(stderr, Arc::clone(&written), |written| &mut written.stderr));
        }
        Self { written, readers }
    }

    /// Waits for the last bytes of a process that has ended.
    pub(super) fn finish(&mut self) {
        for reader in self.readers.drain(..) {
            drop(reader.join());
        }
    }

    pub(super) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().stdout).into_owned()
    }

    pub(super) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().stderr).into_owned()
    }

    pub(super) fn everything(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().both).into_owned()
    }

    pub(super) fn tail(&self) -> String {
        let written = self.written.lock();
        let begin = written.both.len().saturating_sub(TAIL_BYTES);
        let cut = if begin > 0 { "[…]\n" } else { "" };
        format!("{cut}{}", String::from_utf8_lossy(&written.both[begin..]))
    }
}

fn gather<R, F>(mut stream: R, written: Arc<Mutex<Written>>, part: F) -> JoinHandle<()>
where
    R: Read + Send + 'static,
    F: Fn(&mut Written) -> &mut Vec<u8> + Send + 'static,
{
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count) = stream.read(&mut buffer) {
            if count == 0 {
                break;
            }
            let mut written = written.lock();
            part(&mut written).extend_from_slice(&buffer[..count]);
            written.both.extend_from_slice(&buffer[..count]);
        }
    })
}
