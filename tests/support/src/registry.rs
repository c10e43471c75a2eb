//! Debian's docker-registry inside a host's network namespace, where it is `localhost:5000`.
//! A [`Host::neighbour`] reaches it too, at 192.0.2.1.
//!
//! [`Host::fixtures`] serves the images of `scripts/fixtures` (read-only, so any number of tests share the files);
//! [`Host::registry`] serves an empty directory, for pushing.

use std::path::{Path, PathBuf};

use crate::background::Background;
use crate::certificate::{Authority, Certificate};
use crate::host::Host;
use crate::need::fixtures;

impl Host {
    /// Serves the images of `scripts/fixtures` and yields the address for image names: `localhost:5000`.
    ///
    /// # Panics
    /// When the registry does not start.
    #[track_caller]
    pub fn fixtures(&self) -> &'static str {
        self.serve(&fixtures().join("registry"), 5000, "");
        "localhost:5000"
    }

    /// Serves an empty registry to push to, at `localhost:PORT`.
    ///
    /// `extra` is added to its configuration file, for example an `auth:` section.
    ///
    /// # Panics
    /// When the registry does not start.
    #[track_caller]
    pub fn registry(&self, port: u16, extra: &str) -> String {
        self.serve(&self.storage(port), port, extra);
        format!("localhost:{port}")
    }

    /// As [`Host::registry`], over TLS; clients must show a certificate of `clients` when there is one.
    ///
    /// # Panics
    /// When the registry does not start.
    #[track_caller]
    pub fn secure_registry(
        &self,
        port: u16,
        certificate: &Certificate,
        clients: Option<&Authority>,
        extra: &str,
    ) -> String {
        let clients = clients.map_or(String::new(), |authority| {
            format!(", clientcas: ['{}']", authority.certificate().display())
        });
        let tls = format!(
            ", tls: {{certificate: '{}', key: '{}'{clients}}}",
            certificate.certificate.display(),
            certificate.key.display()
        );
        self.start(&self.storage(port), port, &tls, extra);
        format!("localhost:{port}")
    }

    fn storage(&self, port: u16) -> PathBuf {
        let storage = self.directory().join(format!("registry-{port}"));
        std::fs::create_dir_all(&storage).expect("the host's directory can be written");
        storage
    }

    #[track_caller]
    fn serve(&self, storage: &Path, port: u16, extra: &str) {
        self.start(storage, port, "", extra);
    }

    #[track_caller]
    fn start(&self, storage: &Path, port: u16, tls: &str, extra: &str) {
        let configuration = self.write(
            &format!("registry-{port}.yml"),
            format!(
                "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage: {{filesystem: {{rootdirectory: '{}'}}, delete: {{enabled: true}}}}\nhttp: {{addr: ':{port}', secret: x{tls}}}\n{extra}",
                storage.display()
            ),
        );
        let mut command = self.command(fixtures().join("bin/docker-registry"));
        command.arg("serve").arg(configuration);
        let registry = Background::start_silent(command);
        crate::eventually("the registry answers", 20, || {
            // 52 and 56: it wants TLS, and said so or closed.
            let script = format!("curl -sS -o /dev/null http://localhost:{port}/v2/");
            matches!(self.shell(&script).code, 0 | 52 | 56).then_some(())
        });
        self.registries
            .lock()
            .expect("no test panics while it holds this lock")
            .push(registry);
    }
}
