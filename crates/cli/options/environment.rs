//! `-e`, `--env-file`, `-l`, `--label-file`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use engine::ContainerConfig;

/// Options for environment and labels.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Environment and labels")]
pub struct EnvironmentOptions {
    /// Set environment variables; a name alone takes the value it has here
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Read in a file of environment variables
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Take a variable away that the image sets
    #[arg(long, value_name = "NAME")]
    unsetenv: Vec<String>,
    /// Set meta data on a container
    #[arg(short, long, value_name = "KEY[=VALUE]")]
    label: Vec<String>,
    /// Read in a line delimited file of labels
    #[arg(long, value_name = "FILE")]
    label_file: Vec<PathBuf>,
}

impl EnvironmentOptions {
    pub fn apply(&self, config: &mut ContainerConfig) -> Result<()> {
        config.env.extend(self.unsetenv.iter().cloned());
        config.env.extend(environment(&self.env, &self.env_file)?);
        let mut labels = Vec::new();
        for path in &self.label_file {
            labels.extend(lines(path)?);
        }
        labels.extend(self.label.iter().cloned());
        config.labels = pairs("label", &labels)?;
        Ok(())
    }
}

/// `NAME=value` for every variable of the files and then of the options. `NAME` alone takes
/// the value from this process; what is not set here is taken away from the container.
pub fn environment(given: &[String], files: &[PathBuf]) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for path in files {
        // In a file a name that is not set here means nothing at all.
        all.extend(
            variables(path)?
                .into_iter()
                .map(|line| from_here(&line))
                .filter(|line| line.contains('=')),
        );
    }
    for variable in given {
        if variable.is_empty() || variable.starts_with('=') {
            bail!("invalid environment variable: {variable:?}");
        }
        all.push(from_here(variable));
    }
    Ok(all)
}

fn from_here(variable: &str) -> String {
    match std::env::var(variable) {
        Ok(value) if !variable.contains('=') => format!("{variable}={value}"),
        _ => variable.to_owned(),
    }
}

fn variables(path: &Path) -> Result<Vec<String>> {
    let lines = lines(path)?;
    for line in &lines {
        let name = line.split_once('=').map_or(line.as_str(), |(name, _)| name);
        if name.contains(char::is_whitespace) {
            bail!(
                "invalid env file ({}): variable '{name}' contains whitespaces",
                path.display()
            );
        }
        if name.is_empty() {
            bail!(
                "invalid env file ({}): no variable name on line '{line}'",
                path.display()
            );
        }
    }
    Ok(lines)
}

/// The lines of a file without empty ones and comments. Spaces before a line do not count,
/// spaces after it do.
fn lines(path: &Path) -> Result<Vec<String>> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    Ok(text
        .lines()
        .map(str::trim_start)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect())
}

/// `KEY=VALUE` or `KEY`, the last of a key wins.
pub fn pairs(what: &str, given: &[String]) -> Result<BTreeMap<String, String>> {
    given
        .iter()
        .map(|pair| match pair.split_once('=').unwrap_or((pair, "")) {
            ("", _) => bail!("invalid {what} {pair:?}: the key is empty"),
            (key, value) => Ok((key.to_owned(), value.to_owned())),
        })
        .collect()
}
