//! `inspect`: everything about one container under docker's JSON keys.

use serde_json::Value;

use crate::{Engine, Result};

impl Engine {
    /// One object as docker's `inspect` prints it.
    pub fn inspect(&self, who: &str) -> Result<Value> {
        let _ = who;
        todo!()
    }
}
