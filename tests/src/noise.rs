//! Reproducible noise: the same seed gives the same bytes on every machine.

/// SplitMix64 (Steele, Lea, Flood 2014): small, fast, and good enough to defeat a compressor.
#[derive(Debug, Clone)]
pub struct Noise(u64);

impl Noise {
    /// A sequence of its own for each seed.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    /// The next 64 bits.
    pub fn next_number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which must not be zero.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next_number() % limit
    }

    /// Fills `bytes`; only the `bits` highest bits of each byte are noise, so that fewer bits compress better.
    pub fn fill(&mut self, bytes: &mut [u8], bits: u32) {
        let mask = u64::from(!0xff_u8.checked_shr(bits).unwrap_or(0)) * 0x0101_0101_0101_0101;
        for chunk in bytes.chunks_mut(8) {
            let number = (self.next_number() & mask).to_le_bytes();
            chunk.copy_from_slice(&number[..chunk.len()]);
        }
    }

    /// `count` bytes that no compressor makes smaller.
    #[must_use]
    pub fn bytes(mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.fill(&mut bytes, 8);
        bytes
    }
}
