//! Load generators: they run in a namespace, count what happens, and never wait without a limit.
//!
//! - [`HttpLoad`], [`http_requests`]: a new connection for each request
//! - [`HeldConnections`]: connections that stay, each with a ping-pong of lines
//! - [`PassingConnections`]: the same, but they come and go
//! - [`Datagrams`]: one datagram after the other, with given contents
//! - [`UdpFlows`]: sockets that stay, each with a ping-pong of datagrams
//! - [`download`], [`upload`]: contents, with a checksum that the receiver computes
//! - [`ping`]: echo requests

mod http;
mod http_report;

mod held;
mod held_report;
mod passing;
mod talk;

mod datagram;
mod udp;

mod bulk;
mod ping;

mod background;
mod failure;

pub use bulk::{Transfer, download, upload};
pub use datagram::Datagrams;
pub use failure::{Failure, FailureKind};
pub use held::HeldConnections;
pub use held_report::{HeldConnection, HeldReport};
pub use http::{HttpLoad, Load, http_requests};
pub use http_report::{HttpReport, Outcome};
pub use passing::{Passing, PassingConnections};
pub use ping::ping;
pub use talk::Talk;
pub use udp::{UdpFlow, UdpFlows, UdpReport};
