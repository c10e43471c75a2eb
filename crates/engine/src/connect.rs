//! `network connect` and `disconnect`: another network for a container, at once when it runs.
//!
//! What runs is changed first; only what worked is written into the container's wish, so that its
//! next start joins the same networks.

use network::Networks;

use crate::config::{NetworkAttachment, NetworkMode};
use crate::disk::{self, Keep};
use crate::find::Observed;
use crate::record::Record;
use crate::{Engine, Error, Result, etc, networking, process};

impl Engine {
    /// The networks of this pair of directories.
    pub fn all_networks(&self) -> Networks {
        Networks::open(self.paths.root(), self.paths.state())
    }

    /// Joins a network. Must be called from a process with one thread.
    pub fn network_connect(&self, who: &str, attachment: NetworkAttachment) -> Result<()> {
        let id = self.resolve(who)?;
        let _lock = self.lock(&id)?;
        let seen = self.observe(&id)?;
        let network = self.all_networks().find(&attachment.network)?;
        let attachment = NetworkAttachment {
            network: network.name,
            ..attachment
        };
        let mut record = seen.record.clone();
        let mut joined = own_networks(&record)?;
        if joined.iter().any(|one| one.network == attachment.network) {
            return Err(Error::invalid(
                "network",
                attachment.network,
                "the container is on it already",
            ));
        }
        if seen.status.is_up() {
            let wish = networking::wish(&attachment, &record.name)?;
            let endpoint = self
                .all_networks()
                .connect(&id, first_process(&seen)?, wish)?;
            etc::add_to_hosts(&record, &self.paths.container(&id), &endpoint)?;
        }
        joined.push(attachment);
        record.config.network = NetworkMode::Bridged;
        record.config.networks = joined;
        self.write_wish(&record)
    }

    /// Leaves a network. Must be called from a process with one thread.
    pub fn network_disconnect(&self, who: &str, network: &str) -> Result<()> {
        let id = self.resolve(who)?;
        let _lock = self.lock(&id)?;
        let seen = self.observe(&id)?;
        let name = self.all_networks().find(network)?.name;
        let mut record = seen.record.clone();
        let mut joined = own_networks(&record)?;
        let before = joined.len();
        joined.retain(|one| one.network != name);
        if joined.len() == before {
            return Err(Error::invalid(
                "network",
                name,
                "the container is not on it",
            ));
        }
        if seen.status.is_up() {
            let endpoint = self
                .all_networks()
                .disconnect(&id, first_process(&seen)?, &name)?;
            etc::take_from_hosts(&record, &self.paths.container(&id), &endpoint)?;
        }
        if joined.is_empty() {
            record.config.network = NetworkMode::None;
        }
        record.config.networks = joined;
        self.write_wish(&record)
    }

    fn write_wish(&self, record: &Record) -> Result<()> {
        let path = self.paths.container(&record.id).config();
        disk::replace_json(&path, record, Keep::Durable)
    }
}

/// The networks a container is on, when it has a network of its own.
fn own_networks(record: &Record) -> Result<Vec<NetworkAttachment>> {
    match record.config.network {
        NetworkMode::Bridged => Ok(networking::attachments(&record.config)),
        NetworkMode::None => Ok(Vec::new()),
        NetworkMode::Host | NetworkMode::Container(_) => Err(Error::invalid(
            "container",
            record.name.as_str(),
            "it uses the network of the host or of another container, which cannot join more",
        )),
    }
}

fn first_process(seen: &Observed) -> Result<kernel::play::Child> {
    let gone = || Error::NotRunning {
        name: seen.record.name.clone(),
    };
    let init = seen.state.as_ref().and_then(|state| state.init);
    let init = init.ok_or_else(gone)?;
    let pidfd = process::open(init).ok_or_else(gone)?;
    Ok(kernel::play::Child {
        pid: init.pid,
        pidfd,
    })
}
