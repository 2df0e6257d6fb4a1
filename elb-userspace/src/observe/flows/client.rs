//! Which clients are asked for: an address, a network, or an address and a port.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Clients {
    /// All of a network, or the one with an address.
    Network(IpNet),
    /// The one connection that comes from this address and port, at each listener.
    Socket(SocketAddr),
}

impl Clients {
    /// Whether a flow from here is one of theirs.
    pub fn holds(&self, source: SocketAddr) -> bool {
        match self {
            Self::Network(network) => network.contains(&source.ip()),
            Self::Socket(socket) => *socket == source,
        }
    }
}

/// Not a client.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is neither an address nor a network; write 198.51.100.7, 198.51.100.0/24 or 198.51.100.7:50000"
)]
pub struct NotClients(String);

impl FromStr for Clients {
    type Err = NotClients;

    fn from_str(text: &str) -> Result<Self, NotClients> {
        let network = text.parse::<IpAddr>().map(IpNet::from).or_else(|_| text.parse::<IpNet>());
        let socket = || text.parse().map(Self::Socket);
        network.map(Self::Network).or_else(|_| socket()).map_err(|_| NotClients(text.to_owned()))
    }
}

impl TryFrom<String> for Clients {
    type Error = NotClients;

    fn try_from(text: String) -> Result<Self, NotClients> {
        text.parse()
    }
}

impl From<Clients> for String {
    fn from(clients: Clients) -> Self {
        clients.to_string()
    }
}

impl fmt::Display for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(one) if one.prefix_len() == one.max_prefix_len() => one.addr().fmt(f),
            Self::Network(network) => network.fmt(f),
            Self::Socket(socket) => socket.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_written_in_three_ways_and_read_back() {
        let holds = |text: &str, source: &str| {
            let clients: Clients = text.parse().unwrap();
            assert_eq!(clients.to_string(), text);
            clients.holds(source.parse().unwrap())
        };
        assert!(holds("198.51.100.7", "198.51.100.7:1"));
        assert!(!holds("198.51.100.7", "198.51.100.8:1"));
        assert!(holds("198.51.100.0/24", "198.51.100.8:1"));
        assert!(!holds("198.51.100.0/24", "[2001:db8::1]:1"));
        assert!(holds("2001:db8::/32", "[2001:db8::1]:1"));
        assert!(holds("[2001:db8::1]:1", "[2001:db8::1]:1"));
        assert!(!holds("198.51.100.7:50000", "198.51.100.7:50001"));
        for wrong in ["", "web", "198.51.100.7/33", "198.51.100.7:", "[2001:db8::1]"] {
            assert_eq!(wrong.parse::<Clients>(), Err(NotClients(wrong.to_owned())));
        }
    }
}
