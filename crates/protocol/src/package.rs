//! A package as both sides describe it: size, hash of the whole, and a list of blocks.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

use crate::MeetingId;

/// A BLAKE3 hash (256 bits), written as 64 lower-case hexadecimal digits on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, ToSchema)]
#[schema(value_type = String, example = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262")]
pub struct ContentHash(pub [u8; 32]);

impl fmt::Display for ContentHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(formatter, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ContentHash({self})")
    }
}

/// The text was not 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentHashError;

impl fmt::Display for ContentHashError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a content hash is 64 hexadecimal digits")
    }
}

impl std::error::Error for ContentHashError {}

impl FromStr for ContentHash {
    type Err = ContentHashError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(ContentHashError);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let high = char::from(pair[0]).to_digit(16).ok_or(ContentHashError)?;
            let low = char::from(pair[1]).to_digit(16).ok_or(ContentHashError)?;
            *byte = (high * 16 + low) as u8;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for ContentHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ContentHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// One contiguous piece of a package. Blocks of a description follow each other without gap or overlap; nobody may
/// assume that they are equally long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Block {
    /// First byte of the block, counted from the start of the package.
    pub offset: u64,
    /// Length in bytes, never zero.
    pub length: u64,
    /// BLAKE3 of these bytes alone.
    pub hash: ContentHash,
}

/// What a package is, independent of where it lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PackageDescription {
    /// Size in bytes.
    pub size_bytes: u64,
    /// BLAKE3 of the whole package.
    pub hash: ContentHash,
    /// The blocks in order of offset; together they are the package.
    pub blocks: Vec<Block>,
}

impl PackageDescription {
    /// Whether the blocks follow each other from 0 to `size_bytes` without gap or overlap.
    #[must_use]
    pub fn is_contiguous(&self) -> bool {
        let mut end = 0_u64;
        for block in &self.blocks {
            if block.offset != end || block.length == 0 {
                return false;
            }
            let Some(next) = end.checked_add(block.length) else { return false };
            end = next;
        }
        end == self.size_bytes
    }
}

/// Answer of `GET /api/v1/meetings/{id}/package-description`: which version of a meeting's package the master wants
/// nodes to hold, and how to check it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DescribedPackage {
    /// The meeting.
    pub meeting_id: MeetingId,
    /// Version of the package, counted from 1 for each meeting; grows with every change of its files.
    pub version: u64,
    /// The package itself.
    #[serde(flatten)]
    pub description: PackageDescription,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_text_round_trips_and_bad_text_is_refused() {
        let hash = ContentHash([0xab; 32]);
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert_eq!("xyz".parse::<ContentHash>(), Err(ContentHashError));
        assert_eq!("g".repeat(64).parse::<ContentHash>(), Err(ContentHashError));
    }

    #[test]
    fn gaps_and_overlaps_are_noticed() {
        let block = |offset, length| Block { offset, length, hash: ContentHash([0; 32]) };
        let with = |size_bytes, blocks| PackageDescription { size_bytes, hash: ContentHash([0; 32]), blocks };
        assert!(with(30, vec![block(0, 10), block(10, 20)]).is_contiguous());
        assert!(!with(30, vec![block(0, 10), block(11, 19)]).is_contiguous());
        assert!(!with(30, vec![block(0, 10)]).is_contiguous());
        assert!(!with(10, vec![block(0, 10), block(10, 0)]).is_contiguous());
    }
}
