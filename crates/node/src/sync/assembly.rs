//! A described package while it is put together in its temporary file: which blocks are there and right, what to ask
//! for next, and whether the whole is what was described. Blocks on disk and in CPU; everything runs on blocking threads.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use posthouse_package::{Incoming, StoredPackage, hash_file, verify_blocks};
use posthouse_protocol::{ContentHash, PackageDescription};

/// Fewer bytes are hashed sooner than a thread begins.
const WORTH_A_THREAD: u64 = 256 << 10;

/// How far a fetch is; written by the fetch, read by whoever asks.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Bytes in verified blocks.
    done: AtomicU64,
    /// Bytes that came, whatever they are worth.
    received: AtomicU64,
    /// Bytes in all, 0 while unknown.
    total: AtomicU64,
    version: AtomicU64,
}

impl Progress {
    pub(crate) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    pub(crate) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Relaxed)
    }

    pub(crate) fn begin(&self, version: u64, done: u64, total: u64) {
        self.version.store(version, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
        self.done.store(done, Ordering::Relaxed);
    }

    pub(crate) fn note_received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn advance(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// The temporary file and what is known of it.
#[derive(Debug)]
pub(crate) struct Assembly {
    file: Whole,
    blocks: Blocks,
    progress: Arc<Progress>,
}

/// The file from its first byte to its last.
#[derive(Debug)]
struct Whole {
    incoming: Incoming,
    check: WholeCheck,
}

/// Whether the blocks are the whole that was described with them.
#[derive(Debug)]
enum WholeCheck {
    /// Who described them proved who it is: blocks and whole are one statement, and to hash every byte twice would only
    /// slow down what is asked of a node first, to have the package.
    NotNeeded,
    /// Hash of all bytes so far, which came from the first on without a fault.
    Hashing(Box<blake3::Hasher>),
    /// There was a fault, or a beginning from before: the file is read at the end.
    AtTheEnd,
}

/// The same bytes block by block.
#[derive(Debug)]
struct Blocks {
    description: Arc<PackageDescription>,
    is_right: Vec<bool>,
    /// The block that is being received.
    open: Option<OpenBlock>,
}

#[derive(Debug)]
struct OpenBlock {
    index: usize,
    /// Bytes of it that were written.
    length: u64,
    hasher: blake3::Hasher,
}

impl Assembly {
    /// Looks at what an earlier attempt left in the file and reserves the room for the rest. `is_proven`: the description
    /// was signed by the master.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub(crate) fn begin(
        incoming: Incoming,
        description: Arc<PackageDescription>,
        is_proven: bool,
        progress: Arc<Progress>,
    ) -> io::Result<Self> {
        let length = incoming.len()?;
        if length > description.size_bytes {
            incoming.truncate(description.size_bytes)?;
        }
        reserve(&incoming, description.size_bytes)?;
        let is_right = if length == 0 {
            vec![false; description.blocks.len()]
        } else {
            verify_blocks(incoming.file(), &description)?
        };
        let blocks = description.blocks.iter().zip(&is_right);
        let done = blocks.filter(|(_, is_right)| **is_right).map(|(block, _)| block.length).sum();
        progress.advance(done);
        let check = match done {
            _ if is_proven => WholeCheck::NotNeeded,
            0 => WholeCheck::Hashing(Box::default()),
            _ => WholeCheck::AtTheEnd,
        };
        let blocks = Blocks { description, is_right, open: None };
        Ok(Self { file: Whole { incoming, check }, blocks, progress })
    }

    /// The next bytes to ask for, up to the next block that is there; `None` when nothing is missing.
    pub(crate) fn missing(&self) -> Option<Range<u64>> {
        self.blocks.missing()
    }

    /// Blocks that are not right yet.
    pub(crate) fn missing_blocks(&self) -> usize {
        self.blocks.is_right.iter().filter(|is_right| !**is_right).count()
    }

    /// Takes the next bytes at `offset`, which is where the ones before ended or where [`Self::missing`] began, and which
    /// do not reach beyond its end. How many blocks they completed that are wrong; those count as missing.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub(crate) fn write(&mut self, offset: u64, pieces: &[Bytes]) -> io::Result<usize> {
        let length: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
        let Self { file, blocks, .. } = self;
        // Hashing takes as long as everything else together, so it is another thread's.
        let (written, found) = if length < WORTH_A_THREAD {
            (file.write(offset, pieces), blocks.take(offset, pieces))
        } else {
            std::thread::scope(|scope| -> io::Result<_> {
                let thread = std::thread::Builder::new().name("package writer".to_owned());
                let writing = thread.spawn_scoped(scope, || file.write(offset, pieces))?;
                let found = blocks.take(offset, pieces);
                Ok((writing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), found))
            })?
        };
        written?;
        self.progress.note_received(length);
        self.progress.advance(found.right_bytes);
        if found.wrong_blocks > 0 && matches!(self.file.check, WholeCheck::Hashing(_)) {
            self.file.check = WholeCheck::AtTheEnd;
        }
        Ok(found.wrong_blocks)
    }

    /// Whether the whole file, all of whose blocks are right, has the hash that was described.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn has_described_hash(&self) -> io::Result<bool> {
        let found = match &self.file.check {
            WholeCheck::NotNeeded => return Ok(true),
            WholeCheck::Hashing(hasher) => (ContentHash(*hasher.finalize().as_bytes()), hasher.count()),
            WholeCheck::AtTheEnd => hash_file(self.file.incoming.path())?,
        };
        let description = &self.blocks.description;
        Ok(found == (description.hash, description.size_bytes))
    }

    /// Syncs the file and puts it in its place.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn place(self) -> io::Result<StoredPackage> {
        self.file.incoming.place()
    }

    /// Removes the file.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub(crate) fn discard(self) -> io::Result<()> {
        self.file.incoming.discard()
    }
}

impl Whole {
    fn write(&mut self, mut offset: u64, pieces: &[Bytes]) -> io::Result<()> {
        for piece in pieces {
            self.incoming.write_all_at(offset, piece)?;
            if let WholeCheck::Hashing(hasher) = &mut self.check {
                hasher.update(piece);
            }
            offset += piece.len() as u64;
        }
        Ok(())
    }
}

/// What some bytes completed.
#[derive(Debug, Default)]
struct Found {
    right_bytes: u64,
    wrong_blocks: usize,
}

impl Blocks {
    fn missing(&self) -> Option<Range<u64>> {
        let first = match &self.open {
            Some(open) => open.index,
            None => self.is_right.iter().position(|is_right| !is_right)?,
        };
        let last = self.is_right[first..].iter().take_while(|is_right| !**is_right).count() + first;
        let received = self.open.as_ref().map_or(0, |open| open.length);
        let start = self.description.blocks[first].offset + received;
        let end = self.description.blocks.get(last).map_or(self.description.size_bytes, |block| block.offset);
        Some(start..end)
    }

    fn take(&mut self, mut offset: u64, pieces: &[Bytes]) -> Found {
        let mut found = Found::default();
        for piece in pieces {
            let mut bytes = &piece[..];
            while !bytes.is_empty() {
                let taken = self.take_within_block(offset, bytes, &mut found);
                offset += taken as u64;
                bytes = &bytes[taken..];
            }
        }
        found
    }

    /// Takes what belongs to the block at `offset`; how many bytes that were.
    fn take_within_block(&mut self, offset: u64, bytes: &[u8], found: &mut Found) -> usize {
        let open = match &mut self.open {
            Some(open) => open,
            None => {
                let index = self.description.blocks.partition_point(|block| block.offset <= offset) - 1;
                self.open.insert(OpenBlock { index, length: 0, hasher: blake3::Hasher::new() })
            }
        };
        let block = &self.description.blocks[open.index];
        let left = usize::try_from(block.length - open.length).unwrap_or(usize::MAX);
        let taken = left.min(bytes.len());
        open.hasher.update(&bytes[..taken]);
        open.length += taken as u64;
        if open.length == block.length {
            if ContentHash(*open.hasher.finalize().as_bytes()) == block.hash {
                self.is_right[open.index] = true;
                found.right_bytes += block.length;
            } else {
                found.wrong_blocks += 1;
            }
            self.open = None;
        }
        taken
    }
}

/// Sets room aside for the whole file, so that a full disk is known before anything is fetched. What cannot do that says
/// so when it is full.
pub(crate) fn reserve(incoming: &Incoming, size_bytes: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    if size_bytes > 0 {
        use rustix::fs::{FallocateFlags, fallocate};
        match fallocate(incoming.file(), FallocateFlags::KEEP_SIZE, 0, size_bytes).map_err(io::Error::from) {
            Err(error) if posthouse_package::is_storage_full(&error) => return Err(error),
            _ => {}
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (incoming, size_bytes);
    Ok(())
}

#[cfg(test)]
mod tests {
    use posthouse_package::PackageStore;
    use posthouse_protocol::Block;

    use super::*;

    const LENGTHS: [u64; 4] = [10, 1, 25, 7];

    fn bytes() -> Vec<u8> {
        (0..LENGTHS.iter().sum::<u64>()).map(|index| (index * 7) as u8).collect()
    }

    fn description() -> Arc<PackageDescription> {
        let bytes = bytes();
        let mut offset = 0;
        let blocks = LENGTHS
            .iter()
            .map(|length| {
                let range = offset as usize..(offset + length) as usize;
                let block =
                    Block { offset, length: *length, hash: ContentHash(*blake3::hash(&bytes[range]).as_bytes()) };
                offset += length;
                block
            })
            .collect();
        let hash = ContentHash(*blake3::hash(&bytes).as_bytes());
        Arc::new(PackageDescription { size_bytes: offset, hash, blocks })
    }

    fn write(assembly: &mut Assembly, offset: u64, bytes: &[u8]) -> usize {
        assembly.write(offset, &[Bytes::copy_from_slice(bytes)]).unwrap()
    }

    fn begin(folder: &tempfile::TempDir) -> Assembly {
        let store = PackageStore::open(folder.path()).unwrap();
        let incoming = store.incoming(&"m-1".parse().unwrap(), "tag").unwrap();
        Assembly::begin(incoming, description(), false, Arc::default()).unwrap()
    }

    #[test]
    fn bytes_in_any_pieces_become_the_package() {
        for piece in [1, 3, 11, 43] {
            let folder = tempfile::tempdir().unwrap();
            let mut assembly = begin(&folder);
            assert_eq!(assembly.missing(), Some(0..43));
            let mut offset = 0;
            for piece in bytes().chunks(piece) {
                assert_eq!(write(&mut assembly, offset, piece), 0);
                offset += piece.len() as u64;
            }
            assert_eq!(assembly.missing(), None);
            assert_eq!(assembly.progress.done(), 43);
            assert!(assembly.has_described_hash().unwrap());
            let stored = assembly.place().unwrap();
            assert_eq!(std::fs::read(stored.path).unwrap(), bytes());
        }
    }

    #[test]
    fn a_bad_block_alone_is_asked_for_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut assembly = begin(&folder);
        let mut spoilt = bytes();
        spoilt[12] ^= 1;
        assert_eq!(write(&mut assembly, 0, &spoilt), 1);
        assert_eq!((assembly.missing(), assembly.missing_blocks()), (Some(11..36), 1));
        assert_eq!(write(&mut assembly, 11, &bytes()[11..36]), 0);
        assert!(assembly.missing().is_none() && assembly.has_described_hash().unwrap());
    }

    #[test]
    fn within_a_process_a_block_is_continued_and_after_a_crash_only_whole_blocks_are_believed() {
        let folder = tempfile::tempdir().unwrap();
        let mut assembly = begin(&folder);
        write(&mut assembly, 0, &bytes()[..20]);
        assert_eq!(assembly.missing(), Some(20..43));
        drop(assembly);

        let mut assembly = begin(&folder);
        assert_eq!(assembly.missing(), Some(11..43));
        assert_eq!(assembly.progress.done(), 11);
        write(&mut assembly, 11, &bytes()[11..]);
        assert!(assembly.missing().is_none() && assembly.has_described_hash().unwrap());
    }

    #[test]
    fn right_blocks_of_a_wrong_whole_are_not_the_package() {
        let folder = tempfile::tempdir().unwrap();
        let mut assembly = begin(&folder);
        let mut other = PackageDescription::clone(&assembly.blocks.description);
        other.hash = ContentHash([1; 32]);
        assembly.blocks.description = Arc::new(other);
        write(&mut assembly, 0, &bytes());
        assert!(assembly.missing().is_none() && !assembly.has_described_hash().unwrap());
    }

    #[test]
    fn an_empty_description_misses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = PackageStore::open(folder.path()).unwrap();
        let incoming = store.incoming(&"m-1".parse().unwrap(), "tag").unwrap();
        let hash = ContentHash(*blake3::hash(b"").as_bytes());
        let nothing = Arc::new(PackageDescription { size_bytes: 0, hash, blocks: Vec::new() });
        let assembly = Assembly::begin(incoming, nothing, false, Arc::default()).unwrap();
        assert!(assembly.missing().is_none() && assembly.has_described_hash().unwrap());
    }
}
