//! Compressing one piece of an entry by itself, so that the pieces put together are one deflate stream.
//!
//! As pigz does it: each piece knows the 32 KiB before it as dictionary, all but the last end on a byte boundary by a
//! sync flush, the last ends the stream.

use std::fs::File;
use std::io;

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

use super::plan::{Entry, PIECE_LENGTH, Source};
use crate::PackageError;
use crate::positioned::read_up_to;

/// Info-ZIP's default: the packages of the older program were made with it.
const LEVEL: u32 = 6;

/// How far back deflate can refer, in bytes.
const DICTIONARY_LENGTH: u64 = 32 << 10;

/// How the bytes of an entry stand in the zip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Stored,
    Deflated,
}

/// A piece as it stands in the zip.
pub(super) struct Piece {
    pub(super) bytes: Vec<u8>,
    /// Checksum of the piece before compression.
    pub(super) crc: Crc,
}

/// One thread's compressor and read buffer.
pub(super) struct Packer {
    compress: Compress,
    input: Vec<u8>,
}

impl Packer {
    pub(super) fn new() -> Self {
        Self { compress: Compress::new(Compression::new(LEVEL), false), input: Vec::new() }
    }

    /// Packs piece `number` of an entry into `output`. Without a method it is the first piece, on whose compression
    /// the method is tried out.
    pub(super) fn pack(
        &mut self,
        entry: &Entry<'_>,
        number: u64,
        method: Option<Method>,
        mut output: Vec<u8>,
    ) -> Result<(Method, Piece), PackageError> {
        let start = number * PIECE_LENGTH;
        let end = (start + PIECE_LENGTH).min(entry.length());
        let dictionary_start = match method {
            Some(Method::Deflated) => start.saturating_sub(DICTIONARY_LENGTH),
            Some(Method::Stored) | None => start,
        };
        self.read(entry, dictionary_start, end)?;
        let (dictionary, data) = self.input.split_at((start - dictionary_start) as usize);
        let mut crc = Crc::new();
        crc.update(data);
        if method != Some(Method::Stored) {
            deflate(&mut self.compress, dictionary, data, end == entry.length(), &mut output)
                .map_err(PackageError::read(&entry.path()))?;
            if method.is_some() || saves_a_tenth(data.len(), output.len()) {
                return Ok((Method::Deflated, Piece { bytes: output, crc }));
            }
        }
        output.clear();
        output.extend_from_slice(data);
        Ok((Method::Stored, Piece { bytes: output, crc }))
    }

    fn read(&mut self, entry: &Entry<'_>, start: u64, end: u64) -> Result<(), PackageError> {
        let length = (end - start) as usize;
        match entry.source() {
            Source::Text(text) => {
                self.input.clear();
                self.input.extend_from_slice(&text.as_bytes()[start as usize..end as usize]);
            }
            Source::File(path) => {
                self.input.resize(length, 0);
                let count = File::open(path)
                    .and_then(|file| read_up_to(&file, &mut self.input, start))
                    .map_err(PackageError::read(path))?;
                if count < length {
                    return Err(PackageError::Changed { path: entry.path() });
                }
            }
        }
        Ok(())
    }
}

fn saves_a_tenth(before: usize, after: usize) -> bool {
    after * 10 <= before * 9 && before > 0
}

fn deflate(
    compress: &mut Compress,
    dictionary: &[u8],
    data: &[u8],
    is_last: bool,
    output: &mut Vec<u8>,
) -> io::Result<()> {
    compress.reset();
    if !dictionary.is_empty() {
        compress.set_dictionary(dictionary).map_err(io::Error::other)?;
    }
    let flush = if is_last { FlushCompress::Finish } else { FlushCompress::Sync };
    output.clear();
    // More than data that cannot be compressed takes, so that one turn is enough.
    output.reserve(data.len() + data.len() / 64 + 1024);
    let before = compress.total_in();
    loop {
        let consumed = (compress.total_in() - before) as usize;
        let status = compress.compress_vec(&data[consumed..], output, flush).map_err(io::Error::other)?;
        let flushed = output.len() < output.capacity() && compress.total_in() - before == data.len() as u64;
        if status == Status::StreamEnd || (!is_last && flushed) {
            return Ok(());
        }
        output.reserve(64 << 10);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn pieces_put_together_are_one_stream() {
        let text: Vec<u8> = (0..200_000_u32).flat_map(|number| (number / 3).to_string().into_bytes()).collect();
        let noise: Vec<u8> = blake3_noise(100_000);
        for data in [&text, &noise] {
            for cut in [1, 1000, 50_000] {
                let mut compress = Compress::new(Compression::new(LEVEL), false);
                let mut stream = Vec::new();
                let (first, second) = data.split_at(cut);
                let mut output = Vec::new();
                deflate(&mut compress, &[], first, false, &mut output).unwrap();
                stream.extend_from_slice(&output);
                deflate(&mut compress, &first[cut.saturating_sub(32 << 10)..], second, true, &mut output).unwrap();
                stream.extend_from_slice(&output);
                let mut inflated = Vec::new();
                flate2::read::DeflateDecoder::new(stream.as_slice()).read_to_end(&mut inflated).unwrap();
                assert!(inflated == *data, "cut at {cut}");
            }
        }
    }

    #[test]
    fn a_small_buffer_is_enough() {
        let noise = blake3_noise(300_000);
        let mut compress = Compress::new(Compression::new(LEVEL), false);
        let mut output = Vec::new();
        for is_last in [false, true] {
            deflate(&mut compress, &[], &noise, is_last, &mut output).unwrap();
            assert!(output.len() >= noise.len());
        }
    }

    fn blake3_noise(length: usize) -> Vec<u8> {
        let mut noise = vec![0; length];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        noise
    }
}
