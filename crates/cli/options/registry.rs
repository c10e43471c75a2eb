//! The options of every verb that speaks to a registry.

use std::path::PathBuf;

use clap::ArgAction;

use crate::args::go_bool;

/// How registries are reached.
#[derive(clap::Args, Clone, Debug)]
pub struct RegistryOptions {
    /// Require a TLS certificate somebody trusted vouches for
    #[arg(
        long,
        value_name = "BOOL",
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_value = "true",
        default_missing_value = "true",
        value_parser = go_bool
    )]
    tls_verify: bool,
    /// File with credentials, instead of ~/.docker/config.json
    #[arg(long, value_name = "FILE", env = "REGISTRY_AUTH_FILE")]
    authfile: Option<PathBuf>,
    /// Directory with certificates of the registry (*.crt, *.cert, *.key)
    #[arg(long, value_name = "DIR")]
    cert_dir: Option<PathBuf>,
    /// Credentials for the registry, instead of those in a file
    #[arg(long, value_name = "USER:PASSWORD")]
    creds: Option<String>,
}

impl RegistryOptions {
    /// The same for the crate that does it.
    pub fn options(&self) -> anyhow::Result<image::registry::Options> {
        let credentials = self.creds.as_ref().map(|text| {
            text.split_once(':')
                .map(|(user, password)| image::registry::Credentials::Password {
                    user: user.to_owned(),
                    password: password.to_owned(),
                })
                .ok_or_else(|| anyhow::anyhow!("--creds takes USER:PASSWORD"))
        });
        Ok(image::registry::Options {
            insecure: !self.tls_verify,
            credentials: credentials.transpose()?,
            auth_file: self.authfile.clone(),
            certificates: self.cert_dir.clone(),
            ..image::registry::Options::default()
        })
    }
}
