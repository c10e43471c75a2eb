//! `lighter cp`: files between a container and the host.

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use engine::copy::CopyOptions;

use crate::args::Global;

/// Copy files/folders between a container and the local filesystem
#[derive(clap::Args)]
#[command(
    override_usage = "lighter cp [OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n        \
    lighter cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH"
)]
pub struct Args {
    /// Archive mode (copy all uid/gid information)
    #[arg(short, long)]
    archive: bool,
    /// Always follow symbol link in SRC_PATH
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// Do not say on a terminal that the copy succeeded
    #[arg(short, long)]
    quiet: bool,
    #[arg(value_name = "SOURCE", allow_hyphen_values = true)]
    source: String,
    #[arg(value_name = "DESTINATION", allow_hyphen_values = true)]
    destination: String,
}

/// One end of a copy.
#[derive(Debug, PartialEq)]
pub enum End<'a> {
    /// A tar stream.
    Stream,
    /// A path here.
    Host(&'a str),
    /// A container and a path in it.
    Container(&'a str, &'a str),
}

/// Copies in the one direction that was asked for.
pub fn run(args: Args, global: &Global) -> Result<ExitCode> {
    let how = CopyOptions {
        archive: args.archive,
        follow_link: args.follow_link,
    };
    let engine = global.engine()?;
    match (end(&args.source), end(&args.destination)) {
        (End::Host(host), End::Container(who, inside)) => {
            engine.copy_to(who, Path::new(host), inside, how)?
        }
        (End::Container(who, inside), End::Host(host)) => {
            engine.copy_from(who, inside, Path::new(host), how)?
        }
        (End::Stream, End::Container(who, inside)) => {
            engine.unpack_to(who, &mut std::io::stdin().lock(), inside, how)?
        }
        (End::Container(who, inside), End::Stream) => {
            engine.pack_from(who, inside, &mut std::io::stdout().lock(), how)?
        }
        (End::Container(..), End::Container(..)) => {
            bail!("copying between containers is not supported")
        }
        _ => bail!("must specify at least one container source"),
    }
    let streamed = args.source == "-" || args.destination == "-";
    if !args.quiet && !streamed && std::io::stdout().is_terminal() {
        eprintln!(
            "Successfully copied {} to {}",
            args.source, args.destination
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// `NAME:PATH` is in a container unless it looks like a path: `./a:b` and `/a:b` do.
pub fn end(text: &str) -> End<'_> {
    match text.split_once(':') {
        _ if text == "-" => End::Stream,
        Some((name, path)) if !name.is_empty() && !name.starts_with(['/', '.']) => {
            End::Container(name, path)
        }
        _ => End::Host(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colon_after_a_name_is_a_container() {
        assert_eq!(end("web:/etc"), End::Container("web", "/etc"));
        assert_eq!(end("web:"), End::Container("web", ""));
        assert_eq!(end("./web:/etc"), End::Host("./web:/etc"));
        assert_eq!(end("/a:b"), End::Host("/a:b"));
        assert_eq!(end("file"), End::Host("file"));
        assert_eq!(end("-"), End::Stream);
    }
}
