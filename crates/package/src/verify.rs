//! Checking packages: by the blocks of a description, by the hash of the whole, or, for packages of older masters
//! that describe nothing, by the checksums inside the zip.

use std::fs::File;
use std::io;
use std::path::Path;

use posthouse_protocol::{Block, ContentHash, PackageDescription};
use zip::ZipArchive;

use crate::PackageError;
use crate::describe::content_hash;
use crate::positioned::read_up_to;

/// How much is read at once, in bytes.
const READ_LENGTH: usize = 512 << 10;

/// Which blocks of a (possibly partial) file are right: one answer for each block of the description, in its order.
/// Blocks that reach beyond the end of the file are wrong and not read.
///
/// # Errors
/// When the file cannot be read.
pub fn verify_blocks(file: &File, description: &PackageDescription) -> io::Result<Vec<bool>> {
    let size = file.metadata()?.len();
    let mut buffer = vec![0; READ_LENGTH];
    let is_right = |block: &Block| {
        let Some(end) = block.offset.checked_add(block.length).filter(|end| *end <= size) else { return Ok(false) };
        let (hash, count) = hash_range(file, block.offset, end, &mut buffer)?;
        Ok(count == block.length && hash == block.hash)
    };
    description.blocks.iter().map(is_right).collect()
}

/// BLAKE3 and size in bytes of a whole file.
///
/// # Errors
/// When it cannot be opened or read.
pub fn hash_file(path: &Path) -> io::Result<(ContentHash, u64)> {
    hash_range(&File::open(path)?, 0, u64::MAX, &mut vec![0; READ_LENGTH])
}

/// Hash of the bytes from `offset` to `end` or the end of the file, and how many there were.
fn hash_range(file: &File, mut offset: u64, end: u64, buffer: &mut [u8]) -> io::Result<(ContentHash, u64)> {
    let start = offset;
    let mut hasher = blake3::Hasher::new();
    while offset < end {
        let wanted = usize::try_from(end - offset).map_or(buffer.len(), |left| left.min(buffer.len()));
        let count = read_up_to(file, &mut buffer[..wanted], offset)?;
        hasher.update(&buffer[..count]);
        offset += count as u64;
        if count < wanted {
            break;
        }
    }
    Ok((content_hash(&hasher), offset - start))
}

/// Reads every entry of a zip to its end: a sound central directory, and contents that match their CRC-32.
///
/// # Errors
/// [`PackageError::Unsound`] says which entry is wrong and how, [`PackageError::Read`] that the file cannot be read.
pub fn verify_zip(path: &Path) -> Result<(), PackageError> {
    let unsound = |reason: String| PackageError::Unsound { path: path.to_owned(), reason };
    let file = File::open(path).map_err(PackageError::read(path))?;
    let mut archive = match ZipArchive::new(io::BufReader::with_capacity(64 << 10, file)) {
        Ok(archive) => archive,
        Err(zip::result::ZipError::Io(cause)) if cause.kind() != io::ErrorKind::UnexpectedEof => {
            return Err(PackageError::Read { path: path.to_owned(), cause });
        }
        Err(error) => return Err(unsound(error.to_string())),
    };
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(|error| unsound(format!("entry {index}: {error}")))?;
        let name = String::from_utf8_lossy(entry.name_raw()).into_owned();
        let length = io::copy(&mut entry, &mut io::sink()).map_err(|error| unsound(format!("{name}: {error}")))?;
        if length != entry.size() {
            return Err(unsound(format!("{name}: {length} bytes in place of {}", entry.size())));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::describe;
    use crate::positioned::write_all_at;

    #[test]
    fn a_flipped_byte_and_a_missing_end_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("package");
        let block = crate::BLOCK_LENGTH;
        let bytes: Vec<u8> = (0..3 * block + 1000).map(|index| (index % 251) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let description = describe(&path).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        assert_eq!(verify_blocks(&file, &description).unwrap(), [true; 4]);
        assert_eq!(hash_file(&path).unwrap(), (description.hash, description.size_bytes));

        let position = block + 5;
        write_all_at(&file, &[bytes[position as usize] ^ 1], position).unwrap();
        assert_eq!(verify_blocks(&file, &description).unwrap(), [true, false, true, true]);
        assert_ne!(hash_file(&path).unwrap().0, description.hash);

        file.set_len(2 * block + 1).unwrap();
        assert_eq!(verify_blocks(&file, &description).unwrap(), [true, false, false, false]);
        file.set_len(0).unwrap();
        assert_eq!(verify_blocks(&file, &description).unwrap(), [false; 4]);
    }

    #[test]
    fn blocks_of_a_hostile_description_are_only_wrong() {
        let file = tempfile::tempfile().unwrap();
        (&file).write_all(b"abc").unwrap();
        let hash = ContentHash([0; 32]);
        let blocks = vec![
            Block { offset: u64::MAX, length: 2, hash },
            Block { offset: 0, length: u64::MAX, hash },
            Block { offset: 0, length: 3, hash: ContentHash(*blake3::hash(b"abc").as_bytes()) },
        ];
        let description = PackageDescription { size_bytes: 3, hash, blocks };
        assert_eq!(verify_blocks(&file, &description).unwrap(), [false, false, true]);
    }

    #[test]
    fn a_zip_with_a_wrong_byte_or_a_missing_end_is_unsound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old.zip");
        let mut writer = zip::ZipWriter::new(File::create(&path).unwrap());
        for (name, method) in [("a.pdf", zip::CompressionMethod::Stored), ("b.pdf", zip::CompressionMethod::Deflated)] {
            writer.start_file(name, zip::write::SimpleFileOptions::default().compression_method(method)).unwrap();
            writer.write_all(&b"meeting ".repeat(5000)).unwrap();
        }
        writer.finish().unwrap();
        verify_zip(&path).unwrap();

        let sound = std::fs::read(&path).unwrap();
        let mut flipped = sound.clone();
        flipped[500] ^= 1;
        std::fs::write(&path, &flipped).unwrap();
        let error = verify_zip(&path).unwrap_err();
        assert!(matches!(&error, PackageError::Unsound { reason, .. } if reason.contains("a.pdf")), "{error}");

        for length in [0, 10, sound.len() / 2, sound.len() - 1] {
            std::fs::write(&path, &sound[..length]).unwrap();
            let error = verify_zip(&path).unwrap_err();
            assert!(matches!(error, PackageError::Unsound { .. }), "{length}: {error}");
        }
        std::fs::write(&path, b"<html>not found</html>").unwrap();
        assert!(matches!(verify_zip(&path), Err(PackageError::Unsound { .. })));
        assert!(matches!(verify_zip(&folder.path().join("absent")), Err(PackageError::Read { .. })));
    }
}
