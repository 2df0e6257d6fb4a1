//! Which resource is which, whatever it is called: ids, given by the operator or derived from names.
//!
//! A derived id is a UUID of version 5 (RFC 9562, section 5.5) of what the resource is known by: the same
//! file gives the same ids at every start and on every node.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::value::{Invalid, ValueRule};

/// What all derived ids begin with. It never changes: saved state has ids of it.
const NAMESPACE: Uuid = Uuid::from_u128(0x5e4c_2a3b_7f0d_4c86_9b1a_6d2e_90f7_c351);

/// The id of a resource: unique among those of its kind, and the same whatever they are called.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(with = "String", extend("format" = "uuid"))]
pub struct ResourceId(Uuid);

impl ResourceId {
    /// That of a load balancer of this name.
    pub fn of_load_balancer(name: &str) -> Self {
        Self(NAMESPACE).child("load_balancer", name)
    }

    /// That of a listener of this name.
    pub fn of_listener(load_balancer: Self, name: &str) -> Self {
        load_balancer.child("listener", name)
    }

    /// That of a pool of this name.
    pub fn of_pool(name: &str) -> Self {
        Self(NAMESPACE).child("pool", name)
    }

    /// That of the member of a pool with this address and port: its name does not count.
    pub fn of_member(pool: Self, member: SocketAddr) -> Self {
        pool.child("member", &member.to_string())
    }

    /// That of the health monitor of a pool.
    pub fn of_health_monitor(pool: Self) -> Self {
        pool.child("healthmonitor", "")
    }

    /// That of an IP group of this name.
    pub fn of_ip_group(name: &str) -> Self {
        Self(NAMESPACE).child("ipgroup", name)
    }

    fn child(self, kind: &str, name: &str) -> Self {
        Self(Uuid::new_v5(&self.0, format!("{kind}/{name}").as_bytes()))
    }
}

impl FromStr for ResourceId {
    type Err = Invalid;

    /// A UUID in any of its usual spellings, but for the one that is all zeros.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let id = Uuid::try_parse(text).ok().filter(|id| !id.is_nil());
        id.map(Self).ok_or_else(|| Invalid::against_rule::<Self>(format!("{text:?} is not a UUID")))
    }
}

impl ValueRule for ResourceId {
    fn rule() -> String {
        "a UUID as `uuidgen` prints it, or leave id out: it then follows from the name".to_owned()
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn socket(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// Other ids would lose the state that earlier versions saved.
    #[test]
    fn derived_ids_never_change() {
        let (lb, pool) = (ResourceId::of_load_balancer("web"), ResourceId::of_pool("web"));
        let ids = [
            lb,
            ResourceId::of_listener(lb, "http"),
            pool,
            ResourceId::of_member(pool, socket("10.0.0.11:80")),
            ResourceId::of_member(pool, socket("[2001:db8::11]:0")),
            ResourceId::of_health_monitor(pool),
            ResourceId::of_ip_group("web"),
        ];
        assert_eq!(ids.map(|id| id.to_string()), GOLDEN);
        let different: std::collections::BTreeSet<_> = ids.into();
        assert_eq!(different.len(), ids.len(), "kinds have ids of their own");
    }

    const GOLDEN: [&str; 7] = [
        "b9b2586b-7d16-5b24-9fcd-ce07da77d746",
        "28368250-5458-52af-8f02-d50d1f6a2cce",
        "ce8ce9c8-bc80-5adf-a907-ebf36ca747c2",
        "416f3c85-52f6-5cf2-8c91-7708339f0526",
        "ee583d78-b929-577d-9fb5-8eaf3632ede0",
        "274e6c58-37c0-57ba-9395-edace0c31a00",
        "226a407b-a5ba-5537-ba50-0802d95a48e5",
    ];

    #[test]
    fn an_id_is_a_uuid_in_any_spelling() {
        let id: ResourceId = "1b4e28ba-2fa1-4d3b-a3f5-ef19b5a7633b".parse().unwrap();
        for same in ["1B4E28BA-2FA1-4D3B-A3F5-EF19B5A7633B", "1b4e28ba2fa14d3ba3f5ef19b5a7633b"] {
            assert_eq!(same.parse(), Ok(id), "{same}");
        }
        for wrong in ["", "web", "1b4e28ba", "00000000-0000-0000-0000-000000000000", "10.0.0.1:80"]
        {
            let error = wrong.parse::<ResourceId>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{wrong:?} is not a UUID; use")), "{error}");
        }
    }

    proptest! {
        /// What is written is read as the same id, and names and parents tell ids apart.
        #[test]
        fn names_distinguish_ids(one in ".{0,20}", other in ".{0,20}") {
            let (a, b) = (ResourceId::of_pool(&one), ResourceId::of_pool(&other));
            prop_assert_eq!(a == b, one == other);
            prop_assert_eq!(a.to_string().parse(), Ok(a));
            let (a, b) = (ResourceId::of_listener(a, "l"), ResourceId::of_listener(b, "l"));
            prop_assert_eq!(a == b, one == other);
            let json = serde_json::to_string(&a).unwrap();
            prop_assert_eq!(serde_json::from_str::<ResourceId>(&json).unwrap(), a);
        }
    }
}
