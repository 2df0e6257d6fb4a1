//! An address, perhaps with a port, as people write it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// `ADDRESS[:PORT]`; an IPv6 address with a port stands in brackets (RFC 3986 §3.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Endpoint {
    /// The address.
    pub address: IpAddr,
    /// The port, if there is one.
    pub port: Option<u16>,
}

/// What is written is no endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{0:?} is no ADDRESS[:PORT]; write 192.0.2.10, 192.0.2.10:80, 2001:db8::10 or [2001:db8::10]:80"
)]
pub struct NoEndpoint(String);

impl Endpoint {
    /// Whether this is that address, and that port if this has one.
    pub fn is(&self, other: SocketAddr) -> bool {
        self.address == other.ip() && self.port.is_none_or(|port| port == other.port())
    }
}

impl FromStr for Endpoint {
    type Err = NoEndpoint;

    fn from_str(text: &str) -> Result<Self, NoEndpoint> {
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse() {
            return Ok(Self { address, port: None });
        }
        let socket: SocketAddr = text.parse().map_err(|_| NoEndpoint(text.to_owned()))?;
        Ok(Self { address: socket.ip(), port: Some(socket.port()) })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.address, port).fmt(f),
            None => self.address.fmt(f),
        }
    }
}

impl TryFrom<String> for Endpoint {
    type Error = NoEndpoint;

    fn try_from(text: String) -> Result<Self, NoEndpoint> {
        text.parse()
    }
}

impl From<Endpoint> for String {
    fn from(endpoint: Endpoint) -> Self {
        endpoint.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_and_read() {
        for text in ["192.0.2.10", "192.0.2.10:80", "2001:db8::10", "[2001:db8::10]:80"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        assert_eq!("[::1]".parse(), "::1".parse::<Endpoint>());
        let wrong = "web:80".parse::<Endpoint>().unwrap_err().to_string();
        assert!(wrong.starts_with("\"web:80\" is no ADDRESS[:PORT]"), "{wrong}");
    }

    #[test]
    fn without_a_port_it_is_every_port() {
        let socket = "192.0.2.10:80".parse().unwrap();
        assert!("192.0.2.10".parse::<Endpoint>().unwrap().is(socket));
        assert!("192.0.2.10:80".parse::<Endpoint>().unwrap().is(socket));
        assert!(!"192.0.2.10:81".parse::<Endpoint>().unwrap().is(socket));
    }
}
