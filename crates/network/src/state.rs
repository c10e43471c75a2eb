//! [`Networks`]: definitions under `root`, leases under `state`, and what changes them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::{Attached, Definition, Endpoint, Error, Network, Publish, Wish};

/// All networks of one lighter (one pair of root and state directories).
#[derive(Clone, Debug)]
pub struct Networks {
    root: PathBuf,
    state: PathBuf,
}

impl Networks {
    /// Uses the networks below these two directories; makes nothing yet.
    pub fn open(root: &Path, state: &Path) -> Networks {
        Networks {
            root: root.join("networks"),
            state: state.join("networks"),
        }
    }

    /// All networks by name, `bridge`, `host` and `none` included.
    pub fn list(&self) -> Result<Vec<Network>, Error> {
        let _ = (&self.root, &self.state);
        Ok(Vec::new())
    }

    /// The network with this name, this id, or the only one whose id starts so.
    pub fn find(&self, name_or_id: &str) -> Result<Network, Error> {
        Err(Error::NotFound(name_or_id.into()))
    }

    /// Makes a network. Nothing of it is in the kernel before the first container joins.
    pub fn create(&self, definition: Definition) -> Result<Network, Error> {
        Err(Error::Exists(definition.name))
    }

    /// Removes a network; fails with [`Error::InUse`] while containers are on it.
    pub fn remove(&self, name_or_id: &str) -> Result<Network, Error> {
        Err(Error::NotFound(name_or_id.into()))
    }

    /// The endpoints on a network.
    pub fn endpoints(&self, network: &Network) -> Result<Vec<Endpoint>, Error> {
        let _ = network;
        Ok(Vec::new())
    }

    /// The endpoints of a container.
    pub fn endpoints_of(&self, container: &str) -> Result<Vec<Endpoint>, Error> {
        let _ = container;
        Ok(Vec::new())
    }

    /// Leases a place in each network for a container, and its ports: all of it or nothing.
    pub fn attach(
        &self,
        container: &str,
        wishes: &[Wish],
        ports: &[Publish],
    ) -> Result<Attached, Error> {
        let _ = (container, wishes, ports);
        Err(Error::PoolsExhausted)
    }

    /// Takes a container out of all its networks, and down what only it needed. Nothing to do is
    /// no error; goes on after a failure and returns the first.
    pub fn detach(&self, container: &str) -> Result<(), Error> {
        let _ = container;
        Ok(())
    }

    /// Joins one more network while the container (process `pid`) runs.
    pub fn connect(&self, container: &str, pid: u32, wish: Wish) -> Result<Endpoint, Error> {
        let _ = (container, pid, wish);
        Err(Error::PoolsExhausted)
    }

    /// Leaves one network while the container runs.
    pub fn disconnect(&self, container: &str, network: &str) -> Result<(), Error> {
        let _ = (container, network);
        Ok(())
    }

    /// Frees what belongs to containers that are not `alive` (full ids); returns their ids.
    pub fn repair(&self, alive: &BTreeSet<String>) -> Result<Vec<String>, Error> {
        let _ = alive;
        Ok(Vec::new())
    }

    /// Brings a running container's firewall elements back, and the table with them.
    pub fn reapply(&self, container: &str) -> Result<(), Error> {
        let _ = container;
        Ok(())
    }
}
