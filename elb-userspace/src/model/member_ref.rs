//! A member of a pool, as everything that is printed names it: status, drains, events, flows, traces and
//! explanations.

use std::net::{IpAddr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::select::Label;
use super::{Member, Pool, ResourceId};

/// A member of a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemberRef {
    /// Name of the pool.
    #[serde(default)]
    pub pool: String,
    /// Id of the pool; earlier versions print none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pool_id: Option<ResourceId>,
    /// Name of the member; address and port of one that was removed.
    #[serde(alias = "member")]
    pub name: String,
    /// Id of the member; earlier versions print none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub id: Option<ResourceId>,
    /// Address.
    pub address: IpAddr,
    /// Port, 0 for any.
    pub protocol_port: u16,
}

impl MemberRef {
    /// The member at `socket` of a pool, of which these are the id and the name; without a name, its address
    /// and port are its name.
    pub fn new(
        (pool_id, pool): (Option<ResourceId>, &str),
        id: Option<ResourceId>,
        name: Option<&str>,
        socket: SocketAddr,
    ) -> Self {
        Self {
            pool: pool.to_owned(),
            pool_id,
            name: name.map_or_else(|| socket.to_string(), str::to_owned),
            id,
            address: socket.ip(),
            protocol_port: socket.port(),
        }
    }

    /// What people may name it by.
    pub fn label(&self) -> Label<'_> {
        Label::member((self.pool_id, &self.pool), self.id, Some(&self.name), self.socket())
    }

    /// Address and port.
    pub const fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.protocol_port)
    }
}

impl From<(&Pool, &Member)> for MemberRef {
    fn from((pool, member): (&Pool, &Member)) -> Self {
        let (pool, name) = ((Some(pool.id), pool.name.as_str()), Some(member.name.as_str()));
        Self::new(pool, Some(member.id), name, member.socket())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_was_removed_is_called_by_its_address() {
        let socket = SocketAddr::from(([10, 0, 0, 11], 80));
        assert_eq!(MemberRef::new((None, "web"), None, None, socket).name, "10.0.0.11:80");
        let member = MemberRef::new((None, "web"), None, Some("b1"), socket);
        assert_eq!((member.name.as_str(), member.socket()), ("b1", socket));
        let text = r#"{"pool":"web","name":"b1","address":"10.0.0.11","protocol_port":80}"#;
        assert_eq!(serde_json::to_string(&member).unwrap(), text);
        let older = r#"{"pool":"web","member":"b1","address":"10.0.0.11","protocol_port":80}"#;
        assert_eq!(serde_json::from_str::<MemberRef>(older).unwrap(), member);
    }
}
