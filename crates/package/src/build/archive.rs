//! The zip container around entries whose bytes were packed elsewhere: local headers, central directory, zip64.
//!
//! Everything that could differ between two builds of the same files is fixed: time (the first that zip knows),
//! permissions, versions, and when zip64 fields are used. No data descriptors: an entry's header is completed once its
//! sizes are known, because readers of streams cannot find the end of a stored entry otherwise.

use std::fs::File;
use std::io;

use flate2::Crc;

use super::pack::Method;
use crate::positioned::write_all_at;

/// Small writes are collected up to this many bytes.
const COLLECTED_LENGTH: usize = 256 << 10;

/// 1980-01-01 00:00:00, as MS-DOS date and time.
const DOS_TIME: u16 = 0;
const DOS_DATE: u16 = (1 << 5) | 1;

/// A regular file, readable by all, in the upper half as Unix programs write it.
const EXTERNAL_ATTRIBUTES: u32 = 0o100_644 << 16;
const MADE_BY_UNIX: u16 = 3 << 8;

const NEEDS_DEFLATE: u16 = 20;
const NEEDS_ZIP64: u16 = 45;

/// Entries at least this long before compression get zip64 sizes: deflated, they could exceed 32 bits after all.
const ZIP64_LENGTH: u64 = 0xfff0_0000;

/// In a 32-bit field: look in the zip64 field.
const SEE_ZIP64: u32 = u32::MAX;

/// A zip that is being written to a file.
pub(super) struct Archive<'a> {
    file: &'a File,
    /// Bytes that are not written yet.
    collected: Vec<u8>,
    /// Where in the file they belong.
    collected_at: u64,
    records: Vec<Record>,
    crc: Crc,
}

struct Record {
    name: Box<str>,
    method: Method,
    crc: u32,
    compressed: u64,
    uncompressed: u64,
    header_at: u64,
    has_long_sizes: bool,
}

impl<'a> Archive<'a> {
    pub(super) fn new(file: &'a File) -> Self {
        Self { file, collected: Vec::new(), collected_at: 0, records: Vec::new(), crc: Crc::new() }
    }

    /// Begins an entry of `length` bytes before compression.
    pub(super) fn begin(&mut self, name: &str, method: Method, length: u64) -> io::Result<()> {
        let record = Record {
            name: name.into(),
            method,
            crc: 0,
            compressed: 0,
            uncompressed: length,
            header_at: self.position(),
            has_long_sizes: length >= ZIP64_LENGTH,
        };
        self.write(&record.local_header())?;
        self.records.push(record);
        self.crc.reset();
        Ok(())
    }

    /// Appends packed bytes to the entry that was begun, with the checksum of what they were before.
    pub(super) fn append(&mut self, bytes: &[u8], crc: &Crc) -> io::Result<()> {
        self.write(bytes)?;
        self.crc.combine(crc);
        if let Some(record) = self.records.last_mut() {
            record.compressed += bytes.len() as u64;
        }
        Ok(())
    }

    /// Completes the header of the entry that was begun.
    pub(super) fn end(&mut self) -> io::Result<()> {
        let Some(record) = self.records.last_mut() else { return Ok(()) };
        record.crc = self.crc.sum();
        let header = record.local_header();
        if record.header_at < self.collected_at {
            return write_all_at(self.file, &header, record.header_at);
        }
        let start = (record.header_at - self.collected_at) as usize;
        self.collected[start..start + header.len()].copy_from_slice(&header);
        Ok(())
    }

    /// Writes the central directory and all that is still to be written.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        let directory_at = self.position();
        for record in std::mem::take(&mut self.records) {
            self.write(&record.directory_header())?;
            self.records.push(record);
        }
        let end = directory_end(self.records.len() as u64, directory_at, self.position() - directory_at);
        self.write(&end)?;
        self.write_out()
    }

    fn position(&self) -> u64 {
        self.collected_at + self.collected.len() as u64
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.collected.len() + bytes.len() > COLLECTED_LENGTH {
            self.write_out()?;
        }
        if bytes.len() < COLLECTED_LENGTH {
            self.collected.extend_from_slice(bytes);
            return Ok(());
        }
        write_all_at(self.file, bytes, self.collected_at)?;
        self.collected_at += bytes.len() as u64;
        Ok(())
    }

    fn write_out(&mut self) -> io::Result<()> {
        write_all_at(self.file, &self.collected, self.collected_at)?;
        self.collected_at += self.collected.len() as u64;
        self.collected.clear();
        Ok(())
    }
}

impl Record {
    fn local_header(&self) -> Vec<u8> {
        let mut extra = Vec::new();
        if self.has_long_sizes {
            extra.extend(zip64_field(&[self.uncompressed, self.compressed]));
        }
        let mut header = b"PK\x03\x04".to_vec();
        self.put_shared_fields(&mut header, self.has_long_sizes, extra.len());
        header.extend(self.name.as_bytes());
        header.extend(extra);
        header
    }

    fn directory_header(&self) -> Vec<u8> {
        let mut long_values = Vec::new();
        if self.has_long_sizes {
            long_values.extend([self.uncompressed, self.compressed]);
        }
        let header_at = u32::try_from(self.header_at).unwrap_or(SEE_ZIP64);
        if header_at == SEE_ZIP64 {
            long_values.push(self.header_at);
        }
        let extra = if long_values.is_empty() { Vec::new() } else { zip64_field(&long_values) };
        let mut header = b"PK\x01\x02".to_vec();
        header.extend((MADE_BY_UNIX | NEEDS_ZIP64).to_le_bytes());
        self.put_shared_fields(&mut header, !long_values.is_empty(), extra.len());
        header.extend([0; 2 + 2 + 2]); // no comment, first disk, no internal attributes
        header.extend(EXTERNAL_ATTRIBUTES.to_le_bytes());
        header.extend(header_at.to_le_bytes());
        header.extend(self.name.as_bytes());
        header.extend(extra);
        header
    }

    /// The fields from the version needed to the length of the extra fields, the same in both headers.
    fn put_shared_fields(&self, header: &mut Vec<u8>, needs_zip64: bool, extra_length: usize) {
        let is_utf8 = u16::from(!self.name.is_ascii()) << 11;
        let method: u16 = match self.method {
            Method::Stored => 0,
            Method::Deflated => 8,
        };
        let size = |value: u64| if self.has_long_sizes { SEE_ZIP64 } else { value as u32 };
        for field in [if needs_zip64 { NEEDS_ZIP64 } else { NEEDS_DEFLATE }, is_utf8, method, DOS_TIME, DOS_DATE] {
            header.extend(field.to_le_bytes());
        }
        for field in [self.crc, size(self.compressed), size(self.uncompressed)] {
            header.extend(field.to_le_bytes());
        }
        // The plan admits names of at most 65535 bytes, and a zip64 field has 28.
        for field in [self.name.len() as u16, extra_length as u16] {
            header.extend(field.to_le_bytes());
        }
    }
}

fn zip64_field(values: &[u64]) -> Vec<u8> {
    let mut field = 1_u16.to_le_bytes().to_vec();
    field.extend((8 * values.len() as u16).to_le_bytes());
    field.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    field
}

/// The end of the central directory, with its zip64 forms before it when a number does not fit.
fn directory_end(entries: u64, directory_at: u64, directory_length: u64) -> Vec<u8> {
    let mut end = Vec::new();
    let short_entries = u16::try_from(entries).unwrap_or(u16::MAX);
    let short_at = u32::try_from(directory_at).unwrap_or(SEE_ZIP64);
    let short_length = u32::try_from(directory_length).unwrap_or(SEE_ZIP64);
    if short_entries == u16::MAX || short_at == SEE_ZIP64 || short_length == SEE_ZIP64 {
        end.extend(b"PK\x06\x06");
        end.extend(44_u64.to_le_bytes()); // length of what follows in this record
        end.extend((MADE_BY_UNIX | NEEDS_ZIP64).to_le_bytes());
        end.extend(NEEDS_ZIP64.to_le_bytes());
        end.extend([0; 4 + 4]); // this disk, disk of the directory
        for value in [entries, entries, directory_length, directory_at] {
            end.extend(value.to_le_bytes());
        }
        end.extend(b"PK\x06\x07");
        end.extend([0; 4]); // disk of the record above
        end.extend((directory_at + directory_length).to_le_bytes());
        end.extend(1_u32.to_le_bytes()); // number of disks
    }
    end.extend(b"PK\x05\x06");
    end.extend([0; 2 + 2]); // this disk, disk of the directory
    end.extend(short_entries.to_le_bytes());
    end.extend(short_entries.to_le_bytes());
    end.extend(short_length.to_le_bytes());
    end.extend(short_at.to_le_bytes());
    end.extend([0; 2]); // no comment
    end
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// Writes an archive that begins at `start` of a sparse file, so that large offsets cost nothing.
    fn archive_at(start: u64, entries: &[(String, Vec<u8>)]) -> zip::ZipArchive<File> {
        let file = tempfile::tempfile().unwrap();
        let mut archive = Archive::new(&file);
        archive.collected_at = start;
        for (name, bytes) in entries {
            archive.begin(name, Method::Stored, bytes.len() as u64).unwrap();
            let (first, second) = bytes.split_at(bytes.len() / 2);
            for part in [first, second] {
                let mut crc = Crc::new();
                crc.update(part);
                archive.append(part, &crc).unwrap();
            }
            archive.end().unwrap();
        }
        archive.finish().unwrap();
        zip::ZipArchive::new(file).unwrap()
    }

    fn assert_reads_back(mut archive: zip::ZipArchive<File>, entries: &[(String, Vec<u8>)]) {
        assert_eq!(archive.len(), entries.len());
        for (index, (name, bytes)) in entries.iter().enumerate() {
            let mut entry = archive.by_index(index).unwrap();
            assert_eq!(entry.name_raw(), name.as_bytes());
            let mut read = Vec::new();
            entry.read_to_end(&mut read).unwrap();
            assert!(read == *bytes, "{name}");
        }
    }

    #[test]
    fn small_and_large_entries_and_foreign_names_read_back() {
        let entries = [
            ("README.txt".to_owned(), b"hello".to_vec()),
            ("agenda_1/空.pdf".to_owned(), Vec::new()),
            ("agenda_1/large.pdf".to_owned(), vec![7; 3 * COLLECTED_LENGTH]),
            ("agenda_2/small.pdf".to_owned(), vec![8; 1000]),
        ];
        assert_reads_back(archive_at(0, &entries), &entries);
    }

    #[test]
    fn offsets_beyond_four_gib_read_back() {
        let entries = [("a".to_owned(), vec![1; 10]), ("b".to_owned(), vec![2; 600_000])];
        for start in [u64::from(u32::MAX) - 40, u64::from(u32::MAX), 5 << 30] {
            assert_reads_back(archive_at(start, &entries), &entries);
        }
    }

    #[test]
    fn more_than_65534_entries_read_back() {
        for count in [65_534, 65_535, 70_000] {
            let entries: Vec<_> = (0..count).map(|number| (format!("{number:06}"), Vec::new())).collect();
            let archive = archive_at(0, &entries);
            assert_eq!(archive.len(), count);
            let last = &entries[count - 1].0;
            assert_eq!(archive.index_for_name(last), Some(count - 1));
        }
    }

    #[test]
    fn long_entries_have_zip64_sizes_in_both_headers() {
        let record = Record {
            name: "x".into(),
            method: Method::Deflated,
            crc: 1,
            compressed: 5 << 30,
            uncompressed: 6 << 30,
            header_at: 7 << 30,
            has_long_sizes: true,
        };
        let sizes = [(6_u64 << 30).to_le_bytes(), (5_u64 << 30).to_le_bytes()].concat();
        let local = record.local_header();
        assert_eq!(&local[18..26], &[0xff; 8]);
        assert_eq!(local[31..35], [1, 0, 16, 0]);
        assert_eq!(local[35..], sizes);
        let central = record.directory_header();
        assert_eq!(central[47..51], [1, 0, 24, 0]);
        assert_eq!(central[51..], [sizes, (7_u64 << 30).to_le_bytes().to_vec()].concat());
    }
}
