//! Content digests: a name that only its content can have.
//!
//! A [`Digest`] is the only thing file names in the store are made of, so its
//! text is checked once, here, and never again (image-spec, descriptor.md).
//! [`Hasher`] computes one while bytes stream past; [`Verifier`] compares size
//! and digest at the end of such a stream.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256, Sha512};

/// The hash functions registries use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// `sha256`, what every registry speaks.
    Sha256,
    /// `sha512`, allowed by the specification and rare.
    Sha512,
}

impl Algorithm {
    /// The name before the colon, which is also the directory below `blobs`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    fn hex_length(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

/// `sha256:` and 64, or `sha512:` and 128, lower case hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest {
    algorithm: Algorithm,
    hex: Box<str>,
}

/// The text is not a digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a digest: it takes sha256: and 64, or sha512: and 128, digits of 0-9a-f")]
pub struct InvalidDigest {
    /// The text as it was given, shortened.
    pub text: String,
}

impl Digest {
    /// The digest of `bytes` by sha256.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(bytes);
        hasher.finish()
    }

    /// The hash function.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The digits after the colon.
    pub fn hex(&self) -> &str {
        &self.hex
    }

    /// The first 12 digits, as people see them in tables and progress lines.
    pub fn short(&self) -> &str {
        &self.hex[..12]
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let invalid = || InvalidDigest {
            text: text.chars().take(200).collect(),
        };
        let (name, hex) = text.split_once(':').ok_or_else(invalid)?;
        let algorithm = match name {
            "sha256" => Algorithm::Sha256,
            "sha512" => Algorithm::Sha512,
            _ => return Err(invalid()),
        };
        let digits = hex
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !digits || hex.len() != algorithm.hex_length() {
            return Err(invalid());
        }
        Ok(Self {
            algorithm,
            hex: hex.into(),
        })
    }
}

impl TryFrom<String> for Digest {
    type Error = InvalidDigest;

    fn try_from(text: String) -> Result<Self, InvalidDigest> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Computes a digest of bytes given piece by piece.
#[derive(Clone)]
pub struct Hasher(State);

#[derive(Clone)]
enum State {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hasher {
    /// Starts with no bytes.
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => State::Sha256(Sha256::new()),
            Algorithm::Sha512 => State::Sha512(Sha512::new()),
        })
    }

    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(hash) => hash.update(bytes),
            State::Sha512(hash) => hash.update(bytes),
        }
    }

    /// The digest of everything given.
    pub fn finish(self) -> Digest {
        match self.0 {
            State::Sha256(hash) => digest_of(Algorithm::Sha256, &hash.finalize()),
            State::Sha512(hash) => digest_of(Algorithm::Sha512, &hash.finalize()),
        }
    }
}

fn digest_of(algorithm: Algorithm, bytes: &[u8]) -> Digest {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut hex = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        hex.push(DIGITS[usize::from(byte >> 4)] as char);
        hex.push(DIGITS[usize::from(byte & 15)] as char);
    }
    Digest {
        algorithm,
        hex: hex.into(),
    }
}

/// Checks that a stream is exactly what a descriptor promised.
pub struct Verifier {
    hasher: Hasher,
    expected: Digest,
    expected_size: u64,
    seen: u64,
}

/// What was received is not what was promised.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// More or fewer bytes than the descriptor's `size`.
    #[error("{digest} should have {expected} bytes and has {}{found}", if found > expected { "at least " } else { "" })]
    Size {
        /// The blob.
        digest: Digest,
        /// Bytes promised.
        expected: u64,
        /// Bytes received.
        found: u64,
    },
    /// The right number of bytes, but others.
    #[error("content of {expected} has another digest: {found}")]
    Digest {
        /// The digest promised.
        expected: Digest,
        /// The digest of what came.
        found: Digest,
    },
}

impl Verifier {
    /// Expects `size` bytes whose digest is `digest`.
    pub fn new(digest: &Digest, size: u64) -> Self {
        Self {
            hasher: Hasher::new(digest.algorithm()),
            expected: digest.clone(),
            expected_size: size,
            seen: 0,
        }
    }

    /// Takes the next bytes; stops at the first byte too many.
    pub fn update(&mut self, bytes: &[u8]) -> Result<(), Mismatch> {
        self.seen += bytes.len() as u64;
        if self.seen > self.expected_size {
            return Err(self.wrong_size());
        }
        self.hasher.update(bytes);
        Ok(())
    }

    /// Bytes taken so far.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// The end of the stream: size first, then digest.
    pub fn finish(self) -> Result<(), Mismatch> {
        if self.seen != self.expected_size {
            return Err(self.wrong_size());
        }
        let found = self.hasher.finish();
        if found == self.expected {
            Ok(())
        } else {
            Err(Mismatch::Digest {
                expected: self.expected,
                found,
            })
        }
    }

    fn wrong_size(&self) -> Mismatch {
        Mismatch::Size {
            digest: self.expected.clone(),
            expected: self.expected_size,
            found: self.seen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn the_digest_of_nothing() {
        assert_eq!(Digest::of(b"").to_string(), EMPTY);
    }

    #[test]
    fn only_lower_case_digits_of_the_right_number() {
        assert!(EMPTY.parse::<Digest>().is_ok());
        for wrong in [
            "",
            "sha256",
            "sha256:",
            "sha256:../../etc/passwd",
            "md5:d41d8cd98f00b204e9800998ecf8427e",
            &EMPTY.to_uppercase(),
            &EMPTY.replace("sha256", "sha512"),
            &EMPTY[..70],
            &format!("{EMPTY}0"),
            &format!("{EMPTY}\n"),
        ] {
            assert!(wrong.parse::<Digest>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_verifier_names_what_differs() {
        let digest = Digest::of(b"abc");
        let check = |size, bytes: &[u8]| {
            let mut verifier = Verifier::new(&digest, size);
            verifier.update(bytes).and_then(|()| verifier.finish())
        };
        assert_eq!(check(3, b"abc"), Ok(()));
        assert!(matches!(
            check(3, b"ab"),
            Err(Mismatch::Size {
                expected: 3,
                found: 2,
                ..
            })
        ));
        assert!(matches!(
            check(2, b"abc"),
            Err(Mismatch::Size {
                expected: 2,
                found: 3,
                ..
            })
        ));
        assert!(matches!(check(3, b"abd"), Err(Mismatch::Digest { .. })));
    }
}
