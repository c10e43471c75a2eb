//! [`Networks`]: definitions under `root`, leases under `state`, and what changes them.
//!
//! ```text
//! ROOT/networks/NAME.json                        a definition, kept over reboots
//! STATE/networks                                 locked while leases change
//! STATE/networks/forwarding                      whether this host was a router before us
//! STATE/networks/ID/endpoints/CONTAINER.json     a lease
//! STATE/networks/ID/endpoints/CONTAINER.*.leaving  a lease whose container has ended
//! STATE/networks/ID/addresses/ADDRESS            a symlink that says whose it is
//! ```
//!
//! An address is taken by making its symlink: the kernel lets only one process win, and a crash
//! leaves a name that says whose it was. Here are the paths
//! and locks. Read next: `state/definitions.rs`, `state/joining.rs`, `state/leaving.rs`.

use std::path::{Path, PathBuf};

use kernel::{Script, Step};
use serde::{Deserialize, Serialize};

use crate::instance::Instance;
use crate::{Endpoint, Error, Network, bridge, firewall};

mod definitions;
mod files;
mod joining;
mod leaving;

const IP4_FORWARDING: &str = "net.ipv4.ip_forward";
const IP6_FORWARDING: &str = "net.ipv6.conf.all.forwarding";

/// Whether the host forwarded packets before we made it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Forwarding {
    ip4: bool,
    ip6: bool,
}

/// All networks of one lighter (one pair of root and state directories).
#[derive(Clone, Debug)]
pub struct Networks {
    root: PathBuf,
    state: PathBuf,
    instance: Instance,
}

impl Networks {
    /// Uses the networks below these two directories; makes nothing yet.
    pub fn open(root: &Path, state: &Path) -> Networks {
        Networks {
            root: root.join("networks"),
            state: state.join("networks"),
            instance: Instance::new(root, state),
        }
    }

    /// The name of the firewall table.
    pub fn table_name(&self) -> String {
        self.instance.table()
    }

    /// The endpoints on a network.
    pub fn endpoints(&self, network: &Network) -> Result<Vec<Endpoint>, Error> {
        files::endpoints(&self.endpoints_directory(&network.id))
    }

    pub(crate) fn endpoints_by_id(&self, network_id: &str) -> Result<Vec<Endpoint>, Error> {
        files::endpoints(&self.endpoints_directory(network_id))
    }

    /// The ids of the networks that a container is on.
    pub(crate) fn networks_of(&self, container: &str) -> Result<Vec<String>, Error> {
        let mut ids = files::names(&self.state)?;
        ids.retain(|id| self.lease_path(id, container).exists());
        Ok(ids)
    }

    /// The endpoints of a container.
    pub fn endpoints_of(&self, container: &str) -> Result<Vec<Endpoint>, Error> {
        let mut endpoints = Vec::new();
        for id in self.networks_of(container)? {
            endpoints.extend(files::read::<Endpoint>(&self.lease_path(&id, container))?);
        }
        endpoints.sort_by(|one, other| one.interface.cmp(&other.interface));
        Ok(endpoints)
    }

    /// Brings a running container's firewall elements back, and the table with them.
    pub fn reapply(&self, container: &str) -> Result<(), Error> {
        for endpoint in self.endpoints_of(container)? {
            let Some(network) = self.network_of(&endpoint)? else {
                continue;
            };
            play(&network.name, self.kernel_steps(&network, &endpoint)?)?;
        }
        Ok(())
    }

    /// What a network and one endpoint on it have in the kernel of the host, but for the cable.
    fn kernel_steps(&self, network: &Network, endpoint: &Endpoint) -> Result<Vec<Step>, Error> {
        let table = firewall::table(&self.instance.table(), !self.forwarding()?.ip4);
        let elements = firewall::endpoint_elements(endpoint);
        let steps = bridge::steps(network, &table, elements, files::host_has_ipv6());
        Ok(steps)
    }

    /// The directory whose time changes whenever a container joins or leaves a network.
    pub(crate) fn state_directory(&self) -> &Path {
        &self.state
    }

    pub(crate) fn endpoints_directory(&self, network_id: &str) -> PathBuf {
        self.state.join(network_id).join("endpoints")
    }

    fn addresses_directory(&self, network_id: &str) -> PathBuf {
        self.state.join(network_id).join("addresses")
    }

    fn lease_path(&self, network_id: &str, container: &str) -> PathBuf {
        self.endpoints_directory(network_id)
            .join(format!("{container}.json"))
    }

    fn lock(&self) -> Result<std::fs::File, Error> {
        files::lock(&self.state)
    }

    /// The ids of networks that containers are on.
    fn active(&self) -> Result<Vec<String>, Error> {
        let mut ids = files::names(&self.state)?;
        ids.retain(|id| {
            files::names(&self.endpoints_directory(id)).is_ok_and(|leases| !leases.is_empty())
        });
        Ok(ids)
    }

    /// How forwarding was before the first container; written down, because it changes with it.
    fn forwarding(&self) -> Result<Forwarding, Error> {
        let path = self.forwarding_path();
        if let Some(before) = files::read(&path)? {
            return Ok(before);
        }
        let now = Forwarding {
            ip4: files::is_on(IP4_FORWARDING),
            ip6: files::is_on(IP6_FORWARDING),
        };
        files::write(&path, &now)?;
        Ok(now)
    }

    fn forwarding_path(&self) -> PathBuf {
        self.state.join("forwarding")
    }
}

/// Who has an address: the text of its symlink.
#[derive(Clone, Copy)]
struct Claim<'a> {
    container: &'a str,
    endpoint: &'a str,
}

impl<'a> Claim<'a> {
    fn of(endpoint: &'a Endpoint) -> Claim<'a> {
        Claim {
            container: &endpoint.container,
            endpoint: &endpoint.id,
        }
    }

    fn read(text: &'a str) -> Claim<'a> {
        let (container, endpoint) = text.split_once(' ').unwrap_or((text, ""));
        Claim {
            container,
            endpoint,
        }
    }
}

impl std::fmt::Display for Claim<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} {}", self.container, self.endpoint)
    }
}

/// Plays steps of the host that do not need each other; goes on after a failure, returns the first.
fn play(network: &str, steps: Vec<Step>) -> Result<(), Error> {
    let failures = kernel::play::play_after(&Script::new(steps), 0);
    match failures.into_iter().next() {
        Some(source) => Err(Error::Steps {
            network: network.into(),
            source,
        }),
        None => Ok(()),
    }
}

fn display_name(endpoint: &Endpoint) -> String {
    endpoint
        .names
        .first()
        .unwrap_or(&endpoint.container)
        .clone()
}
