//! Leaving: what a container has on its networks taken down, and with the last one the network.
//!
//! Read next: crate `engine`, `monitor/ending.rs`, which says when.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use kernel::nft::Nftables;
use kernel::play::Child;
use kernel::{Op, Script, Step};

use super::{Claim, Forwarding, IP4_FORWARDING, IP6_FORWARDING, Networks, files, play};
use crate::{Attached, Endpoint, Error, Leaving, Network, Published, bridge, firewall};

/// The extension of the lease of a container that has ended.
const LEAVING: &str = "leaving";

impl Networks {
    /// The first and quick half of [`Networks::detach`], when a container has ended: its names,
    /// ports and addresses are free again. [`Networks::finish`] does what makes the kernel wait.
    pub fn leave(&self, container: &str, attached: Attached) -> Result<Leaving, Error> {
        let endpoints = self.endpoints_of(container)?;
        let elements: Vec<_> = endpoints
            .iter()
            .flat_map(firewall::endpoint_elements)
            .collect();
        let mut firewall = None;
        if !elements.is_empty() {
            let what = "cannot take back published ports";
            let refused = |source| Error::Kernel {
                what: what.into(),
                source,
            };
            let mut nftables = Nftables::open().map_err(refused)?;
            nftables
                .remove(&self.instance.table(), &elements)
                .map_err(refused)?;
            firewall = Some(nftables);
        }
        let _lock = self.lock()?;
        for endpoint in &endpoints {
            files::rename(
                &self.lease_path(&endpoint.network_id, container),
                &self.leaving_path(&endpoint.network_id, Claim::of(endpoint)),
            )?;
        }
        files::touch(&self.state);
        Ok(Leaving {
            endpoints,
            _locks: attached.locks,
            _firewall: firewall,
        })
    }

    /// The second half: cables, and what the last container on a network leaves. Goes on after a
    /// failure and returns the first.
    pub fn finish(&self, leaving: Leaving) -> Result<(), Error> {
        let results: Vec<_> = leaving
            .endpoints
            .iter()
            .map(|endpoint| {
                self.undo(
                    endpoint,
                    &self.leaving_path(&endpoint.network_id, Claim::of(endpoint)),
                )
            })
            .collect();
        results.into_iter().collect()
    }

    /// Takes a container out of all its networks, and down what only it needed. Nothing to do is
    /// no error; goes on after a failure and returns the first.
    pub fn detach(&self, container: &str) -> Result<(), Error> {
        let undo = |endpoint: &Endpoint| {
            self.undo(endpoint, &self.lease_path(&endpoint.network_id, container))
        };
        let results: Vec<_> = self.endpoints_of(container)?.iter().map(undo).collect();
        results.into_iter().collect()
    }

    /// Leaves one network while the container runs; `process` is its first one. When it was the way
    /// out, another network becomes that, with the published ports. The caller must be the only
    /// thread of its process.
    pub fn disconnect(
        &self,
        container: &str,
        process: Child,
        network: &str,
    ) -> Result<Endpoint, Error> {
        let network = self.find(network)?;
        let lease = self.lease_path(&network.id, container);
        let Some(endpoint) = files::read::<Endpoint>(&lease)? else {
            return Err(Error::Invalid(format!(
                "container {container} is not on network {}",
                network.name
            )));
        };
        self.undo(&endpoint, &lease)?;
        if !endpoint.gateways.is_empty() {
            self.move_way_out(&endpoint, process)?;
        }
        Ok(endpoint)
    }

    /// Gives what only one endpoint of a container has to another one.
    fn move_way_out(&self, from: &Endpoint, process: Child) -> Result<(), Error> {
        for endpoint in self.endpoints_of(&from.container)? {
            let network = self.network_of(&endpoint)?;
            let Some(network) = network.filter(|network| !network.internal) else {
                continue;
            };
            let reaches = |port: &&Published| match port.host_ip {
                IpAddr::V4(_) => endpoint.ipv4.is_some(),
                IpAddr::V6(_) => endpoint.ipv6.is_some(),
            };
            let to = Endpoint {
                gateways: network.subnets.iter().map(|one| one.gateway).collect(),
                ports: from.ports.iter().filter(reaches).cloned().collect(),
                ..endpoint
            };
            let _lock = self.lock()?;
            files::write(&self.lease_path(&network.id, &to.container), &to)?;
            let mut steps = self.kernel_steps(&network, &to)?;
            steps.extend(to.forget_flows());
            steps.extend(to.way_out());
            let failed = |source| Error::Steps {
                network: network.name.clone(),
                source,
            };
            return kernel::play::play_network(&Script::new(steps), process).map_err(failed);
        }
        Ok(())
    }

    /// Takes the endpoint of a lease down, and its network when it was the last.
    pub(super) fn undo(&self, endpoint: &Endpoint, lease: &Path) -> Result<(), Error> {
        let mut steps = endpoint.undo(&self.instance.table());
        if is_leaving(lease) {
            // Its ports are free since it began to leave; another may have them by now.
            steps.retain(|step| !matches!(step.op, Op::FirewallRemove { .. }));
        }
        // Without the lock: deleting a cable waits for the kernel, and concerns nobody else.
        let undone = play(&endpoint.network, steps);
        let _lock = self.lock()?;
        self.forget(&endpoint.network_id, &endpoint.id, lease)?;
        let left = files::names(&self.endpoints_directory(&endpoint.network_id))?;
        if left.is_empty()
            && let Some(network) = self.network_of(endpoint)?
        {
            self.take_down(&network)?;
        }
        undone
    }

    /// Removes what a network without endpoints has in the kernel and below state; with the last
    /// network all that the networks have in common.
    pub(super) fn take_down(&self, network: &Network) -> Result<(), Error> {
        files::remove_tree(&self.state.join(&network.id))?;
        let mut steps = bridge::undo(network);
        match self.active()?.is_empty() {
            true => steps.extend(self.take_all_down()?),
            false => steps.push(bridge::undo_firewall(network, &self.instance.table())),
        }
        play(&network.name, steps)
    }

    /// Frees what belongs to containers that are not `alive` (full ids), unless somebody is about
    /// to; returns their ids.
    pub fn repair(&self, alive: &BTreeSet<String>) -> Result<Vec<String>, Error> {
        let mut dead = BTreeSet::new();
        for id in files::names(&self.state)? {
            let directory = self.endpoints_directory(&id);
            for name in files::names(&directory)? {
                let container = name.get(..64).unwrap_or(&name);
                let path = directory.join(&name);
                if (!is_leaving(&path) && alive.contains(container)) || !self.is_left(&path)? {
                    continue;
                }
                if let Some(endpoint) = files::read::<Endpoint>(&path)? {
                    self.undo(&endpoint, &path)?;
                    dead.insert(endpoint.container);
                }
            }
        }
        Ok(dead.into_iter().collect())
    }

    /// Whether nobody holds a lease any more. Whoever leases holds our lock until the lease itself
    /// is locked; one that is being left was locked before.
    fn is_left(&self, lease: &Path) -> Result<bool, Error> {
        let _lock = match is_leaving(lease) {
            true => None,
            false => Some(self.lock()?),
        };
        Ok(files::try_lock(lease)?.is_some())
    }

    /// The lease last, so that a crash in between leaves something that says what to repair.
    fn forget(&self, network_id: &str, endpoint_id: &str, lease: &Path) -> Result<(), Error> {
        self.forget_addresses(network_id, |claim| claim.endpoint == endpoint_id)?;
        files::remove(lease)?;
        files::touch(&self.state);
        Ok(())
    }

    fn forget_addresses(
        &self,
        network_id: &str,
        whose: impl Fn(Claim<'_>) -> bool,
    ) -> Result<(), Error> {
        for (path, holder) in files::claims(&self.addresses_directory(network_id))? {
            if whose(Claim::read(&holder)) {
                files::remove(&path)?;
            }
        }
        Ok(())
    }

    /// What an attempt to lease has left that failed, or was killed.
    pub(super) fn forget_attempt(&self, container: &str) -> Result<(), Error> {
        for id in files::names(&self.state)? {
            self.forget_addresses(&id, |claim| {
                claim.container == container && !self.leaving_path(&id, claim).exists()
            })?;
            files::remove(&self.lease_path(&id, container))?;
        }
        Ok(())
    }

    /// The endpoint that has claimed an address, when its container has ended.
    pub(super) fn leaving(
        &self,
        network_id: &str,
        claim: Claim<'_>,
    ) -> Result<Option<Endpoint>, Error> {
        files::read(&self.leaving_path(network_id, claim))
    }

    fn leaving_path(&self, network_id: &str, claim: Claim<'_>) -> PathBuf {
        let id = claim.endpoint.get(..12).unwrap_or(claim.endpoint);
        let name = format!("{}.{id}.{LEAVING}", claim.container);
        self.endpoints_directory(network_id).join(name)
    }

    /// What the last container leaves: no table, and forwarding as it was. When somebody else has
    /// rules for forwarded packets by now, it stays on: they may have come to count on it.
    fn take_all_down(&self) -> Result<Vec<Step>, Error> {
        let table = self.instance.table();
        let why = "no container is on any network";
        let mut steps = Vec::new();
        if let Some(before) = files::read::<Forwarding>(&self.forwarding_path())?
            && !self.others_forward(&table)?
        {
            let off = |name: &str| {
                let (name, value) = (name.into(), "0".into());
                Step::host(Op::Sysctl { name, value }, why)
            };
            steps.extend((!before.ip4).then(|| off(IP4_FORWARDING)));
            let ip6 = !before.ip6 && files::is_on(IP6_FORWARDING);
            steps.extend(ip6.then(|| off(IP6_FORWARDING)));
        }
        files::remove(&self.forwarding_path())?;
        steps.push(Step::host(Op::FirewallDelete { table }, why));
        Ok(steps)
    }

    fn others_forward(&self, table: &str) -> Result<bool, Error> {
        let asked = Nftables::open().and_then(|mut nftables| nftables.others_forward(table));
        asked.map_err(|source| Error::Kernel {
            what: "cannot list the host's firewall".into(),
            source,
        })
    }
}

fn is_leaving(lease: &Path) -> bool {
    lease.extension() == Some(LEAVING.as_ref())
}
