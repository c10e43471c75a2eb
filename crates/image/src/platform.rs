//! Which of an index's images runs here: `os/architecture[/variant]`.
//!
//! Names are normalised and variants fall back as containerd's `platforms`
//! package does it: arm v8 -> v7 -> v6 -> v5, amd64 v3 -> v2 -> v1.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An operating system and a processor.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// `linux` for everything lighter can run.
    pub os: String,
    /// Go's name of the processor: `amd64`, `arm64`, ...
    pub architecture: String,
    /// `v7` of `arm/v7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The version of Windows an image asks for.
    #[serde(
        default,
        rename = "os.version",
        skip_serializing_if = "Option::is_none"
    )]
    pub os_version: Option<String>,
    /// Features of the operating system an image asks for.
    #[serde(default, rename = "os.features", skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
}

/// The text is no platform.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a platform: write os/architecture or os/architecture/variant, for example linux/arm64"
)]
pub struct InvalidPlatform {
    /// The text as given.
    pub text: String,
}

impl Platform {
    /// The platform of this machine.
    pub fn host() -> Self {
        Self::of("linux", std::env::consts::ARCH, None)
    }

    /// A platform from its parts, in Go's words.
    pub fn of(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        let (architecture, variant) = normalise(architecture, variant);
        Self {
            os: os.to_ascii_lowercase(),
            architecture,
            variant,
            os_version: None,
            os_features: Vec::new(),
        }
    }

    /// How well an image for `offered` runs here: smaller is better, `None` not at all.
    pub fn distance(&self, offered: &Self) -> Option<u32> {
        let wanted = Self::of(&self.os, &self.architecture, self.variant.as_deref());
        let offered = Self::of(
            &offered.os,
            &offered.architecture,
            offered.variant.as_deref(),
        );
        if wanted.os != offered.os || wanted.architecture != offered.architecture {
            return None;
        }
        let (wanted, offered) = (wanted.level()?, offered.level()?);
        wanted.checked_sub(offered)
    }

    /// The variant as a number; processors without variants have one level.
    fn level(&self) -> Option<u32> {
        let default = match self.architecture.as_str() {
            "arm" => 7,
            "arm64" => 8,
            "amd64" => 1,
            _ => return Some(0),
        };
        match &self.variant {
            None => Some(default),
            Some(variant) => variant.strip_prefix('v')?.split('.').next()?.parse().ok(),
        }
    }
}

fn normalise(architecture: &str, variant: Option<&str>) -> (String, Option<String>) {
    let architecture = architecture.to_ascii_lowercase();
    let variant = variant
        .map(str::to_ascii_lowercase)
        .filter(|variant| !variant.is_empty());
    let (name, implied) = match architecture.as_str() {
        "i386" | "i486" | "i586" | "i686" | "x86" => ("386", None),
        "x86_64" | "x86-64" => ("amd64", None),
        "aarch64" => ("arm64", None),
        "armhf" => ("arm", Some("v7")),
        "armel" => ("arm", Some("v6")),
        "powerpc64" => ("ppc64le", None),
        "loongarch64" => ("loong64", None),
        other => (other, None),
    };
    let variant = variant.or(implied.map(str::to_owned));
    let variant = match (name, variant.as_deref()) {
        ("arm64", Some("8" | "v8")) | ("amd64", Some("v1")) => None,
        ("arm", Some(digit @ ("5" | "6" | "7" | "8"))) => Some(format!("v{digit}")),
        _ => variant,
    };
    (name.to_owned(), variant)
}

impl FromStr for Platform {
    type Err = InvalidPlatform;

    fn from_str(text: &str) -> Result<Self, InvalidPlatform> {
        let invalid = || InvalidPlatform {
            text: text.chars().take(100).collect(),
        };
        let good = |part: &&str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        };
        let parts: Vec<&str> = text.split('/').collect();
        if !parts.iter().all(good) {
            return Err(invalid());
        }
        match parts[..] {
            ["linux"] => Ok(Self::host()),
            [architecture] => Ok(Self::of("linux", architecture, None)),
            [os, architecture] => Ok(Self::of(os, architecture, None)),
            [os, architecture, variant] => Ok(Self::of(os, architecture, Some(variant))),
            _ => Err(invalid()),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        text.parse().unwrap()
    }

    #[test]
    fn names_are_normalised() {
        for (text, normal) in [
            ("amd64", "linux/amd64"),
            ("linux/x86_64", "linux/amd64"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/armhf", "linux/arm/v7"),
            ("windows/amd64", "windows/amd64"),
        ] {
            assert_eq!(platform(text).to_string(), normal);
        }
        for wrong in ["", "/", "a/b/c/d", "linux/", "linux/é", "linux/a b"] {
            assert!(wrong.parse::<Platform>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_nearest_older_variant_runs() {
        let v7 = platform("linux/arm/v7");
        assert_eq!(v7.distance(&platform("linux/arm/v7")), Some(0));
        assert_eq!(v7.distance(&platform("linux/arm")), Some(0));
        assert_eq!(v7.distance(&platform("linux/arm/v5")), Some(2));
        assert_eq!(v7.distance(&platform("linux/arm/v8")), None);
        assert_eq!(
            platform("amd64").distance(&platform("linux/amd64/v3")),
            None
        );
        assert_eq!(
            platform("linux/amd64/v3").distance(&platform("linux/amd64/v2")),
            Some(1)
        );
        assert_eq!(platform("amd64").distance(&platform("linux/arm64")), None);
        assert_eq!(
            platform("amd64").distance(&platform("unknown/unknown")),
            None
        );
    }
}
