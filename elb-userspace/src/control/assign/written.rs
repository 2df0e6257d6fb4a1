//! What is read from the file of the numbers. Earlier versions wrote them down by name: a name stands for
//! the id that follows from it.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::{AssignedGroup, AssignedListener, AssignedPool};
use crate::model::ResourceId;

/// What has a number, and knows its name if it was written down by id.
trait Named {
    fn name(&mut self) -> &mut String;
}

impl Named for AssignedListener {
    fn name(&mut self) -> &mut String {
        &mut self.name
    }
}

impl Named for AssignedPool {
    fn name(&mut self) -> &mut String {
        &mut self.name
    }
}

impl Named for AssignedGroup {
    fn name(&mut self) -> &mut String {
        &mut self.name
    }
}

/// Which load balancer a listener is of, earlier versions did not write down: it is found by its name.
pub(super) fn listeners<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<BTreeMap<ResourceId, AssignedListener>, D::Error> {
    let unknown = ResourceId::of_load_balancer("");
    by_id(from, |name| ResourceId::of_listener(unknown, name))
}

pub(super) fn pools<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<BTreeMap<ResourceId, AssignedPool>, D::Error> {
    by_id(from, ResourceId::of_pool)
}

pub(super) fn ip_groups<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<BTreeMap<ResourceId, AssignedGroup>, D::Error> {
    by_id(from, ResourceId::of_ip_group)
}

fn by_id<'de, D: Deserializer<'de>, T: Named + Deserialize<'de>>(
    from: D,
    derived: impl Fn(&str) -> ResourceId,
) -> Result<BTreeMap<ResourceId, T>, D::Error> {
    let written = BTreeMap::<String, T>::deserialize(from)?;
    let with_id = |(key, mut one): (String, T)| {
        if !one.name().is_empty() {
            return Ok((key.parse().map_err(D::Error::custom)?, one));
        }
        if key.is_empty() {
            return Err(D::Error::custom("a name is missing"));
        }
        let id = derived(&key);
        *one.name() = key;
        Ok((id, one))
    };
    written.into_iter().map(with_id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::assign::Assignments;

    /// As the version before ids wrote it.
    const BY_NAME: &str = r#"{
        "listeners": {"http": {"id": 3, "pool": 7, "former": null, "moved": false,
            "place": {"addresses": ["192.0.2.10"], "ports": "TCP 80 "}}},
        "pools": {"web": {"id": 7, "ring": {"base": 0, "shape": {"size": 5, "algorithm": 0,
            "cid": [0, 0]}}, "former": null, "forwarding": "ipip", "since": 1, "udp_hold_until": 0,
            "idle_timeout": 300, "flows_since": 0, "members": [{"id": 2, "address": "10.0.0.11",
            "port": 80, "removed": false, "cut_at": null, "server_id": null}]}},
        "ip_groups": {"office": 4}, "vips": {"192.0.2.10": 1}, "next_backend": 3}"#;

    #[test]
    fn numbers_that_were_written_down_by_name_are_read() {
        let all: Assignments = serde_json::from_str(BY_NAME).unwrap();
        let pool = &all.pools[&ResourceId::of_pool("web")];
        assert_eq!((pool.id, pool.name.as_str(), pool.members[0].id), (7, "web", 2));
        let listener = all.listeners.values().next().unwrap();
        assert_eq!((listener.id, listener.pool, listener.name.as_str()), (3, 7, "http"));
        let group = &all.ip_groups[&ResourceId::of_ip_group("office")];
        assert_eq!((group.id, group.name.as_str()), (4, "office"));
        let written = serde_json::to_string(&all).unwrap();
        assert_eq!(serde_json::from_str::<Assignments>(&written).unwrap(), all, "{written}");
    }

    /// A name may look like the id of something else.
    #[test]
    fn what_is_a_name_and_what_an_id_is_no_guess() {
        let id = ResourceId::of_pool("dns");
        let old = BY_NAME.replace("\"web\"", &format!("\"{id}\""));
        let all: Assignments = serde_json::from_str(&old).unwrap();
        assert!(all.pools.contains_key(&ResourceId::of_pool(&id.to_string())));
        let written = serde_json::to_string(&all).unwrap();
        let wrong = written.replace(&ResourceId::of_pool(&id.to_string()).to_string(), "web");
        assert!(serde_json::from_str::<Assignments>(&wrong).is_err());
    }
}
