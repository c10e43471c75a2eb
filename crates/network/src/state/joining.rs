//! Joining: a place on each network for a container, with addresses and ports, all of it or nothing.
//!
//! Read next: `leaving.rs`.

use std::net::IpAddr;

use kernel::Script;
use kernel::netlink::Cidr;
use kernel::play::Child;

use super::{Claim, Networks, display_name, files, play};
use crate::instance::{self, hash};
use crate::{
    Attached, Driver, Endpoint, Error, Network, Publish, Published, Reservation, Subnet, Wish,
    firewall, ipam, port,
};

impl Networks {
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
        // One that has a way out already (it runs, and joins one more network) keeps that.
        let out = self.endpoints_of(container)?;
        let way_out = match out.iter().any(|endpoint| !endpoint.gateways.is_empty()) {
            true => None,
            false => way_out(wishes, &networks),
        };
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
        let ipv4 = self.lease_address(claim, network, true, wish.ipv4.map(IpAddr::V4), wish)?;
        let ipv6 = self.lease_address(claim, network, false, wish.ipv6.map(IpAddr::V6), wish)?;
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
            links: wish.links.clone(),
        })
    }

    fn lease_address(
        &self,
        claim: Claim<'_>,
        network: &Network,
        ipv4: bool,
        wanted: Option<IpAddr>,
        wish: &Wish,
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
        let address = match wanted {
            Some(address) => self.claim_wanted(claim, network, subnet, address)?,
            None => match self.claim_again(claim, network, subnet, &wish.last)? {
                Some(address) => address,
                None => self.claim_any(claim, network, subnet)?,
            },
        };
        Ok(Cidr::new(address, subnet.subnet.prefix))
    }

    fn claim_wanted(
        &self,
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
        match self.claim(claim, network, address)? {
            None => Ok(address),
            Some(holder) => {
                let lease = files::read(&self.lease_path(&network.id, &holder))?;
                Err(Error::AddressInUse {
                    network: network.name.clone(),
                    address,
                    holder: lease.as_ref().map_or(holder, display_name),
                })
            }
        }
    }

    /// The address that the container had before, when it is free.
    fn claim_again(
        &self,
        claim: Claim<'_>,
        network: &Network,
        subnet: &Subnet,
        last: &[IpAddr],
    ) -> Result<Option<IpAddr>, Error> {
        let Some(address) = last.iter().find(|last| ipam::usable(subnet, **last)) else {
            return Ok(None);
        };
        let holder = self.claim(claim, network, *address)?;
        Ok(holder.is_none().then_some(*address))
    }

    /// The first free address after the one leased last, so that an address rests before it is
    /// reused.
    fn claim_any(
        &self,
        claim: Claim<'_>,
        network: &Network,
        subnet: &Subnet,
    ) -> Result<IpAddr, Error> {
        let directory = self.addresses_directory(&network.id);
        let hint = directory.with_file_name(if subnet.gateway.is_ipv4() {
            "last"
        } else {
            "last6"
        });
        let last = files::read::<IpAddr>(&hint).unwrap_or_default();
        for address in ipam::candidates(subnet, last) {
            if files::claim(&directory, address, &claim.to_string())?.is_none() {
                files::write(&hint, &address)?;
                return Ok(address);
            }
        }
        Err(Error::AddressesExhausted {
            network: network.name.clone(),
            subnet: subnet.subnet,
        })
    }

    /// Claims an address; yields the container that has it when one has. One that a container
    /// leaves behind is free once its cable, and with it the last who answered to it, is gone.
    fn claim(
        &self,
        claim: Claim<'_>,
        network: &Network,
        address: IpAddr,
    ) -> Result<Option<String>, Error> {
        let directory = self.addresses_directory(&network.id);
        let Some(text) = files::claim(&directory, address, &claim.to_string())? else {
            return Ok(None);
        };
        let holder = Claim::read(&text);
        let Some(endpoint) = self.leaving(&network.id, holder)? else {
            return Ok(Some(holder.container.to_owned()));
        };
        play(&network.name, vec![endpoint.unplug()])?;
        files::remove(&directory.join(address.to_string()))?;
        files::claim(&directory, address, &claim.to_string())
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
