//! `lighter login`: checks credentials with a registry and keeps them.

use std::io::{self, BufRead, IsTerminal, Read};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use image::registry::{Credentials, Options, credentials, log_in};

use crate::args::{Global, go_bool};
use crate::output;

/// Authenticate to a registry
#[derive(clap::Args)]
pub struct Args {
    /// Username
    #[arg(short, long)]
    username: Option<String>,
    /// Password or Personal Access Token (PAT)
    #[arg(short, long)]
    password: Option<String>,
    /// Take the Password or Personal Access Token (PAT) from stdin
    #[arg(long)]
    password_stdin: bool,
    /// File to keep the credentials in, instead of ~/.docker/config.json
    #[arg(long, value_name = "FILE", env = "REGISTRY_AUTH_FILE")]
    authfile: Option<std::path::PathBuf>,
    /// Directory with certificates of the registry (*.crt, *.cert, *.key)
    #[arg(long, value_name = "DIR")]
    cert_dir: Option<std::path::PathBuf>,
    /// Require a TLS certificate somebody trusted vouches for
    #[arg(
        long,
        value_name = "BOOL",
        action = clap::ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_value = "true",
        default_missing_value = "true",
        value_parser = go_bool
    )]
    tls_verify: bool,
    #[arg(value_name = "SERVER")]
    server: Option<String>,
}

/// Asks for what is missing, asks the registry, then keeps.
pub fn run(args: Args, global: &Global) -> Result<ExitCode> {
    let registry = registry_of(args.server.as_deref());
    let credentials = given(&args, global)?;
    let options = Options {
        insecure: !args.tls_verify,
        auth_file: args.authfile.clone(),
        certificates: args.cert_dir.clone(),
        ..Options::default()
    };
    let credentials = log_in(&registry, credentials, &options)?;
    let place = credentials::store(&registry, &credentials, args.authfile.as_deref())?;
    global.note(format_args!(
        "credentials for {registry} are kept in {}",
        place.display()
    ));
    output::line("Login Succeeded")?;
    Ok(ExitCode::SUCCESS)
}

/// The name credentials are kept under: a server may be given as a URL.
pub fn registry_of(server: Option<&str>) -> String {
    let server = server.unwrap_or(image::DEFAULT_REGISTRY);
    let host = server
        .strip_prefix("https://")
        .or_else(|| server.strip_prefix("http://"))
        .unwrap_or(server);
    let host = host.split('/').next().unwrap_or(host);
    match host {
        "index.docker.io" | "registry-1.docker.io" | "" => image::DEFAULT_REGISTRY.to_owned(),
        host => host.to_owned(),
    }
}

fn given(args: &Args, global: &Global) -> Result<Credentials> {
    if args.password.is_some() && args.password_stdin {
        bail!("--password and --password-stdin are mutually exclusive");
    }
    if args.password_stdin && args.username.is_none() {
        bail!("Must provide --username with --password-stdin");
    }
    let user = match &args.username {
        Some(user) => user.clone(),
        None => ask("Username: ")?,
    };
    let password = match &args.password {
        Some(password) => {
            global.warn("Using --password via the CLI is insecure. Use --password-stdin.");
            password.clone()
        }
        None if args.password_stdin => {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text)?;
            text.trim_end_matches(['\n', '\r']).to_owned()
        }
        None => hidden(|| ask("Password: "))?,
    };
    if user.is_empty() || password.is_empty() {
        bail!("username and password must not be empty");
    }
    Ok(Credentials::Password { user, password })
}

fn ask(prompt: &str) -> Result<String> {
    if !io::stdin().is_terminal() {
        bail!(
            "cannot ask for credentials: stdin is no terminal; use --username and --password-stdin"
        );
    }
    eprint!("{prompt}");
    let mut line = String::new();
    io::stdin()
        .lock()
        .read_line(&mut line)
        .context("cannot read from the terminal")?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

/// Runs `read` while the terminal does not show what is typed.
fn hidden<T>(read: impl FnOnce() -> Result<T>) -> Result<T> {
    use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
    let stdin = io::stdin();
    let Ok(before) = tcgetattr(&stdin) else {
        return read();
    };
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Flush, &silent)?;
    let result = read();
    tcsetattr(&stdin, OptionalActions::Flush, &before)?;
    eprintln!();
    result
}
