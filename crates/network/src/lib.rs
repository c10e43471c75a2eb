#![doc = include_str!("../README.md")]

mod bridge;
pub mod dns;
pub mod endpoint;
mod error;
pub mod firewall;
pub mod hosts;
mod instance;
mod ipam;
pub mod network;
pub mod port;
mod state;

pub use endpoint::{Attached, Endpoint, Leaving, Wish};
pub use error::Error;
pub use firewall::Watch;
pub use network::{Definition, Driver, Network, Subnet, SubnetWish};
pub use port::{Protocol, Publish, Published, Reservation};
pub use state::Networks;

pub use kernel::netlink::{Cidr, Mac};
