//! Valid PDF files of a wanted size and number of pages, each page a scanned-looking image.

use std::io::Write;

use crate::noise::Noise;

/// Points of an A4 page.
const PAGE_WIDTH: u32 = 595;
const PAGE_HEIGHT: u32 = 842;
/// Pixels in a row of every image.
const ROW: usize = 1024;

/// A PDF to make.
#[derive(Debug, Clone, Copy)]
pub struct Pdf {
    /// Number of pages, one at least.
    pub pages: usize,
    /// Size of the file. Each page needs about 1.5 kB at least; a smaller wish gives a larger file.
    pub size_bytes: usize,
    /// Files with different seeds have different images.
    pub seed: u64,
    /// Bits of noise in a pixel: 8 cannot be compressed, as with scans that are compressed already; 5 saves a third.
    pub noise_bits: u32,
}

impl Pdf {
    /// A file as scanners make it.
    #[must_use]
    pub fn scanned(pages: usize, size_bytes: usize, seed: u64) -> Self {
        Self { pages, size_bytes, seed, noise_bits: 8 }
    }

    /// The bytes of the file.
    #[must_use]
    pub fn to_bytes(self) -> Vec<u8> {
        let pages = self.pages.max(1);
        let overhead = 400 + pages * 480;
        let rows = (self.size_bytes.saturating_sub(overhead) / pages / ROW).max(1);
        let mut file = Writer::default();
        file.text("%PDF-1.5\n%\u{e2}\u{e3}\u{cf}\u{d3}\n");
        // Objects: 1 catalogue, 2 page tree, then page, content and image of each page.
        file.object("<< /Type /Catalog /Pages 2 0 R >>");
        let kids: Vec<String> = (0..pages).map(|page| format!("{} 0 R", 3 + 3 * page)).collect();
        file.object(&format!("<< /Type /Pages /Count {pages} /Kids [ {} ] >>", kids.join(" ")));
        let mut noise = Noise::from_seed(self.seed);
        let mut pixels = vec![0; rows * ROW];
        for page in 0..pages {
            let (content, image) = (4 + 3 * page, 5 + 3 * page);
            file.object(&format!(
                "<< /Type /Page /Parent 2 0 R /MediaBox [ 0 0 {PAGE_WIDTH} {PAGE_HEIGHT} ] /Contents {content} 0 R \
                 /Resources << /XObject << /Scan {image} 0 R >> >> >>"
            ));
            let drawing = format!("q {PAGE_WIDTH} 0 0 {PAGE_HEIGHT} 0 0 cm /Scan Do Q");
            file.stream("", drawing.as_bytes());
            noise.fill(&mut pixels, self.noise_bits);
            file.stream(
                &format!(
                    "/Type /XObject /Subtype /Image /Width {ROW} /Height {rows} /ColorSpace /DeviceGray \
                     /BitsPerComponent 8 "
                ),
                &pixels,
            );
        }
        file.finish(self.size_bytes)
    }
}

#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    offsets: Vec<usize>,
}

impl Writer {
    fn text(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn begin(&mut self) {
        self.offsets.push(self.bytes.len());
        let number = self.offsets.len();
        self.text(&format!("{number} 0 obj\n"));
    }

    fn object(&mut self, body: &str) {
        self.begin();
        self.text(body);
        self.text("\nendobj\n");
    }

    fn stream(&mut self, dictionary: &str, data: &[u8]) {
        self.begin();
        self.text(&format!("<< {dictionary}/Length {} >>\nstream\n", data.len()));
        self.bytes.extend_from_slice(data);
        self.text("\nendstream\nendobj\n");
    }

    /// Cross-reference table and trailer, after a comment that brings the file to the wanted size.
    fn finish(mut self, size_bytes: usize) -> Vec<u8> {
        let count = self.offsets.len() + 1;
        let trailer = |table_at: usize| {
            format!("trailer\n<< /Size {count} /Root 1 0 R >>\nstartxref\n{table_at}\n%%EOF\n").into_bytes()
        };
        let table_size = format!("xref\n0 {count}\n").len() + 20 * count;
        let rest = table_size + trailer(size_bytes).len();
        let padding = size_bytes.saturating_sub(self.bytes.len() + rest);
        if padding >= 2 {
            self.bytes.push(b'%');
            self.bytes.resize(self.bytes.len() + padding - 2, b' ');
            self.bytes.push(b'\n');
        }
        let table_at = self.bytes.len();
        let mut table = format!("xref\n0 {count}\n0000000000 65535 f \n").into_bytes();
        for offset in &self.offsets {
            // Writing to memory cannot fail.
            drop(writeln!(table, "{offset:010} 00000 n "));
        }
        self.bytes.append(&mut table);
        self.bytes.append(&mut trailer(table_at));
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_is_met_and_every_offset_leads_to_its_object() {
        for (pages, size_bytes) in [(1, 5_000), (3, 100_000), (12, 1_000_000)] {
            let bytes = Pdf::scanned(pages, size_bytes, 7).to_bytes();
            assert!(bytes.len().abs_diff(size_bytes) <= 2, "{} for {size_bytes}", bytes.len());
            let text = String::from_utf8_lossy(&bytes[bytes.len() - 60..]).into_owned();
            let table_at: usize = text.split("startxref\n").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
            assert!(bytes[table_at..].starts_with(b"xref\n"));
            let table = String::from_utf8_lossy(&bytes[table_at..]).into_owned();
            for (number, line) in table.lines().skip(3).take(2 + 3 * pages).enumerate() {
                let offset: usize = line[..10].parse().unwrap();
                assert!(bytes[offset..].starts_with(format!("{} 0 obj", number + 1).as_bytes()), "{number}: {line}");
            }
        }
    }

    #[test]
    fn seeds_decide_the_bytes() {
        let made = |seed| Pdf::scanned(2, 20_000, seed).to_bytes();
        assert_eq!(made(1), made(1));
        assert_ne!(made(1), made(2));
    }
}
