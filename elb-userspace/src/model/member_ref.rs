//! A member of a pool, as everything that is printed names it: status, drains, events, flows, traces and
//! explanations.

use std::net::{IpAddr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A member of a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemberRef {
    /// Name of the pool.
    #[serde(default)]
    pub pool: String,
    /// Name of the member; address and port of one that was removed.
    #[serde(alias = "member")]
    pub name: String,
    /// Address.
    pub address: IpAddr,
    /// Port, 0 for any.
    pub protocol_port: u16,
}

impl MemberRef {
    /// The member of `pool` at `socket`; without a name, that is its name.
    pub fn new(pool: &str, name: Option<&str>, socket: SocketAddr) -> Self {
        Self {
            pool: pool.to_owned(),
            name: name.map_or_else(|| socket.to_string(), str::to_owned),
            address: socket.ip(),
            protocol_port: socket.port(),
        }
    }

    /// Whether a text names it: its name, its address, or address and port.
    pub fn is_named(&self, text: &str) -> bool {
        is_named(text, Some(&self.name), self.socket())
    }

    /// Address and port.
    pub const fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.protocol_port)
    }
}

/// Whether a text names a member.
pub fn is_named(text: &str, name: Option<&str>, member: SocketAddr) -> bool {
    name == Some(text)
        || text.parse() == Ok(member)
        || text.parse() == Ok(member.ip())
        || text.trim_matches(['[', ']']).parse() == Ok(member.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_named_in_many_ways() {
        let v4 = SocketAddr::from(([10, 0, 0, 1], 80));
        for text in ["web-1", "10.0.0.1", "10.0.0.1:80"] {
            assert!(is_named(text, Some("web-1"), v4), "{text}");
        }
        for text in ["web-2", "10.0.0.2", "10.0.0.1:81", "", "10.0.0.1:"] {
            assert!(!is_named(text, Some("web-1"), v4), "{text}");
        }
        let v6: SocketAddr = "[2001:db8::1]:80".parse().unwrap();
        for text in ["2001:db8::1", "[2001:db8::1]", "[2001:db8:0::1]:80"] {
            assert!(is_named(text, None, v6), "{text}");
        }
    }

    #[test]
    fn one_that_was_removed_is_called_by_its_address() {
        let socket = SocketAddr::from(([10, 0, 0, 11], 80));
        assert_eq!(MemberRef::new("web", None, socket).name, "10.0.0.11:80");
        let member = MemberRef::new("web", Some("b1"), socket);
        assert_eq!((member.name.as_str(), member.socket()), ("b1", socket));
        let text = r#"{"pool":"web","name":"b1","address":"10.0.0.11","protocol_port":80}"#;
        assert_eq!(serde_json::to_string(&member).unwrap(), text);
        let older = r#"{"pool":"web","member":"b1","address":"10.0.0.11","protocol_port":80}"#;
        assert_eq!(serde_json::from_str::<MemberRef>(older).unwrap(), member);
    }
}
