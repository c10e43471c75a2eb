//! Importing: a plain tree in a tar archive -> an image of one layer.

use std::collections::BTreeMap;
use std::io::Read;

use super::ArchiveError;
use crate::arrival::{Documents, Naming, install};
use crate::config::{Empty, HealthCheck};
use crate::layer::{Decoder, sniff};
use crate::media_type::{
    OCI_CONFIG, OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, OCI_MANIFEST, Packing,
};
use crate::registry::download;
use crate::store::{Spool, Spooled, stored};
use crate::{
    Algorithm, Descriptor, Digest, Error, History, ImageConfig, Manifest, Platform, Progress,
    Reference, RootFs, RunConfig, Store,
};

/// How the image shall be.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// Its name.
    pub reference: Option<Reference>,
    /// The comment in its history.
    pub message: String,
    /// Instructions of a Dockerfile: `CMD`, `ENV`, ...
    pub changes: Vec<String>,
    /// Where it runs; this machine's platform when not given.
    pub platform: Option<Platform>,
    /// When it was made, RFC 3339; now when not given.
    pub created: Option<String>,
}

/// Where the archive comes from.
pub enum Origin {
    /// A stream.
    Stream(Box<dyn Read>),
    /// A web address.
    Url(String),
}

/// Makes an image of an archive; its id.
pub fn import(
    store: &Store,
    origin: Origin,
    options: &ImportOptions,
    progress: &dyn Progress,
) -> Result<Digest, Error> {
    let _in_use = store.begin_use()?;
    store.clean()?;
    let mut run = RunConfig::default();
    for change in &options.changes {
        apply(&mut run, change).map_err(|reason| ArchiveError::Change {
            change: change.clone(),
            reason,
        })?;
    }
    let spool = store.spool()?;
    let from = match &origin {
        Origin::Stream(_) => "-".to_owned(),
        Origin::Url(url) => url.clone(),
    };
    let layer = receive(&spool, origin)?;
    let (media_type, diff_id) = look_at(&layer)?;
    let config = config(options, run, diff_id, &from);
    let documents = documents(
        &config,
        Descriptor::new(media_type, layer.digest.clone(), layer.size),
    );
    let files = BTreeMap::from([(layer.digest, layer.path)]);
    let naming = Naming {
        reference: options.reference.as_ref().map(stored),
        source: None,
    };
    install(store, progress, &files, &documents, &config, &[naming])?;
    Ok(documents.manifest.config.digest)
}

fn receive(spool: &Spool, origin: Origin) -> Result<Spooled, Error> {
    match origin {
        Origin::Stream(mut source) => spool.keep(&mut source, Algorithm::Sha256),
        Origin::Url(url) => {
            let mut keeping = spool.begin(Algorithm::Sha256)?;
            download(&url, &mut |piece| keeping.take(piece))?;
            Ok(keeping.finish())
        }
    }
}

/// How a layer is packed, and the digest of what is inside.
fn look_at(layer: &Spooled) -> Result<(&'static str, Digest), Error> {
    let open = || std::fs::File::open(&layer.path).map_err(crate::error::file("open", &layer.path));
    let mut start = Vec::new();
    open()?
        .take(8)
        .read_to_end(&mut start)
        .map_err(crate::error::file("read", &layer.path))?;
    let media_type = match sniff(&start).map_err(ArchiveError::Decompress)? {
        Packing::Plain => return Ok((OCI_LAYER, layer.digest.clone())),
        Packing::Gzip => OCI_LAYER_GZIP,
        Packing::Zstd => OCI_LAYER_ZSTD,
    };
    let source = std::io::BufReader::with_capacity(1 << 20, open()?);
    let mut decoder = Decoder::new(&start, source).map_err(ArchiveError::Decompress)?;
    let mut hasher = crate::Hasher::new(Algorithm::Sha256);
    let mut piece = vec![0; 256 << 10];
    loop {
        let count = decoder
            .read(&mut piece)
            .map_err(|error| ArchiveError::Tar(error.into()))?;
        if count == 0 {
            return Ok((media_type, hasher.finish()));
        }
        hasher.update(&piece[..count]);
    }
}

fn config(options: &ImportOptions, run: RunConfig, diff_id: Digest, from: &str) -> ImageConfig {
    let platform = options.platform.clone().unwrap_or_else(Platform::host);
    let created = options
        .created
        .clone()
        .or_else(|| Some(jiff::Timestamp::now().to_string()));
    let message = if options.message.is_empty() {
        format!("Imported from {from}")
    } else {
        options.message.clone()
    };
    ImageConfig {
        created: created.clone(),
        architecture: platform.architecture,
        os: platform.os,
        variant: platform.variant,
        config: run,
        rootfs: RootFs {
            kind: "layers".to_owned(),
            diff_ids: vec![diff_id],
        },
        history: vec![History {
            created,
            comment: Some(message),
            ..History::default()
        }],
        ..ImageConfig::default()
    }
}

fn documents(config: &ImageConfig, layer: Descriptor) -> Documents {
    let config = config.to_bytes();
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(OCI_MANIFEST.to_owned()),
        artifact_type: None,
        config: Descriptor::of(OCI_CONFIG, &config),
        layers: vec![layer],
        subject: None,
        annotations: BTreeMap::new(),
    };
    let bytes = manifest.to_bytes();
    let descriptor = Descriptor::of(OCI_MANIFEST, &bytes);
    let all = vec![
        (descriptor.digest.clone(), bytes),
        (manifest.config.digest.clone(), config),
    ];
    Documents {
        target: descriptor.clone(),
        descriptor,
        manifest,
        all,
    }
}

/// Applies one Dockerfile instruction, as `docker import --change` and `commit --change` do.
pub(crate) fn apply(run: &mut RunConfig, change: &str) -> Result<(), String> {
    let (word, rest) = change
        .trim()
        .split_once(char::is_whitespace)
        .ok_or("it has no argument")?;
    let rest = rest.trim();
    match word.to_ascii_uppercase().as_str() {
        "CMD" => run.cmd = Some(command(rest)?),
        "ENTRYPOINT" => run.entrypoint = Some(command(rest)?),
        "ENV" => {
            for (name, value) in pairs(rest)? {
                run.env
                    .retain(|known| known.split('=').next() != Some(name.as_str()));
                run.env.push(format!("{name}={value}"));
            }
        }
        "LABEL" => run.labels.extend(pairs(rest)?),
        "EXPOSE" => {
            for port in rest.split_whitespace() {
                let port = if port.contains('/') {
                    port.to_owned()
                } else {
                    format!("{port}/tcp")
                };
                run.exposed_ports.insert(port, Empty {});
            }
        }
        "ONBUILD" => run.on_build.push(rest.to_owned()),
        "STOPSIGNAL" => run.stop_signal = Some(rest.to_owned()),
        "USER" => run.user = rest.to_owned(),
        "VOLUME" => run
            .volumes
            .extend(list(rest)?.into_iter().map(|path| (path, Empty {}))),
        "WORKDIR" => run.working_dir = rest.to_owned(),
        "HEALTHCHECK" if rest.eq_ignore_ascii_case("NONE") => {
            run.healthcheck = Some(HealthCheck {
                test: vec!["NONE".to_owned()],
                ..HealthCheck::default()
            });
        }
        other => return Err(format!("{other} cannot be changed here")),
    }
    Ok(())
}

/// `["a", "b"]`, or a line for the shell.
fn command(text: &str) -> Result<Vec<String>, String> {
    if text.starts_with('[') {
        return serde_json::from_str(text).map_err(|error| error.to_string());
    }
    Ok(vec!["/bin/sh".to_owned(), "-c".to_owned(), text.to_owned()])
}

fn list(text: &str) -> Result<Vec<String>, String> {
    if text.starts_with('[') {
        return serde_json::from_str(text).map_err(|error| error.to_string());
    }
    Ok(text.split_whitespace().map(str::to_owned).collect())
}

/// `NAME=value NAME2="two words"`, or `NAME value`.
fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let words = words(text)?;
    let first = words.first().ok_or("it has no argument")?;
    if !first.contains('=') {
        let value = text[first.len()..].trim().to_owned();
        return Ok(vec![(first.clone(), value)]);
    }
    let pair = |word: &String| {
        let (name, value) = word.split_once('=').ok_or(format!("{word:?} has no ="))?;
        Ok((name.to_owned(), value.to_owned()))
    };
    words.iter().map(pair).collect()
}

/// Words with quotes and backslashes taken off.
fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            ('\\', Some('"') | None) => word.get_or_insert_default().extend(letters.next()),
            ('"' | '\'', None) => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (_, Some(open)) if open == letter => quote = None,
            (_, None) if letter.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed".to_owned());
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_those_of_a_dockerfile() {
        let mut run = RunConfig::default();
        for change in [
            "CMD [\"a\", \"b c\"]",
            "ENTRYPOINT echo hi",
            "ENV A=1 B=\"two words\"",
            "env A 2 3",
            "EXPOSE 80 53/udp",
            "LABEL k=v",
            "USER me",
            "WORKDIR /w",
            "VOLUME /v /w",
        ] {
            assert_eq!(apply(&mut run, change), Ok(()), "{change}");
        }
        assert_eq!(run.cmd.unwrap(), ["a", "b c"]);
        assert_eq!(run.entrypoint.unwrap(), ["/bin/sh", "-c", "echo hi"]);
        assert_eq!(run.env, ["B=two words", "A=2 3"]);
        assert_eq!(
            run.exposed_ports.keys().collect::<Vec<_>>(),
            ["53/udp", "80/tcp"]
        );
        assert_eq!(run.volumes.len(), 2);
        for wrong in ["CMD", "RUN x", "ENV A=\"1", "CMD [1]", "COPY a b"] {
            assert!(apply(&mut RunConfig::default(), wrong).is_err(), "{wrong}");
        }
    }
}
