//! From a tag or digest to the manifest and config for one platform.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Pull;
use crate::arrival::Documents;
use crate::{
    Descriptor, Document, Error, Event, Image, ImageConfig, Index, Original, Platform, Verifier,
};

const NESTING_LIMIT: usize = 4;

impl Pull<'_, '_> {
    fn platform(&self) -> Platform {
        self.options.platform.clone().unwrap_or_else(Platform::host)
    }

    /// The image, when the store has all of it and the registry still means it.
    pub(super) async fn already_here(&self) -> Result<Option<Image>, Error> {
        let Ok(image) = self.store.find(&self.reference.to_string()) else {
            return Ok(None);
        };
        let runs_here = self.platform().distance(&image.config.platform()).is_some();
        let complete = image
            .layers
            .iter()
            .all(|layer| self.store.has_blob(&layer.blob));
        if !runs_here || !complete {
            return Ok(None);
        }
        if self.reference.digest().is_some() {
            return Ok(Some(image));
        }
        let now = self.session.digest_of(&self.reference.wanted()).await;
        Ok((now.as_ref() == Some(&image.target.digest)).then_some(image))
    }

    /// Follows indexes down to one manifest.
    pub(super) async fn resolve(&self, wanted: &str) -> Result<Documents, Error> {
        let top = self.session.manifest(wanted, None).await?;
        let target = top.descriptor.clone();
        let mut documents = Vec::new();
        let mut current = top;
        for _ in 0..NESTING_LIMIT {
            documents.push((current.descriptor.digest.clone(), current.bytes));
            match current.document {
                Document::Manifest(manifest) => {
                    let descriptor = current.descriptor;
                    return Ok(Documents {
                        target,
                        descriptor,
                        manifest,
                        all: documents,
                    });
                }
                Document::Index(index) => {
                    let chosen = choose(&index, &self.platform())?;
                    current = self.child(chosen).await?;
                }
            }
        }
        Err(Error::NotAnImage {
            digest: target.digest,
            reason: format!("it is an index more than {NESTING_LIMIT} deep"),
        })
    }

    /// A manifest named by its parent: often here already, or inside the parent.
    pub(super) async fn child(&self, descriptor: &Descriptor) -> Result<Original, Error> {
        let inline = || embedded(descriptor);
        let here = self
            .store
            .read_blob(&descriptor.digest)
            .ok()
            .or_else(inline);
        let Some(bytes) = here else {
            return self
                .session
                .manifest(&descriptor.digest.to_string(), Some(descriptor))
                .await;
        };
        Original::read(descriptor.digest.clone(), &descriptor.media_type, bytes)
    }

    /// The config, kept among the documents, when it is one for this platform.
    pub(super) async fn config(&self, resolved: &mut Documents) -> Result<ImageConfig, Error> {
        let descriptor = resolved.manifest.config.clone();
        let here = self.store.read_blob(&descriptor.digest).ok();
        let bytes = match here.or_else(|| embedded(&descriptor)) {
            Some(bytes) => bytes,
            None => self.session.small_blob(&descriptor).await?,
        };
        let config = ImageConfig::parse(&bytes).map_err(|source| Error::Document {
            what: "config",
            digest: descriptor.digest.clone(),
            source,
        })?;
        self.check(resolved, &config)?;
        resolved.all.push((descriptor.digest, bytes));
        Ok(config)
    }

    fn check(&self, resolved: &Documents, config: &ImageConfig) -> Result<(), Error> {
        resolved
            .manifest
            .check(&resolved.descriptor.digest, config)?;
        let (wanted, found) = (self.platform(), config.platform());
        if config.os.is_empty() || wanted.distance(&found).is_some() {
            return Ok(());
        }
        if self.options.platform.is_some() {
            return Err(Error::OtherPlatform {
                wanted: wanted.to_string(),
                found: found.to_string(),
            });
        }
        let text = format!("the image is for {found}, this machine is {wanted}");
        self.progress.event(Event::Note { text: &text });
        Ok(())
    }
}

/// The content inside a descriptor, if it is there and right.
fn embedded(descriptor: &Descriptor) -> Option<Vec<u8>> {
    let bytes = STANDARD.decode(descriptor.data.as_ref()?).ok()?;
    let mut verifier = Verifier::new(&descriptor.digest, descriptor.size);
    verifier
        .update(&bytes)
        .and_then(|()| verifier.finish())
        .ok()?;
    Some(bytes)
}

/// The entry that runs best on `platform`; attestations never do.
pub(crate) fn choose<'a>(index: &'a Index, platform: &Platform) -> Result<&'a Descriptor, Error> {
    let runnable = || index.manifests.iter().filter(|entry| entry.is_runnable());
    let fitting = runnable().filter_map(|entry| {
        // Without a platform anything may be meant: better than nothing at all.
        let distance = match &entry.platform {
            Some(offered) => platform.distance(offered)?,
            None => u32::MAX,
        };
        Some((distance, entry))
    });
    let best = fitting.min_by_key(|(distance, _)| *distance);
    best.map(|(_, entry)| entry).ok_or_else(|| {
        let offered = runnable().filter_map(|entry| entry.platform.clone());
        Error::no_platform(platform, &offered.collect::<Vec<_>>())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media_type::OCI_MANIFEST;

    fn index(platforms: &[&str]) -> Index {
        let entry = |text: &&str| {
            let mut descriptor = Descriptor::of(OCI_MANIFEST, text.as_bytes());
            descriptor.platform = Some(text.parse().unwrap());
            descriptor
        };
        Index {
            schema_version: 2,
            media_type: None,
            artifact_type: None,
            manifests: platforms.iter().map(entry).collect(),
            subject: None,
            annotations: std::collections::BTreeMap::new(),
        }
    }

    fn chosen(platforms: &[&str], wanted: &str) -> String {
        match choose(&index(platforms), &wanted.parse().unwrap()) {
            Ok(entry) => entry.platform.as_ref().unwrap().to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_nearest_platform_is_chosen() {
        let all = [
            "linux/arm/v5",
            "linux/arm/v7",
            "linux/amd64",
            "unknown/unknown",
            "linux/arm64",
        ];
        assert_eq!(chosen(&all, "linux/amd64"), "linux/amd64");
        assert_eq!(chosen(&all, "linux/arm/v6"), "linux/arm/v5");
        assert_eq!(chosen(&all, "linux/arm/v7"), "linux/arm/v7");
        assert_eq!(
            chosen(&["linux/arm64", "windows/amd64"], "linux/riscv64"),
            "no image for linux/riscv64 here; there are: linux/arm64, windows/amd64"
        );
        assert!(chosen(&["unknown/unknown"], "linux/amd64").ends_with("there are: none"));
    }

    #[test]
    fn embedded_content_counts_only_when_it_is_right() {
        let mut descriptor = Descriptor::of(OCI_MANIFEST, b"{}");
        descriptor.data = Some("e30=".to_owned());
        assert_eq!(embedded(&descriptor), Some(b"{}".to_vec()));
        descriptor.data = Some("e31=".to_owned());
        assert_eq!(embedded(&descriptor), None);
    }
}
