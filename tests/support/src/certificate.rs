//! Certificates for one test, made by `openssl`: an authority of its own and what it signs.

use std::path::{Path, PathBuf};

use crate::host::Host;

/// An authority that only one test knows.
#[derive(Debug, Clone)]
pub struct Authority {
    directory: PathBuf,
}

/// A certificate with its private key, both in PEM.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The certificate.
    pub certificate: PathBuf,
    /// The key.
    pub key: PathBuf,
}

const NEW_KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";

impl Host {
    /// A new authority called `name`.
    ///
    /// # Panics
    /// When `openssl` fails.
    #[track_caller]
    pub fn authority(&self, name: &str) -> Authority {
        let directory = self.directory().join(format!("authority-{name}"));
        let path = directory.display();
        self.shell(&format!(
            "mkdir -p {path} && openssl req -x509 {NEW_KEY} -keyout {path}/ca.key -out {path}/ca.crt -days 2 \
             -subj '/CN=authority {name}' -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign 2>&1"
        ))
        .success();
        Authority { directory }
    }

    /// A certificate for `names` (`DNS:localhost`, `IP:192.0.2.1`), signed by the authority.
    ///
    /// # Panics
    /// When `openssl` fails.
    #[track_caller]
    pub fn certificate(&self, authority: &Authority, name: &str, names: &[&str]) -> Certificate {
        let path = authority.directory.display();
        let names = names.join(",");
        self.shell(&format!(
            "cd {path} && openssl req {NEW_KEY} -keyout {name}.key -out {name}.csr -subj /CN={name} 2>&1
             printf 'subjectAltName={names}\\n' >{name}.ext
             openssl x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out {name}.crt -days 2 -extfile {name}.ext 2>&1"
        ))
        .success();
        Certificate {
            certificate: authority.directory.join(format!("{name}.crt")),
            key: authority.directory.join(format!("{name}.key")),
        }
    }
}

impl Authority {
    /// Its own certificate, for those who trust it.
    pub fn certificate(&self) -> PathBuf {
        self.directory.join("ca.crt")
    }

    /// Its key.
    pub fn key(&self) -> PathBuf {
        self.directory.join("ca.key")
    }
}

/// The bytes inside a PEM file's first block.
///
/// # Panics
/// When the file cannot be read or is no PEM.
pub fn der(path: &Path) -> Vec<u8> {
    use base64::Engine as _;
    let text = std::fs::read_to_string(path).expect("openssl wrote the file");
    let lines = text
        .lines()
        .skip_while(|line| !line.starts_with("-----BEGIN"));
    let block = lines
        .skip(1)
        .take_while(|line| !line.starts_with("-----END"));
    base64::engine::general_purpose::STANDARD
        .decode(block.collect::<String>())
        .expect("a PEM block is base64")
}
