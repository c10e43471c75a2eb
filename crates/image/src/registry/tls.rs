//! Whom to trust: the system's authorities, Mozilla's when the system has
//! none, and those of `certs.d` for one registry; client certificates from there.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;

use super::{Options, RegistryError, configuration};

/// Where distributions keep their authorities, in one file.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// After our own: where docker and podman keep theirs.
const CERTIFICATES: [&str; 2] = ["/etc/docker/certs.d", "/etc/containers/certs.d"];

/// The directory with the certificates of a registry, if somebody made one:
/// given, or the first `certs.d/HOST[:PORT]` there is.
pub(super) fn certificates_of(registry: &str, options: &Options) -> Option<PathBuf> {
    if registry.is_empty() {
        return None;
    }
    if let Some(given) = &options.certificates {
        return Some(given.clone());
    }
    let own = configuration::directory(options).join("certs.d");
    let all = [own].into_iter().chain(CERTIFICATES.map(PathBuf::from));
    all.map(|directory| directory.join(registry))
        .find(|directory| directory.is_dir())
}

/// The TLS side of a client: `directory` has the authorities and, to be shown
/// when `identity`, the client certificate of a registry.
pub(super) fn configuration(
    directory: Option<&Path>,
    verify: bool,
    identity: bool,
) -> Result<ClientConfig, RegistryError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(Path::new("ring"), &error))?;
    let builder = if verify {
        builder.with_root_certificates(roots(directory)?)
    } else {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
    };
    let mut config = match client_certificate(directory.filter(|_| identity))? {
        Some((chain, key)) => builder
            .with_client_auth_cert(chain, key)
            .map_err(|error| unusable(directory.unwrap_or(Path::new("certs.d")), &error))?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// For a client of plain HTTP: trusts nobody.
pub(super) fn none() -> Result<ClientConfig, RegistryError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(Path::new("ring"), &error))?;
    Ok(builder
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth())
}

fn roots(directory: Option<&Path>) -> Result<RootCertStore, RegistryError> {
    let mut store = RootCertStore::empty();
    let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let bundle = named
        .into_iter()
        .chain(BUNDLES.iter().map(PathBuf::from))
        .find(|path| path.is_file());
    if let Some(path) = bundle {
        store.add_parsable_certificates(read_certificates(&path)?);
    }
    if store.is_empty() {
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    for path in files(directory, "crt") {
        for certificate in read_certificates(&path)? {
            store
                .add(certificate)
                .map_err(|error| unusable(&path, &error))?;
        }
    }
    Ok(store)
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// `NAME.cert` with its `NAME.key`, as docker has them.
fn client_certificate(directory: Option<&Path>) -> Result<Option<Identity>, RegistryError> {
    let Some(path) = files(directory, "cert").into_iter().next() else {
        return Ok(None);
    };
    let key_path = path.with_extension("key");
    let key =
        PrivateKeyDer::from_pem_file(&key_path).map_err(|error| unusable(&key_path, &error))?;
    Ok(Some((read_certificates(&path)?, key)))
}

fn files(directory: Option<&Path>, extension: &str) -> Vec<PathBuf> {
    let list = directory.and_then(|dir| fs::read_dir(dir).ok());
    let paths = list
        .into_iter()
        .flatten()
        .filter_map(|found| Some(found.ok()?.path()));
    let mut paths: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .collect();
    paths.sort();
    paths
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, RegistryError> {
    let read = CertificateDer::pem_file_iter(path).map_err(|error| unusable(path, &error))?;
    read.collect::<Result<_, _>>()
        .map_err(|error| unusable(path, &error))
}

fn unusable(place: &Path, reason: &dyn std::fmt::Display) -> RegistryError {
    RegistryError::Certificates {
        place: place.display().to_string(),
        reason: reason.to_string(),
    }
}

/// For `--tls-verify=false` alone: the connection is private, but to whom is unknown.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
