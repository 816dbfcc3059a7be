//! Building packages of real files.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use posthouse_package::{BuildRequest, PackageError, SourceFile, build, describe, verify_zip};
use zip::CompressionMethod::{Deflated, Stored};

/// A folder for sources, one for scratch, one for packages.
struct Workshop {
    folder: tempfile::TempDir,
}

impl Workshop {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["sources", "scratch"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self { folder }
    }

    fn source(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.folder.path().join("sources").join(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn scratch(&self) -> PathBuf {
        self.folder.path().join("scratch")
    }

    fn destination(&self, name: &str) -> PathBuf {
        self.folder.path().join("packages").join(name)
    }

    fn build(&self, request: &BuildRequest, name: &str) -> Vec<u8> {
        let destination = self.destination(name);
        let description = build(request, &self.scratch(), &destination, &AtomicBool::new(false)).unwrap();
        assert_eq!(description, describe(&destination).unwrap());
        assert!(description.is_contiguous());
        verify_zip(&destination).unwrap();
        assert_eq!(fs::read_dir(self.scratch()).unwrap().count(), 0);
        fs::read(destination).unwrap()
    }
}

fn request(files: &[(&str, &Path)]) -> BuildRequest {
    let files = files.iter().map(|(entry, path)| SourceFile { entry: (*entry).to_owned(), path: path.to_path_buf() });
    BuildRequest { readme: "年度工作会议".to_owned(), files: files.collect() }
}

fn noise(seed: u8, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
    bytes
}

fn text(length: usize) -> Vec<u8> {
    (0..length).map(|index| b"meeting agenda "[(index * index / 31) % 15]).collect()
}

fn entries(package: &[u8]) -> BTreeMap<String, (zip::CompressionMethod, Vec<u8>)> {
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(package)).unwrap();
    let mut entries = BTreeMap::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let name = String::from_utf8(entry.name_raw().to_vec()).unwrap();
        entries.insert(name, (entry.compression(), content));
    }
    entries
}

#[test]
fn everything_comes_out_as_it_went_in() {
    let workshop = Workshop::new();
    let contents = [
        ("agenda_1/empty.pdf", Vec::new()),
        ("agenda_1/one.bin", vec![b'x']),
        ("agenda_1/text.pdf", text(300_000)),
        ("agenda_10/piece.pdf", text(1 << 20)),
        ("agenda_2/pieces.pdf", text((5 << 20) + 17)),
        ("agenda_2/noise.zip", noise(1, (3 << 20) + 1)),
        ("agenda_2/half.mp4", [text(2 << 20), noise(2, 2 << 20)].concat()),
        ("agenda_2/其他.pdf", text(5000)),
    ];
    let paths: Vec<_> = contents
        .iter()
        .enumerate()
        .map(|(number, (_, content))| workshop.source(&number.to_string(), content))
        .collect();
    let files: Vec<_> = contents.iter().zip(&paths).map(|((entry, _), path)| (*entry, path.as_path())).collect();
    let package = workshop.build(&request(&files), "1.zip");

    let entries = entries(&package);
    assert_eq!(entries.len(), contents.len() + 1);
    assert_eq!(entries["README.txt"].1, "年度工作会议".as_bytes());
    for (entry, content) in &contents {
        assert!(entries[*entry].1 == *content, "{entry}");
    }
    let methods: Vec<_> = contents.iter().map(|(entry, _)| entries[*entry].0).collect();
    assert_eq!(methods, [Stored, Stored, Deflated, Deflated, Deflated, Stored, Deflated, Deflated]);
}

#[test]
fn the_first_mebibyte_decides_whether_an_entry_is_deflated() {
    let workshop = Workshop::new();
    let first = |compressible: usize| [text(compressible), noise(3, (1 << 20) - compressible)].concat();
    let little = workshop.source("little", &[first(70_000), text(1 << 20)].concat());
    let enough = workshop.source("enough", &[first(200_000), noise(4, 1 << 20)].concat());
    let entries = entries(&workshop.build(&request(&[("little", &little), ("enough", &enough)]), "1.zip"));
    assert_eq!(entries["little"].0, Stored);
    assert_eq!(entries["enough"].0, Deflated);
}

#[test]
fn the_same_files_give_the_same_bytes() {
    let workshop = Workshop::new();
    let (a, b) = (workshop.source("a", &text(3 << 20)), workshop.source("b", &noise(5, 100_000)));
    let package = workshop.build(&request(&[("agenda_1/a.pdf", &a), ("agenda_2/b.pdf", &b)]), "1.zip");

    let later = SystemTime::now() + Duration::from_secs(86_400);
    fs::File::options().write(true).open(&a).unwrap().set_modified(later).unwrap();
    let elsewhere = workshop.source("c", &fs::read(&b).unwrap());
    let again = workshop.build(&request(&[("agenda_2/b.pdf", &elsewhere), ("agenda_1/a.pdf", &a)]), "2.zip");
    assert!(package == again);

    fs::write(&b, b"another").unwrap();
    let changed = workshop.build(&request(&[("agenda_1/a.pdf", &a), ("agenda_2/b.pdf", &b)]), "1.zip");
    assert!(package != changed);
}

#[test]
fn many_small_files_are_packed_in_order() {
    let workshop = Workshop::new();
    let contents: Vec<_> =
        (0..500).map(|number| (format!("agenda_{}/{number}.txt", number % 7), text(number * 3))).collect();
    let paths: Vec<_> = contents
        .iter()
        .enumerate()
        .map(|(number, (_, content))| workshop.source(&number.to_string(), content))
        .collect();
    let files: Vec<_> =
        contents.iter().zip(&paths).map(|((entry, _), path)| (entry.as_str(), path.as_path())).collect();
    let entries = entries(&workshop.build(&request(&files), "1.zip"));
    for (entry, content) in &contents {
        assert!(entries[entry].1 == *content, "{entry}");
    }
}

#[test]
fn more_entries_than_a_plain_zip_counts_are_packed() {
    let workshop = Workshop::new();
    let file = workshop.source("a", b"content");
    let names: Vec<_> = (0..66_000).map(|number| format!("agenda_1/{number:05}.txt")).collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), file.as_path())).collect();
    let package = workshop.build(&request(&files), "1.zip");
    let archive = zip::ZipArchive::new(std::io::Cursor::new(package)).unwrap();
    assert_eq!(archive.len(), 66_001);
    assert!(archive.file_names().skip(1).map(Result::unwrap).eq(names));
}

#[test]
fn a_build_that_is_called_off_leaves_nothing() {
    let workshop = Workshop::new();
    let file = workshop.source("a", &text(4 << 20));
    let request = request(&[("a", &file)]);
    let cancelled = AtomicBool::new(true);
    let destination = workshop.destination("1.zip");
    let error = build(&request, &workshop.scratch(), &destination, &cancelled).unwrap_err();
    assert!(matches!(&error, PackageError::Cancelled { path } if *path == destination), "{error}");
    assert!(!destination.exists());
    assert_eq!(fs::read_dir(workshop.scratch()).unwrap().count(), 0);

    // In the midst of it, seen by the temporary file having grown.
    let large = workshop.source("b", &noise(6, 64 << 20));
    let large = self::request(&[("b", &large)]);
    cancelled.store(false, Ordering::Relaxed);
    std::thread::scope(|scope| {
        let building = scope.spawn(|| build(&large, &workshop.scratch(), &destination, &cancelled));
        let has_begun = || {
            let mut files = fs::read_dir(workshop.scratch()).unwrap().flatten();
            files.any(|file| file.metadata().is_ok_and(|metadata| metadata.len() > 0))
        };
        while !has_begun() && !building.is_finished() {
            std::thread::yield_now();
        }
        cancelled.store(true, Ordering::Relaxed);
        assert!(matches!(building.join().unwrap(), Err(PackageError::Cancelled { .. })));
    });
    assert!(!destination.exists());
    assert_eq!(fs::read_dir(workshop.scratch()).unwrap().count(), 0);
}

#[test]
fn what_cannot_be_packed_is_named_and_an_older_package_stays() {
    let workshop = Workshop::new();
    let file = workshop.source("a", b"content");
    let before = workshop.build(&request(&[("a", &file)]), "1.zip");
    let absent = workshop.folder.path().join("sources/absent");
    let refused = [
        (request(&[("a", &file), ("b", &absent)]), "absent"),
        (request(&[("../a", &file)]), "../a"),
        (request(&[("a", &file), ("A", &file)]), "same name"),
        (request(&[("readme.TXT", &file)]), "same name"),
        (request(&[("folder", workshop.folder.path())]), "folder"),
    ];
    for (request, expected) in refused {
        let destination = workshop.destination("1.zip");
        let error = build(&request, &workshop.scratch(), &destination, &AtomicBool::new(false)).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(fs::read(&destination).unwrap() == before);
        assert_eq!(fs::read_dir(workshop.scratch()).unwrap().count(), 0);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_device_is_recognised() {
    // The null device of full disks: writing to it fails as on a full volume.
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let error = std::io::Write::write(&mut &full, b"x").unwrap_err();
    assert!(posthouse_package::is_storage_full(&error));
}
