//! A 256-bit secret, HMAC-SHA256 with it (RFC 2104) and keys derived from it (RFC 5869).

use std::fmt;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Sha256;

use crate::random;

/// 32 secret bytes. Its `Debug` shows nothing of them; serialised it is 64 hexadecimal digits, for private files and
/// the database alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 32]);

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

impl Secret {
    /// A new random secret.
    #[must_use]
    pub fn random() -> Self {
        Self(random::bytes())
    }

    /// From its bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// From 64 hexadecimal digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        random::decode_hex_32(text).map(Self)
    }

    /// 64 hexadecimal digits, for private files and the database alone.
    #[must_use]
    pub fn to_hex(&self) -> String {
        random::encode_hex(&self.0)
    }

    /// The bytes, as key material.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// HMAC-SHA256 of `text`, as 64 hexadecimal digits.
    #[must_use]
    pub fn sign(&self, text: &str) -> String {
        random::encode_hex(&self.mac(text).finalize().into_bytes())
    }

    /// Whether `signature` is what [`Secret::sign`] gives, compared in constant time.
    #[must_use]
    pub fn verify(&self, text: &str, signature: &str) -> bool {
        random::decode_hex_32(signature).is_some_and(|bytes| self.mac(text).verify_slice(&bytes).is_ok())
    }

    /// Another secret for one purpose alone; this one cannot be computed from it.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> Self {
        let mut derived = [0; 32];
        // HKDF-SHA256 gives up to 8160 bytes; 32 cannot fail.
        let _ = Hkdf::<Sha256>::new(None, &self.0).expand(purpose.as_bytes(), &mut derived);
        Self(derived)
    }

    fn mac(&self, text: &str) -> Hmac<Sha256> {
        // A key of HMAC may have any length.
        let mut mac = match <Hmac<Sha256>>::new_from_slice(&self.0) {
            Ok(mac) => mac,
            Err(_) => unreachable!("HMAC takes keys of any length"),
        };
        mac.update(text.as_bytes());
        mac
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_hex())
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::from_hex(&text).ok_or_else(|| serde::de::Error::custom("a secret is 64 hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_agree_with_another_implementation_and_are_bound_to_text_and_key() {
        let secret = Secret::from_bytes([0x0b; 32]);
        let signature = secret.sign("Hi There");
        assert_eq!(signature, "198a607eb44bfbc69903a0f1cf2bbdc5ba0aa3f3d9ae3c1c7a3b1696a0b68cf7");
        assert!(secret.verify("Hi There", &signature));
        assert!(!secret.verify("Hi there", &signature));
        assert!(!Secret::from_bytes([0x0c; 32]).verify("Hi There", &signature));
        assert!(!secret.verify("Hi There", "zz"));
    }

    #[test]
    fn nothing_of_a_secret_is_shown() {
        let secret = Secret::random();
        assert!(!format!("{secret:?}").contains(&secret.to_hex()[..8]));
        assert_ne!(secret.derive("a"), secret.derive("b"));
    }
}
