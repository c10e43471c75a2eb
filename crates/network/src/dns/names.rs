//! Who is called what: the names of all endpoints on the networks that a container is on.
//!
//! In: the leases on disk. Out: addresses for a name and a name for an address. What was read is
//! kept until a directory of leases changes, so a question costs a few stat(2) and no reading.

use std::collections::HashMap;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use kernel::netlink::Cidr;

use crate::{Endpoint, Error, Networks};

/// Times of files are no finer than the kernel's tick: within this of a change there may be another
/// one with the same time.
const TICK: Duration = Duration::from_millis(50);

/// The names that one container knows.
pub(super) struct Names {
    networks: Networks,
    container: String,
    /// Ids of the networks it is on, and when anybody had joined or left one last.
    member_of: Vec<String>,
    joined: Option<SystemTime>,
    /// When the directories of leases had changed last, when they were read.
    read: Vec<SystemTime>,
    table: Table,
}

/// What the leases say.
#[derive(Debug, Default)]
pub(super) struct Table {
    by_name: HashMap<String, Vec<IpAddr>>,
    by_address: HashMap<IpAddr, String>,
    /// What only this container calls others, to a name that is in `by_name`.
    links: HashMap<String, String>,
    subnets: Vec<Cidr>,
    /// Whether the container itself has a way out of its networks.
    pub(super) way_out: bool,
}

impl Names {
    pub(super) fn of(networks: Networks, container: String) -> Names {
        Names {
            networks,
            container,
            member_of: Vec::new(),
            joined: None,
            read: Vec::new(),
            table: Table::default(),
        }
    }

    /// The table as of now. When the leases cannot be read, what they said before still holds.
    pub(super) fn table(&mut self) -> &Table {
        let joined = changed(self.networks.state_directory());
        if self.joined != Some(joined) || is_recent(&joined) {
            let known = self.networks.networks_of(&self.container);
            self.member_of = known.unwrap_or_else(|_| std::mem::take(&mut self.member_of));
            self.joined = Some(joined);
        }
        let changed: Vec<SystemTime> = self
            .member_of
            .iter()
            .map(|id| changed(&self.networks.endpoints_directory(id)))
            .collect();
        if (changed != self.read || changed.iter().any(is_recent))
            && let Ok(table) = self.load()
        {
            self.table = table;
            self.read = changed;
        }
        &self.table
    }

    fn load(&self) -> Result<Table, Error> {
        let mut table = Table::default();
        for id in &self.member_of {
            for endpoint in self.networks.endpoints_by_id(id)? {
                if endpoint.container == self.container {
                    table.way_out |= !endpoint.gateways.is_empty();
                    table.add_links(&endpoint);
                }
                table.add(&endpoint);
            }
        }
        Ok(table)
    }
}

/// Whether something may have changed since without another time to show it.
fn is_recent(time: &SystemTime) -> bool {
    time.elapsed().is_ok_and(|passed| passed < TICK)
}

fn changed(directory: &Path) -> SystemTime {
    let time = fs::metadata(directory).and_then(|metadata| metadata.modified());
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}

impl Table {
    pub(super) fn add(&mut self, endpoint: &Endpoint) {
        for cidr in endpoint.addresses() {
            for name in &endpoint.names {
                let name = name.to_ascii_lowercase();
                let full = format!("{name}.{}", endpoint.network.to_ascii_lowercase());
                self.add_name(name, cidr.address);
                self.add_name(full, cidr.address);
            }
            if let Some(name) = endpoint.names.first() {
                self.by_address
                    .insert(cidr.address, format!("{name}.{}", endpoint.network));
            }
            if !self.subnets.contains(&cidr.network()) {
                self.subnets.push(cidr.network());
            }
        }
    }

    /// What its own container calls others.
    fn add_links(&mut self, endpoint: &Endpoint) {
        let network = endpoint.network.to_ascii_lowercase();
        for (alias, target) in &endpoint.links {
            let target = format!("{}.{network}", target.to_ascii_lowercase());
            self.links.insert(alias.to_ascii_lowercase(), target);
        }
    }

    fn add_name(&mut self, name: String, address: IpAddr) {
        let addresses = self.by_name.entry(name).or_default();
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }

    /// The addresses of a name: as it is, or with the name of its network behind a dot.
    pub(super) fn addresses(&self, name: &str) -> Option<&[IpAddr]> {
        let name = name.to_ascii_lowercase();
        let name = self.links.get(&name).unwrap_or(&name);
        self.by_name.get(name).map(Vec::as_slice)
    }

    pub(super) fn name(&self, address: IpAddr) -> Option<&str> {
        self.by_address.get(&address).map(String::as_str)
    }

    /// Whether the address is one of our networks', so that nobody else can know its name.
    pub(super) fn is_ours(&self, address: IpAddr) -> bool {
        self.subnets.iter().any(|subnet| subnet.contains(address))
    }
}
