//! Files to put into packages.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use posthouse_tests::noise::Noise;

/// A file that no compressor makes smaller.
pub(crate) fn random_file(path: &Path, size_bytes: u64, seed: u64) -> Result<()> {
    write_file(path, size_bytes, &mut Noise::from_seed(seed), |noise, piece| noise.fill(piece, 8))
}

/// Files of the kinds that meetings have, all of which compress: text, tables, scans, office documents.
/// Together they have `size_bytes`, give or take one file.
pub(crate) fn mixed_files(folder: &Path, size_bytes: u64) -> Result<Vec<PathBuf>> {
    std::fs::create_dir_all(folder)?;
    let sizes = [1, 4, 12, 40, 75].map(|megabytes: u64| megabytes * 1_000_000);
    let mut paths = Vec::new();
    let mut total = 0;
    while total < size_bytes {
        let number = paths.len();
        let size = sizes[number % sizes.len()].min(size_bytes - total);
        let mut noise = Noise::from_seed(1000 + number as u64);
        let (name, fill): (_, fn(&mut Noise, &mut [u8])) = match number % 4 {
            0 => ("minutes.txt", text),
            1 => ("scan.pdf", |noise, piece| noise.fill(piece, 5)),
            2 => ("budget.csv", table),
            _ => ("slides.odp", office),
        };
        let path = folder.join(format!("{number:03}-{name}"));
        write_file(&path, size, &mut noise, fill)?;
        paths.push(path);
        total += size;
    }
    Ok(paths)
}

fn write_file(path: &Path, size_bytes: u64, noise: &mut Noise, fill: impl Fn(&mut Noise, &mut [u8])) -> Result<()> {
    let file = File::create(path).with_context(|| path.display().to_string())?;
    let mut file = BufWriter::new(file);
    let mut piece = vec![0; 1 << 20];
    let mut left = size_bytes;
    while left > 0 {
        let length = left.min(piece.len() as u64) as usize;
        fill(noise, &mut piece[..length]);
        file.write_all(&piece[..length])?;
        left -= length as u64;
    }
    file.flush()?;
    Ok(())
}

/// Fills `piece` with what `next` gives, one bit of text after another.
fn fill_with(piece: &mut [u8], mut next: impl FnMut(&mut Vec<u8>)) {
    let mut bit = Vec::new();
    let mut at = 0;
    while at < piece.len() {
        bit.clear();
        next(&mut bit);
        let count = bit.len().min(piece.len() - at);
        piece[at..at + count].copy_from_slice(&bit[..count]);
        at += count;
    }
}

/// Words of a vocabulary of two thousand, some far more frequent than others.
fn text(noise: &mut Noise, piece: &mut [u8]) {
    fill_with(piece, |bit| {
        let rank = noise.below(45).pow(2);
        let mut letters = Noise::from_seed(rank);
        for _ in 0..2 + letters.below(8) {
            bit.push(b'a' + letters.below(26) as u8);
        }
        bit.push(if noise.below(12) == 0 { b'\n' } else { b' ' });
    });
}

/// Rows of numbers.
fn table(noise: &mut Noise, piece: &mut [u8]) {
    fill_with(piece, |bit| {
        let (day, cents) = (noise.below(365), noise.below(100_000_000));
        bit.extend_from_slice(format!("2026-{day:03},{}.{:02},CNY\n", cents / 100, cents % 100).as_bytes());
    });
}

/// Mark-up with pieces that are compressed already.
fn office(noise: &mut Noise, piece: &mut [u8]) {
    fill_with(piece, |bit| {
        bit.extend_from_slice(format!("<draw:frame id=\"{}\" style=\"gr1\"><text:p>", noise.below(10_000)).as_bytes());
        let mut picture = [0; 96];
        noise.fill(&mut picture, 8);
        bit.extend_from_slice(&picture);
        bit.extend_from_slice(b"</text:p></draw:frame>\n");
    });
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn every_kind_of_mixed_file_saves_more_than_a_tenth() {
        let kinds: [fn(&mut Noise, &mut [u8]); 4] = [text, |noise, piece| noise.fill(piece, 5), table, office];
        for (index, fill) in kinds.into_iter().enumerate() {
            let mut piece = vec![0; 1 << 20];
            fill(&mut Noise::from_seed(3), &mut piece);
            let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
            zip.start_file("piece", zip::write::SimpleFileOptions::default()).unwrap();
            zip.write_all(&piece).unwrap();
            let packed = zip.finish().unwrap().into_inner().len();
            assert!(packed < piece.len() * 85 / 100, "kind {index}: {packed}");
            assert!(packed > piece.len() / 10, "kind {index} is too easy: {packed}");
        }
    }
}
