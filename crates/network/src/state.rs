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
//! leaves a name that says whose it was. Read next: `state/files.rs`, `endpoint.rs`.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use kernel::netlink::{Cidr, Netlink};
use kernel::nft::Nftables;
use kernel::play::Child;
use kernel::{Op, Script, Step};
use serde::{Deserialize, Serialize};

use crate::instance::{self, Instance, hash};
use crate::network::wanted_bridge;
use crate::{
    Attached, Definition, Driver, Endpoint, Error, Leaving, Network, Publish, Published,
    Reservation, Subnet, Wish, bridge, firewall, ipam, port,
};

mod files;

/// The networks that nobody creates.
const PREDEFINED: [(&str, Driver); 3] = [
    ("bridge", Driver::Bridge),
    ("host", Driver::Host),
    ("none", Driver::None),
];

/// The extension of the lease of a container that has ended.
const LEAVING: &str = "leaving";

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

    // ---- definitions ------------------------------------------------------------------------

    /// All networks by name, `bridge`, `host` and `none` included.
    pub fn list(&self) -> Result<Vec<Network>, Error> {
        for (name, _) in PREDEFINED {
            self.find(name)?;
        }
        self.definitions()
    }

    /// The network with this name, this id, or the only one whose id starts so.
    pub fn find(&self, name_or_id: &str) -> Result<Network, Error> {
        if let Some(network) = self.definition(name_or_id)? {
            return Ok(network);
        }
        if let Some((name, driver)) = PREDEFINED.into_iter().find(|(name, _)| *name == name_or_id) {
            return self.predefine(name, driver);
        }
        let mut found = self.definitions()?;
        found.retain(|network| !name_or_id.is_empty() && network.id.starts_with(name_or_id));
        match (found.pop(), found.is_empty()) {
            (Some(network), true) => Ok(network),
            (Some(_), false) => Err(Error::Invalid(format!("network {name_or_id} is ambiguous"))),
            (None, _) => Err(Error::NotFound(name_or_id.into())),
        }
    }

    /// Makes a network. Nothing of it is in the kernel before the first container joins.
    pub fn create(&self, definition: Definition) -> Result<Network, Error> {
        definition.check()?;
        if PREDEFINED.iter().any(|(name, _)| *name == definition.name)
            || self.definition(&definition.name)?.is_some()
        {
            return Err(Error::Exists(definition.name));
        }
        let _lock = self.lock()?;
        let id = hash(&[&files::nonce(), &definition.name]);
        let network = Network {
            subnets: self.subnets(&definition, &id)?,
            bridge: match wanted_bridge(&definition) {
                Some(bridge) => self.unused_bridge(bridge)?,
                None => self.instance.bridge(&definition.name, &id),
            },
            id,
            name: definition.name,
            driver: definition.driver,
            created: jiff::Timestamp::now().to_string(),
            internal: definition.internal,
            ipv6: definition.ipv6,
            attachable: definition.attachable,
            options: definition.options,
            labels: definition.labels,
        };
        match files::create(&self.definition_path(&network.name), &network)? {
            true => Ok(network),
            false => Err(Error::Exists(network.name)),
        }
    }

    /// Removes a network; fails with [`Error::InUse`] while containers are on it.
    pub fn remove(&self, name_or_id: &str) -> Result<Network, Error> {
        let network = self.find(name_or_id)?;
        if PREDEFINED.iter().any(|(name, _)| *name == network.name) {
            return Err(Error::Predefined(network.name));
        }
        let _lock = self.lock()?;
        let endpoints = self.endpoints(&network)?;
        if !endpoints.is_empty() {
            let containers = endpoints.iter().map(display_name).collect();
            return Err(Error::InUse {
                network: network.name,
                containers,
            });
        }
        self.take_down(&network)?;
        files::remove(&self.definition_path(&network.name))?;
        Ok(network)
    }

    fn definition_path(&self, name: &str) -> PathBuf {
        self.root.join(format!("{name}.json"))
    }

    fn definition(&self, name: &str) -> Result<Option<Network>, Error> {
        // A name with a slash in it is no name, and would be another path.
        if name.is_empty() || name.contains('/') || name.starts_with('.') {
            return Ok(None);
        }
        files::read(&self.definition_path(name))
    }

    fn definitions(&self) -> Result<Vec<Network>, Error> {
        let names = files::names(&self.root)?;
        let read = |name: &String| files::read(&self.root.join(name)).transpose();
        names
            .iter()
            .filter(|name| name.ends_with(".json"))
            .filter_map(read)
            .collect()
    }

    /// Writes a network down that everybody expects to be there.
    fn predefine(&self, name: &str, driver: Driver) -> Result<Network, Error> {
        let _lock = self.lock()?;
        let id = self.instance.predefined_id(name);
        let is_bridge = driver == Driver::Bridge;
        let network = Network {
            bridge: if is_bridge {
                self.instance.bridge(name, &id)
            } else {
                String::new()
            },
            subnets: if is_bridge {
                vec![self.chosen_subnet(None)?]
            } else {
                Vec::new()
            },
            id,
            name: name.into(),
            driver,
            created: jiff::Timestamp::now().to_string(),
            internal: false,
            ipv6: false,
            attachable: false,
            options: Default::default(),
            labels: Default::default(),
        };
        let path = self.definition_path(name);
        files::create(&path, &network)?;
        Ok(files::read(&path)?.unwrap_or(network))
    }

    fn subnets(&self, definition: &Definition, id: &str) -> Result<Vec<Subnet>, Error> {
        let mut subnets = Vec::new();
        for wish in definition
            .subnets
            .iter()
            .filter(|wish| wish.subnet.is_some())
        {
            let Some(subnet) = wish.subnet else { continue };
            self.must_be_free(subnet)?;
            let first = subnet
                .nth(1)
                .ok_or_else(|| Error::Invalid(format!("subnet {subnet} is too small")))?;
            subnets.push(Subnet {
                subnet,
                gateway: wish.gateway.unwrap_or(first),
                range: wish.range,
                reserved: wish.reserved.clone(),
                chosen: false,
            });
        }
        let has = |subnets: &[Subnet], ipv4| {
            subnets
                .iter()
                .any(|one| one.subnet.address.is_ipv4() == ipv4)
        };
        if !has(&subnets, true) {
            subnets.insert(0, self.chosen_subnet(None)?);
        }
        if definition.ipv6 && !has(&subnets, false) {
            subnets.push(with_first_as_gateway(ipam::choose_subnet6(id)));
        }
        Ok(subnets)
    }

    /// Another network's subnet must not overlap; routes may, the person asked for it.
    fn must_be_free(&self, subnet: Cidr) -> Result<(), Error> {
        for network in self.definitions()? {
            if network
                .subnets
                .iter()
                .any(|other| other.subnet.overlaps(subnet))
            {
                return Err(Error::Overlap {
                    subnet,
                    with: format!("network {}", network.name),
                });
            }
        }
        Ok(())
    }

    /// A subnet that no route of the host, no address and no other network has.
    fn chosen_subnet(&self, instead_of: Option<&Network>) -> Result<Subnet, Error> {
        let mut taken = self.taken_by_host()?;
        let others = self
            .definitions()?
            .into_iter()
            .filter(|other| Some(&other.id) != instead_of.map(|own| &own.id));
        taken.extend(
            others
                .flat_map(|other| other.subnets)
                .map(|subnet| subnet.subnet),
        );
        ipam::choose_subnet(&taken).map(with_first_as_gateway)
    }

    fn taken_by_host(&self) -> Result<Vec<Cidr>, Error> {
        let refused = |source| Error::Kernel {
            what: "cannot list the host's routes".into(),
            source,
        };
        let mut netlink = Netlink::open().map_err(refused)?;
        let mut taken = netlink.routes().map_err(refused)?;
        taken.extend(
            netlink
                .addresses()
                .map_err(refused)?
                .into_iter()
                .map(|(_, address)| address),
        );
        taken.extend(files::host_resolvers());
        Ok(taken)
    }

    fn unused_bridge(&self, bridge: String) -> Result<String, Error> {
        let taken = self
            .definitions()?
            .iter()
            .any(|other| other.bridge == bridge)
            || Netlink::open()
                .and_then(|mut netlink| netlink.index(&bridge))
                .is_ok();
        match taken {
            true => Err(Error::Invalid(format!(
                "an interface {bridge} exists already"
            ))),
            false => Ok(bridge),
        }
    }

    // ---- leases -----------------------------------------------------------------------------

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

    /// Leases a place in each network for a container, and its ports: all of it or nothing.
    pub fn attach(
        &self,
        container: &str,
        wishes: &[Wish],
        ports: &[Publish],
    ) -> Result<Attached, Error> {
        // Left over from a run of the same container that nobody cleaned up after.
        self.detach(container)?;
        let networks = wishes
            .iter()
            .map(|wish| self.joinable(&wish.network))
            .collect::<Result<Vec<_>, _>>()?;
        let _lock = self.lock()?;
        self.forget_attempt(container)?;
        let leased = self.lease_all(container, wishes, networks, ports);
        if leased.is_err() {
            self.forget_attempt(container)?;
        }
        leased
    }

    fn lease_all(
        &self,
        container: &str,
        wishes: &[Wish],
        networks: Vec<Network>,
        ports: &[Publish],
    ) -> Result<Attached, Error> {
        let mut attached = Attached {
            endpoints: Vec::new(),
            networks: Vec::new(),
            locks: Vec::new(),
            reservation: Reservation::default(),
            table: firewall::table(&self.instance.table(), !self.forwarding()?.ip4),
            has_ipv6: files::host_has_ipv6(),
        };
        let way_out = way_out(wishes, &networks);
        for (at, (wish, network)) in wishes.iter().zip(networks).enumerate() {
            let network = self.settle(network)?;
            let interface = wish.interface.clone().unwrap_or_else(|| format!("eth{at}"));
            let mut endpoint = self.lease(container, &network, wish, interface)?;
            if way_out == Some(at) {
                endpoint.gateways = network
                    .subnets
                    .iter()
                    .map(|subnet| subnet.gateway)
                    .collect();
                endpoint.ports = publish(&network, &endpoint, ports, &mut attached.reservation)
                    .map_err(|error| self.name_container(error))?;
            }
            let path = self.lease_path(&network.id, container);
            files::write(&path, &endpoint)?;
            attached.locks.extend(files::try_lock(&path)?);
            attached.networks.push(network);
            attached.endpoints.push(endpoint);
        }
        files::touch(&self.state);
        Ok(attached)
    }

    /// The network, if a container can have an endpoint on it.
    fn joinable(&self, name: &str) -> Result<Network, Error> {
        let network = self.find(name)?;
        match network.driver {
            Driver::Bridge => Ok(network),
            _ => Err(Error::Invalid(format!(
                "network {name} cannot be joined beside others"
            ))),
        }
    }

    /// Chooses a subnet again when the host got a route to it since, and nobody is on the network.
    fn settle(&self, network: Network) -> Result<Network, Error> {
        let Some(old) = network
            .subnets
            .iter()
            .position(|subnet| subnet.chosen && subnet.subnet.address.is_ipv4())
        else {
            return Ok(network);
        };
        let used = !files::names(&self.endpoints_directory(&network.id))?.is_empty();
        let there = || {
            Netlink::open()
                .and_then(|mut netlink| netlink.index(&network.bridge))
                .is_ok()
        };
        if used
            || there()
            || !self
                .taken_by_host()?
                .iter()
                .any(|taken| taken.overlaps(network.subnets[old].subnet))
        {
            return Ok(network);
        }
        let mut network = network;
        network.subnets[old] = self.chosen_subnet(Some(&network))?;
        files::write(&self.definition_path(&network.name), &network)?;
        Ok(network)
    }

    fn lease(
        &self,
        container: &str,
        network: &Network,
        wish: &Wish,
        interface: String,
    ) -> Result<Endpoint, Error> {
        if !crate::network::is_interface_name(&interface) {
            return Err(Error::Invalid(format!(
                "\"{interface}\" cannot be the name of an interface"
            )));
        }
        let id = hash(&[container, &network.id, &files::nonce()]);
        let claim = Claim {
            container,
            endpoint: &id,
        };
        let ipv4 = self.lease_address(claim, network, true, wish.ipv4.map(IpAddr::V4))?;
        let ipv6 = self.lease_address(claim, network, false, wish.ipv6.map(IpAddr::V6))?;
        let mut names = wish.names.clone();
        names.extend(container.get(..12).map(str::to_owned));
        Ok(Endpoint {
            container: container.into(),
            network: network.name.clone(),
            network_id: network.id.clone(),
            interface,
            host_interface: instance::host_interface(&id),
            mac: wish
                .mac
                .unwrap_or_else(|| ipam::mac_for(ipv4.map(|cidr| cidr.address), &id)),
            ipv4,
            ipv6,
            id,
            gateways: Vec::new(),
            ports: Vec::new(),
            names,
        })
    }

    fn lease_address(
        &self,
        claim: Claim<'_>,
        network: &Network,
        ipv4: bool,
        wanted: Option<IpAddr>,
    ) -> Result<Option<Cidr>, Error> {
        let Some(subnet) = network.subnet(ipv4) else {
            return match wanted {
                Some(address) => Err(Error::Invalid(format!(
                    "network {} has no subnet for {address}",
                    network.name
                ))),
                None => Ok(None),
            };
        };
        let directory = self.state.join(&network.id).join("addresses");
        let address = match wanted {
            Some(address) => claim_wanted(&directory, claim, network, subnet, address)?,
            None => claim_any(&directory, claim, network, subnet)?,
        };
        Ok(Cidr::new(address, subnet.subnet.prefix))
    }

    /// The first and quick half of [`Networks::detach`], when a container has ended: its names and
    /// ports are free again. [`Networks::finish`] does what makes the kernel wait.
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
                &self.leaving_path(endpoint),
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
            .map(|endpoint| self.undo(endpoint, &self.leaving_path(endpoint)))
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

    /// Takes the endpoint of a lease down, and its network when it was the last.
    fn undo(&self, endpoint: &Endpoint, lease: &Path) -> Result<(), Error> {
        let mut steps = endpoint.undo(&self.instance.table());
        if lease.extension() == Some(LEAVING.as_ref()) {
            // Its ports are free since it began to leave; another may have them by now.
            steps.retain(|step| !matches!(step.op, Op::FirewallRemove { .. }));
        }
        // Without the lock: deleting a cable waits for the kernel, and concerns nobody else.
        let undone = play(&endpoint.network, steps);
        let _lock = self.lock()?;
        self.forget(&endpoint.network_id, &endpoint.id, lease)?;
        let left = files::names(&self.endpoints_directory(&endpoint.network_id))?;
        if left.is_empty()
            && let Some(network) = self.definition(&endpoint.network)?
        {
            self.take_down(&network)?;
        }
        undone
    }

    /// Removes what a network without endpoints has in the kernel and below state; with the last
    /// network all that the networks have in common.
    fn take_down(&self, network: &Network) -> Result<(), Error> {
        let mut steps = bridge::undo(network, &self.instance.table());
        files::remove_tree(&self.state.join(&network.id))?;
        if self.active()?.is_empty() {
            steps.extend(self.take_all_down()?);
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
                let leaving = name.ends_with(LEAVING);
                let path = directory.join(&name);
                if (!leaving && alive.contains(container)) || !self.is_left(&path)? {
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

    /// Whether nobody holds a lease any more. With the lock, because whoever leases holds it until
    /// the lease itself is locked.
    fn is_left(&self, lease: &Path) -> Result<bool, Error> {
        let _lock = self.lock()?;
        Ok(files::try_lock(lease)?.is_some())
    }

    // ---- while a container runs -------------------------------------------------------------

    /// Joins one more network while the container runs; `process` is its first one. The caller must
    /// be the only thread of its process.
    pub fn connect(&self, container: &str, process: Child, wish: Wish) -> Result<Endpoint, Error> {
        let network = self.joinable(&wish.network)?;
        let joined = self.endpoints_of(container)?;
        if joined
            .iter()
            .any(|endpoint| endpoint.network_id == network.id)
        {
            return Err(Error::Invalid(format!(
                "container {container} is already on network {}",
                network.name
            )));
        }
        let used = |name: &String| joined.iter().any(|endpoint| endpoint.interface == *name);
        let interface = wish.interface.clone().or_else(|| {
            (0..)
                .map(|number| format!("eth{number}"))
                .find(|name| !used(name))
        });
        let attached = {
            let _lock = self.lock()?;
            let wish = Wish { interface, ..wish };
            self.lease_all(container, &[wish], vec![network], &[])?
        };
        let script = Script::new(attached.joining_steps());
        let played = kernel::play::play_network(&script, process);
        let Some(endpoint) = attached.endpoints.into_iter().next() else {
            return Err(Error::NotFound(container.into()));
        };
        let Err(source) = played else {
            return Ok(endpoint);
        };
        self.undo(&endpoint, &self.lease_path(&endpoint.network_id, container))?;
        Err(Error::Steps {
            network: endpoint.network,
            source,
        })
    }

    /// Leaves one network while the container runs.
    pub fn disconnect(&self, container: &str, network: &str) -> Result<(), Error> {
        let network = self.find(network)?;
        match files::read::<Endpoint>(&self.lease_path(&network.id, container))? {
            Some(endpoint) => self.undo(&endpoint, &self.lease_path(&network.id, container)),
            None => Err(Error::Invalid(format!(
                "container {container} is not on network {}",
                network.name
            ))),
        }
    }

    /// Brings a running container's firewall elements back, and the table with them.
    pub fn reapply(&self, container: &str) -> Result<(), Error> {
        for endpoint in self.endpoints_of(container)? {
            let Some(network) = self.definition(&endpoint.network)? else {
                continue;
            };
            let table = firewall::table(&self.instance.table(), !self.forwarding()?.ip4);
            let elements = firewall::endpoint_elements(&endpoint);
            play(
                &network.name,
                bridge::steps(&network, &table, elements, files::host_has_ipv6()),
            )?;
        }
        Ok(())
    }

    // ---- paths and locks --------------------------------------------------------------------

    /// The directory whose time changes whenever a container joins or leaves a network.
    pub(crate) fn state_directory(&self) -> &Path {
        &self.state
    }

    pub(crate) fn endpoints_directory(&self, network_id: &str) -> PathBuf {
        self.state.join(network_id).join("endpoints")
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
        for (path, holder) in files::claims(&self.state.join(network_id).join("addresses"))? {
            if whose(Claim::read(&holder)) {
                files::remove(&path)?;
            }
        }
        Ok(())
    }

    /// What an attempt to lease has left that failed, or was killed.
    fn forget_attempt(&self, container: &str) -> Result<(), Error> {
        for id in files::names(&self.state)? {
            let leaving: Vec<String> = self.leaving_of(&id, container)?;
            self.forget_addresses(&id, |claim| {
                claim.container == container && !leaving.iter().any(|one| claim.endpoint == one)
            })?;
            files::remove(&self.lease_path(&id, container))?;
        }
        Ok(())
    }

    /// The endpoints of earlier runs of a container that are being taken down.
    fn leaving_of(&self, network_id: &str, container: &str) -> Result<Vec<String>, Error> {
        let directory = self.endpoints_directory(network_id);
        let names = files::names(&directory)?;
        let own = names
            .iter()
            .filter(|name| name.starts_with(container) && name.ends_with(LEAVING));
        let read = |name: &String| files::read::<Endpoint>(&directory.join(name)).transpose();
        own.filter_map(read)
            .map(|endpoint| Ok(endpoint?.id))
            .collect()
    }

    fn leaving_path(&self, endpoint: &Endpoint) -> PathBuf {
        let id = endpoint.id.get(..12).unwrap_or(&endpoint.id);
        let name = format!("{}.{id}.{LEAVING}", endpoint.container);
        self.endpoints_directory(&endpoint.network_id).join(name)
    }

    /// A port that another container of ours has is better named by that container.
    fn name_container(&self, error: Error) -> Error {
        let Error::PortInUse { port, holder } = error else {
            return error;
        };
        let has_port = |endpoint: &Endpoint| {
            endpoint
                .ports
                .iter()
                .any(|published| overlaps(published, &port))
        };
        let ours = self
            .active()
            .unwrap_or_default()
            .into_iter()
            .flat_map(|id| files::endpoints(&self.endpoints_directory(&id)).unwrap_or_default())
            .find(has_port);
        let holder = ours
            .map(|endpoint| format!("container {}", display_name(&endpoint)))
            .or(holder);
        Error::PortInUse { port, holder }
    }
}

/// The network that gives a container its default route and publishes its ports.
fn way_out(wishes: &[Wish], networks: &[Network]) -> Option<usize> {
    let open = |at: &usize| networks.get(*at).is_some_and(|network| !network.internal);
    (0..wishes.len())
        .filter(open)
        .rev()
        .max_by_key(|at| wishes[*at].gateway_priority)
}

fn publish(
    network: &Network,
    endpoint: &Endpoint,
    ports: &[Publish],
    reservation: &mut Reservation,
) -> Result<Vec<Published>, Error> {
    let mut published = Vec::new();
    for wish in ports {
        let addresses = port::host_addresses(
            wish,
            network.publish_address(),
            endpoint.ipv4.is_some(),
            endpoint.ipv6.is_some(),
        )?;
        published.extend(reservation.take(wish, &addresses)?);
    }
    Ok(published)
}

fn with_first_as_gateway(subnet: Cidr) -> Subnet {
    let gateway = subnet.nth(1).unwrap_or(subnet.address);
    Subnet {
        subnet,
        gateway,
        range: None,
        reserved: Default::default(),
        chosen: true,
    }
}

/// Who has an address: the text of its symlink.
#[derive(Clone, Copy)]
struct Claim<'a> {
    container: &'a str,
    endpoint: &'a str,
}

impl<'a> Claim<'a> {
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

fn claim_wanted(
    directory: &Path,
    claim: Claim<'_>,
    network: &Network,
    subnet: &Subnet,
    address: IpAddr,
) -> Result<IpAddr, Error> {
    if !ipam::usable(subnet, address) {
        let text = format!(
            "{address} is no address for a container in subnet {} of network {}",
            subnet.subnet, network.name
        );
        return Err(Error::Invalid(text));
    }
    let path = directory.join(address.to_string());
    let holder = match files::claim(directory, address, &claim.to_string())? {
        None => return Ok(address),
        Some(holder) => holder,
    };
    if Claim::read(&holder).container != claim.container {
        return Err(Error::AddressInUse {
            network: network.name.clone(),
            address,
            holder: Claim::read(&holder).container.to_owned(),
        });
    }
    // Its own earlier run, which is being taken down, wants it no more.
    files::remove(&path)?;
    files::claim(directory, address, &claim.to_string())?;
    Ok(address)
}

/// The first free address after the one leased last, so that an address rests before it is reused.
fn claim_any(
    directory: &Path,
    claim: Claim<'_>,
    network: &Network,
    subnet: &Subnet,
) -> Result<IpAddr, Error> {
    let hint = directory.with_file_name(if subnet.gateway.is_ipv4() {
        "last"
    } else {
        "last6"
    });
    let last = files::read::<IpAddr>(&hint).unwrap_or_default();
    for address in ipam::candidates(subnet, last) {
        if files::claim(directory, address, &claim.to_string())?.is_none() {
            files::write(&hint, &address)?;
            return Ok(address);
        }
    }
    Err(Error::AddressesExhausted {
        network: network.name.clone(),
        subnet: subnet.subnet,
    })
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

/// Whether `port` (as [`Error::PortInUse`] has it) cannot be bound because of `published`.
fn overlaps(published: &Published, port: &str) -> bool {
    let parse = || {
        let (place, protocol) = port.rsplit_once('/')?;
        let place: std::net::SocketAddr = place.parse().ok()?;
        Some(
            protocol == published.protocol.to_string()
                && place.port() == published.host_port
                && place.is_ipv4() == published.host_ip.is_ipv4()
                && (place.ip() == published.host_ip
                    || place.ip().is_unspecified()
                    || published.host_ip.is_unspecified()),
        )
    };
    parse().unwrap_or(false)
}
