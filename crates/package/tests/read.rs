//! Reading packages for serving.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};

use posthouse_package::{PackageFile, WINDOW_LENGTH};

fn package(folder: &Path, length: usize) -> (PathBuf, Vec<u8>) {
    let mut content = vec![0; length];
    blake3::Hasher::new().finalize_xof().fill(&mut content);
    let path = folder.join("package.zip");
    fs::write(&path, &content).unwrap();
    (path, content)
}

/// Sends a window through a socket and gives what arrived; an error when the system refused to read it.
fn send(window: &[u8]) -> std::io::Result<Vec<u8>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut sender = TcpStream::connect(listener.local_addr()?)?;
    let (mut receiver, _) = listener.accept()?;
    let receiving = std::thread::spawn(move || {
        let mut arrived = Vec::new();
        receiver.read_to_end(&mut arrived).map(|_| arrived)
    });
    let sent = sender.write_all(window);
    drop(sender);
    let arrived = receiving.join().unwrap()?;
    sent.map(|()| arrived)
}

#[test]
fn windows_put_together_are_the_range() {
    let folder = tempfile::tempdir().unwrap();
    let (path, content) = package(folder.path(), (9 << 20) + 123);
    let file = PackageFile::open(&path).unwrap();
    let size = content.len() as u64;
    assert_eq!(file.len(), size);
    assert_eq!(file.modified(), fs::metadata(&path).unwrap().modified().unwrap());
    for (start, end) in
        [(0, size), (1, size), (4095, 4097), (4096, 100_000), (5_000_001, size), (size - 1, size), (7, 7)]
    {
        let mut received = Vec::new();
        while start + (received.len() as u64) < end {
            let (offset, length) = (start + received.len() as u64, end - start - received.len() as u64);
            let window = match file.window_if_resident(offset, length) {
                Some(window) => window.unwrap(),
                None => file.window(offset, length).unwrap(),
            };
            assert!(!window.is_empty() && window.len() as u64 <= WINDOW_LENGTH.min(length));
            received.extend(send(&window).unwrap());
        }
        assert!(received == content[start as usize..end as usize], "{start}..{end}");
    }
}

#[test]
fn nothing_is_read_beyond_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let (path, content) = package(folder.path(), 100_000);
    let file = PackageFile::open(&path).unwrap();
    assert_eq!(file.window(99_990, u64::MAX).unwrap(), &content[99_990..]);
    for (offset, length) in [(100_000, 1), (u64::MAX, u64::MAX), (5, 0)] {
        assert!(file.window(offset, length).unwrap().is_empty());
    }
    assert!(PackageFile::open(folder.path()).is_err());
    assert!(PackageFile::open(&folder.path().join("absent")).is_err());
    let (path, _) = package(folder.path(), 0);
    assert!(PackageFile::open(&path).unwrap().window(0, 10).unwrap().is_empty());
}

#[cfg(target_os = "linux")]
#[test]
fn resident_bytes_are_there_without_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let (path, content) = package(folder.path(), 6 << 20);
    let file = PackageFile::open(&path).unwrap();
    file.window(0, u64::MAX).unwrap();
    let window = file.window_if_resident(1000, u64::MAX).unwrap().unwrap();
    assert_eq!(window.len() as u64, WINDOW_LENGTH);
    assert!(send(&window).unwrap() == content[1000..1000 + window.len()]);
    assert_eq!(file.window_if_resident(1000, 10).unwrap().unwrap(), &content[1000..1010]);
}

/// A file cut short by hand ends downloads of it, not the program.
#[cfg(target_os = "linux")]
#[test]
fn a_file_cut_short_is_an_error_and_no_signal() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = package(folder.path(), 8 << 20);
    let file = PackageFile::open(&path).unwrap();
    let before = file.window(0, u64::MAX).unwrap();
    let small = file.window(4 << 20, 1000).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_len(1 << 19).unwrap();

    let refused = send(&before).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::EFAULT));
    assert!(small.iter().any(|byte| *byte != 0));
    for length in [1000, 1 << 20, u64::MAX] {
        assert!(file.window_if_resident(4 << 20, length).is_none());
        assert!(file.window(4 << 20, length).is_err());
    }
    assert_eq!(file.window(0, 1 << 19).unwrap().len(), 1 << 19);
    fs::File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    assert!(file.window(0, 1000).is_err());
    assert!(file.window(0, u64::MAX).is_err());
}
