//! Describing a package: its size, the hash of the whole, and the blocks it is fetched and checked by.

use std::fs::File;
use std::io;
use std::path::Path;

use posthouse_protocol::{Block, ContentHash, PackageDescription};

use crate::PackageError;
use crate::positioned::read_up_to;

/// Length in bytes of the blocks that [`describe`] cuts. Only this module may know it: whoever reads a description
/// goes by its list, because blocks will later follow the content.
pub const BLOCK_LENGTH: u64 = 4 << 20;

/// How much is read at once, in bytes. A divisor of [`BLOCK_LENGTH`], so that no read crosses a block.
const READ_LENGTH: usize = 512 << 10;

/// Describes the file at `path` in one pass.
///
/// # Errors
/// When it cannot be opened or read.
pub fn describe(path: &Path) -> Result<PackageDescription, PackageError> {
    File::open(path).and_then(|file| describe_file(&file)).map_err(PackageError::read(path))
}

pub(crate) fn describe_file(file: &File) -> io::Result<PackageDescription> {
    let mut buffer = vec![0; READ_LENGTH];
    let mut whole = blake3::Hasher::new();
    let mut block = blake3::Hasher::new();
    let mut blocks = Vec::new();
    let (mut block_offset, mut offset) = (0, 0);
    loop {
        let count = read_up_to(file, &mut buffer, offset)?;
        whole.update(&buffer[..count]);
        block.update(&buffer[..count]);
        offset += count as u64;
        let length = offset - block_offset;
        let ended = count < buffer.len();
        if length > 0 && (length == BLOCK_LENGTH || ended) {
            blocks.push(Block { offset: block_offset, length, hash: content_hash(&block) });
            block_offset = offset;
            block.reset();
        }
        if ended {
            return Ok(PackageDescription { size_bytes: offset, hash: content_hash(&whole), blocks });
        }
    }
}

pub(crate) fn content_hash(hasher: &blake3::Hasher) -> ContentHash {
    ContentHash(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_contiguous_and_hashed_one_by_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("package");
        let block = usize::try_from(BLOCK_LENGTH).unwrap();
        for size in [0, 1, block - 1, block, block + 1, 2 * block + READ_LENGTH] {
            let bytes: Vec<u8> = (0..size).map(|index| (index / 7) as u8).collect();
            std::fs::write(&path, &bytes).unwrap();
            let description = describe(&path).unwrap();
            assert!(description.is_contiguous(), "{size}");
            assert_eq!(description.size_bytes, size as u64);
            assert_eq!(description.hash.0, *blake3::hash(&bytes).as_bytes());
            assert_eq!(description.blocks.len(), size.div_ceil(block));
            for Block { offset, length, hash } in description.blocks {
                let range = offset as usize..(offset + length) as usize;
                assert_eq!(hash.0, *blake3::hash(&bytes[range]).as_bytes());
            }
        }
        let missing = describe(&folder.path().join("absent")).unwrap_err();
        assert!(missing.to_string().contains("absent"), "{missing}");
    }
}
