//! Definitions: networks made, found and removed; subnets chosen for them.
//!
//! Read next: `joining.rs`.

use std::path::PathBuf;

use kernel::netlink::{Cidr, Netlink};

use super::{Networks, display_name, files};
use crate::instance::hash;
use crate::network::wanted_bridge;
use crate::{Definition, Driver, Endpoint, Error, Network, Subnet, ipam};

/// The networks that nobody creates.
const PREDEFINED: [(&str, Driver); 3] = [
    ("bridge", Driver::Bridge),
    ("host", Driver::Host),
    ("none", Driver::None),
];

impl Networks {
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

    /// The network that an endpoint is on; none when it was removed, also when one was made since
    /// that has its name.
    pub(super) fn network_of(&self, endpoint: &Endpoint) -> Result<Option<Network>, Error> {
        let named = self.definition(&endpoint.network)?;
        Ok(named.filter(|network| network.id == endpoint.network_id))
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

    /// Chooses a subnet again when the host got a route to it since, and nobody is on the network.
    pub(super) fn settle(&self, network: Network) -> Result<Network, Error> {
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
