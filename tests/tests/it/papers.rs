//! Files for the meetings of the tests.

use posthouse_tests::noise::Noise;
use posthouse_tests::pdf::Pdf;

/// One small PDF.
pub(crate) fn one(seed: u64) -> Vec<(String, Vec<u8>)> {
    vec![(format!("paper-{seed}.pdf"), Pdf::scanned(2, 60_000, seed).to_bytes())]
}

/// One file of this size that no compressor makes smaller.
pub(crate) fn large(size_bytes: usize, seed: u64) -> Vec<(String, Vec<u8>)> {
    vec![(format!("scan-{seed}.bin"), Noise::from_seed(seed).bytes(size_bytes))]
}
