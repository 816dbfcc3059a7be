//! The storage folder of a node.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;

use posthouse_package::{PackageError, PackageFile, PackageStore};
use posthouse_protocol::MeetingId;

fn id(text: &str) -> MeetingId {
    text.parse().unwrap()
}

fn receive(store: &PackageStore, meeting: &str, content: &[u8]) {
    let incoming = store.incoming(&id(meeting), "tag").unwrap();
    incoming.write_all_at(0, content).unwrap();
    let placed = incoming.place().unwrap();
    assert_eq!(placed.size_bytes, content.len() as u64);
    assert_eq!(fs::read(placed.path).unwrap(), content);
}

fn put(root: &Path, folder: &str, content: &[u8]) {
    fs::create_dir_all(root.join(folder)).unwrap();
    fs::write(root.join(folder).join("package.zip"), content).unwrap();
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_received_package_is_placed_and_replaces_the_older_one() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("a/storage");
    let store = PackageStore::open(&root).unwrap();
    assert_eq!(store.root(), root);
    assert_eq!(store.list().unwrap(), []);

    receive(&store, "m-001", b"version 1");
    assert_eq!(store.package_path(&id("m-001")), root.join("meeting_m-001").join("package.zip"));
    let reader = PackageFile::open(&store.package_path(&id("m-001"))).unwrap();
    receive(&store, "m-001", b"the second version");
    assert_eq!(reader.window(0, u64::MAX).unwrap(), "version 1".as_bytes());

    let listed = store.list().unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].meeting.as_str(), listed[0].size_bytes), ("m-001", 18));
    assert_eq!(names(&root), [".incoming", "meeting_m-001"]);
    assert_eq!(names(&root.join(".incoming")), [""; 0]);
}

#[test]
fn receiving_is_continued_and_belongs_to_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = PackageStore::open(folder.path()).unwrap();
    let meeting = id("m");
    let first = store.incoming(&meeting, "v1").unwrap();
    first.write_all_at(3, b"def").unwrap();
    first.write_all_at(0, b"abc").unwrap();
    let refused = store.clone().incoming(&id("M"), "v1").unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ResourceBusy);
    store.incoming(&meeting, "v2").unwrap().discard().unwrap();
    drop(first);

    let second = store.incoming(&meeting, "v1").unwrap();
    assert_eq!(second.len().unwrap(), 6);
    second.truncate(4).unwrap();
    assert_eq!(fs::read(second.path()).unwrap(), b"abcd");
    // Until then nothing shows.
    assert_eq!(store.list().unwrap(), []);
    assert!(!store.package_path(&meeting).exists());
    second.place().unwrap();
    assert_eq!(fs::read(store.package_path(&meeting)).unwrap(), b"abcd");

    for bad in ["", "../x", "a.b", "a/b", "a\\b"] {
        assert_eq!(store.incoming(&meeting, bad).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{bad:?}");
    }
}

#[test]
fn temporary_files_nobody_wants_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let store = PackageStore::open(folder.path()).unwrap();
    for (meeting, tag) in [("a", "1"), ("a", "2"), ("b", "1")] {
        store.incoming(&id(meeting), tag).unwrap().write_all_at(0, &[0; 10]).unwrap();
    }
    fs::write(folder.path().join(".incoming/removed-x"), [0; 5]).unwrap();
    let receiving = store.incoming(&id("c"), "1").unwrap();
    let keep = HashSet::from([(id("A"), "2".to_owned())]);
    assert_eq!(store.remove_stale_incoming(&keep).unwrap(), 25);
    assert_eq!(names(&folder.path().join(".incoming")), ["a.2.part", "c.1.part"]);
    receiving.discard().unwrap();
    assert_eq!(store.remove_stale_incoming(&HashSet::new()).unwrap(), 10);
}

#[test]
fn ids_that_differ_in_case_are_one_meeting() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "meeting_Board-1", b"old");
    let store = PackageStore::open(folder.path()).unwrap();
    let expected = folder.path().join("meeting_Board-1").join("package.zip");
    for spelling in ["Board-1", "board-1", "BOARD-1"] {
        assert_eq!(store.package_path(&id(spelling)), expected);
    }
    receive(&store, "BOARD-1", b"new");
    assert_eq!(fs::read(&expected).unwrap(), b"new");
    assert_eq!(store.list().unwrap().len(), 1);
    assert_eq!(store.remove(&id("board-1")).unwrap(), 3);
    assert_eq!(store.list().unwrap(), []);
    assert_eq!(names(folder.path()), [".incoming"]);
}

#[cfg(target_os = "linux")]
#[test]
fn folders_of_one_meeting_made_by_a_program_that_minded_case_are_one_package() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "meeting_X", b"1234");
    put(folder.path(), "meeting_x", b"12");
    let store = PackageStore::open(folder.path()).unwrap();
    let listed = store.list().unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].path, store.package_path(&id("x")));
    assert_eq!(store.remove(&id("x")).unwrap(), 6);
    assert_eq!(names(folder.path()), [".incoming"]);
}

#[test]
fn ids_that_end_with_a_dot_have_a_folder_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let store = PackageStore::open(folder.path()).unwrap();
    receive(&store, "a", b"without");
    receive(&store, "a.", b"with a dot");
    receive(&store, "a..", b"with two");
    assert_eq!(names(folder.path()), [".incoming", "meeting_a", "meeting_a..~", "meeting_a.~"]);
    let listed: Vec<_> = store.list().unwrap().into_iter().map(|package| package.meeting.to_string()).collect();
    assert_eq!(listed, ["a", "a.", "a.."]);
    store.remove(&id("a.")).unwrap();
    assert_eq!(fs::read(store.package_path(&id("a"))).unwrap(), b"without");
    assert_eq!(fs::read(store.package_path(&id("a.."))).unwrap(), b"with two");
}

#[test]
fn only_packages_are_listed_and_looking_creates_nothing() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "meeting_good", b"12345");
    put(folder.path(), "meeting_会议", b"1");
    put(folder.path(), "other", b"1");
    fs::create_dir(folder.path().join("meeting_empty")).unwrap();
    fs::create_dir_all(folder.path().join("meeting_odd/package.zip")).unwrap();
    fs::write(folder.path().join("meeting_file"), b"1").unwrap();
    let store = PackageStore::open(folder.path()).unwrap();
    let listed = store.list();
    let before = names(folder.path());
    assert!(!store.package_path(&id("unknown")).exists());
    assert_eq!(store.remove(&id("unknown")).unwrap(), 0);
    assert_eq!(names(folder.path()), before);
    let listed: Vec<_> = listed.unwrap().into_iter().map(|package| package.meeting.to_string()).collect();
    assert_eq!(listed, ["good"]);
}

#[test]
fn removing_leaves_other_peoples_files_and_open_readers_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = PackageStore::open(folder.path()).unwrap();
    receive(&store, "m", &[7; 100_000]);
    fs::write(folder.path().join("meeting_m/notes.txt"), b"mine").unwrap();
    let reader = PackageFile::open(&store.package_path(&id("m"))).unwrap();
    assert_eq!(store.remove(&id("m")).unwrap(), 100_000);
    assert_eq!(store.remove(&id("m")).unwrap(), 0);
    assert!(!store.package_path(&id("m")).exists());
    assert!(folder.path().join("meeting_m/notes.txt").exists());
    assert_eq!(reader.window(0, u64::MAX).unwrap().len(), 100_000);
}

#[test]
fn a_folder_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = PackageStore::open(&file.join("storage")).unwrap_err();
    assert!(matches!(&error, PackageError::Folder { path, .. } if *path == file.join("storage")), "{error}");
}
