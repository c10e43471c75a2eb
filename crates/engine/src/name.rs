//! Ids, and names for containers that were not given one.

use std::fmt::Write;

use crate::{Error, Result};

const FIRST: [&str; 40] = [
    "amber", "bold", "brisk", "calm", "clever", "cosy", "crisp", "daring", "eager", "early",
    "fair", "fleet", "fond", "frank", "gentle", "glad", "golden", "happy", "hardy", "honest",
    "jolly", "keen", "kind", "light", "lively", "lucky", "merry", "mild", "neat", "nimble",
    "noble", "patient", "quick", "quiet", "ready", "silver", "steady", "sunny", "swift", "warm",
];

const SECOND: [&str; 40] = [
    "badger", "barge", "beacon", "bee", "brook", "canoe", "cedar", "clover", "comet", "cricket",
    "dinghy", "dolphin", "ferry", "finch", "harbour", "heron", "island", "kayak", "lantern",
    "lark", "lighter", "maple", "meadow", "otter", "pebble", "pier", "pilot", "quay", "raft",
    "robin", "sailor", "sloop", "sparrow", "swallow", "tern", "tide", "trout", "tug", "willow",
    "wren",
];

/// 64 random hexadecimal digits.
pub(crate) fn random_id() -> Result<String> {
    let mut bytes = [0; 32];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|e| Error::system("get random bytes")(e.into()))?;
    let mut id = String::with_capacity(64);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(id, "{byte:02x}");
    }
    // An id that reads as a decimal number would be taken for one by tools that sort by type.
    Ok(if id[..12].bytes().all(|b| b.is_ascii_digit()) {
        format!("a{}", &id[1..])
    } else {
        id
    })
}

/// A name to try: two words chosen by the id, then with a number.
pub(crate) fn suggest(id: &str, attempt: usize) -> String {
    let number = usize::from_str_radix(id.get(..8).unwrap_or("0"), 16).unwrap_or(0) + attempt;
    let (first, second) = (FIRST[number % 40], SECOND[number / 40 % 40]);
    if attempt < 20 {
        format!("{first}_{second}")
    } else {
        format!("{first}_{second}{attempt}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_ids_and_suggestions_are_names() {
        let id = random_id().unwrap();
        assert!(crate::find::is_id(&id));
        for attempt in 0..30 {
            assert!(crate::find::check_name(&suggest(&id, attempt)).is_ok());
        }
        assert_ne!(suggest(&id, 0), suggest(&id, 1));
    }
}
