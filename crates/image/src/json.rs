//! JSON from strangers: read only when small and shallow.
//!
//! Every manifest, index, config and token goes through [`parse`]; the limits
//! are those of the other clients, so that nobody's image is refused by us alone.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

/// Manifests, indexes and configs: 4 MiB, as containers/image has it.
pub(crate) const DOCUMENT_LIMIT: u64 = 4 << 20;
const DEPTH_LIMIT: usize = 64;

/// Why a document was not read.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// More than the limit for its kind.
    #[error("it has more than {limit} bytes")]
    TooLarge {
        /// Bytes allowed.
        limit: u64,
    },
    /// Brackets inside brackets inside brackets.
    #[error("it is nested more than {DEPTH_LIMIT} deep")]
    TooDeep,
    /// Not JSON, or not of the expected shape.
    #[error("{0}")]
    Syntax(#[from] serde_json::Error),
    /// A rule of the specification that the shape cannot say.
    #[error("{0}")]
    Rule(String),
}

/// Reads `bytes` as a `T`.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, JsonError> {
    if bytes.len() as u64 > DOCUMENT_LIMIT {
        return Err(JsonError::TooLarge {
            limit: DOCUMENT_LIMIT,
        });
    }
    if depth(bytes) > DEPTH_LIMIT {
        return Err(JsonError::TooDeep);
    }
    Ok(serde_json::from_slice(bytes)?)
}

/// The deepest nesting, strings skipped; an upper bound for broken documents.
fn depth(bytes: &[u8]) -> usize {
    let (mut now, mut most) = (0usize, 0usize);
    let (mut in_string, mut escaped) = (false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                now += 1;
                most = most.max(now);
            }
            b'}' | b']' if !in_string => now = now.saturating_sub(1),
            _ => {}
        }
    }
    most
}

/// For `deserialize_with`: Go writes `null` for an empty list or map.
pub(crate) fn null_as_empty<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bombs_are_refused() {
        let deep = "[".repeat(100_000);
        assert!(matches!(
            parse::<serde_json::Value>(deep.as_bytes()),
            Err(JsonError::TooDeep)
        ));
        let large = vec![b' '; 5 << 20];
        assert!(matches!(
            parse::<serde_json::Value>(&large),
            Err(JsonError::TooLarge { .. })
        ));
    }

    #[test]
    fn brackets_in_strings_do_not_count() {
        let text = format!("\"{}\\\"[\"", "[".repeat(100));
        assert!(parse::<String>(text.as_bytes()).is_ok());
    }
}
