//! Random bytes from the operating system, as the text forms the program uses.

/// `N` random bytes.
///
/// # Panics
/// When the operating system has no randomness to give: nothing secret could be made then, so nothing may go on.
#[must_use]
#[expect(clippy::expect_used, reason = "without randomness every secret would be guessable")]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// `N` random bytes as lower-case hexadecimal digits.
#[must_use]
pub fn hex<const N: usize>() -> String {
    encode_hex(&bytes::<N>())
}

/// Lower-case hexadecimal digits.
#[must_use]
pub fn encode_hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// 32 bytes of 64 hexadecimal digits.
#[must_use]
pub fn decode_hex_32(text: &str) -> Option<[u8; 32]> {
    text.parse::<posthouse_protocol::ContentHash>().ok().map(|hash| hash.0)
}

/// A password a person can type: 16 characters without look-alikes, about 79 bits.
#[must_use]
pub fn password() -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    bytes::<16>().iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect()
}
