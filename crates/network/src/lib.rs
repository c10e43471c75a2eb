//! How containers reach each other, the host and the world.
//!
//! In: networks as people define them, and what a container wants of them. Out: leases on disk and
//! the steps that make them true: a bridge for each network, a veth cable for each container, and
//! one firewall table for all.
//!
//! Read `network.rs` (what a network is), `endpoint.rs` (a container's place in it and the steps
//! that make it), `firewall.rs` (the rules, and why), then `dns.rs` (names).
//!
//! The engine calls, in the order of a container's life: [`Networks::attach`] before it is created,
//! [`Attached::steps`] for its script, [`dns::Server::open`] once it has a process, and
//! [`Networks::detach`] when it has ended. [`Networks::repair`] frees what a crash left.

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

pub use endpoint::{Attached, Endpoint, Wish};
pub use error::Error;
pub use firewall::Watch;
pub use network::{Definition, Driver, Network, Subnet, SubnetWish};
pub use port::{Protocol, Publish, Published, Reservation};
pub use state::Networks;

pub use kernel::netlink::{Cidr, Mac};
