//! What `elb status -o json` says, what tests need of it.

use std::{collections::BTreeMap, net::IpAddr};

use serde_json::Value;

/// The operating status (`ONLINE`, `OFFLINE`, `NO_MONITOR`, …) of each member that has `address`,
/// wherever in the document members are listed.
pub fn of_members(status: &Value, address: IpAddr) -> Vec<String> {
    let mut found = Vec::new();
    visit(status, &mut |object| {
        let is_it =
            object.get("address").and_then(Value::as_str).map(str::parse) == Some(Ok(address));
        if let (true, Some(state)) = (is_it, object.get("operating_status").and_then(Value::as_str))
        {
            found.push(state.to_owned());
        }
    });
    found
}

/// Whether there are members with `address`, all of them in `state`.
pub fn all_are(status: &Value, address: IpAddr, state: &str) -> bool {
    let members = of_members(status, address);
    !members.is_empty() && members.iter().all(|member| member == state)
}

/// Packets that met `reason` and were not forwarded.
pub fn packets_of(status: &Value, reason: &str) -> u64 {
    let mut reasons = status["not_forwarded"].as_array().into_iter().flatten();
    let found = reasons.find(|one| one["reason"] == reason);
    found.and_then(|one| one["packets"].as_u64()).unwrap_or(0)
}

/// The reasons for which packets were dropped, with how many.
pub fn drops(status: &Value) -> Vec<String> {
    let reasons = status["not_forwarded"].as_array().into_iter().flatten();
    let dropped = reasons.filter(|one| one["fate"] == "dropped");
    dropped.map(|one| format!("{} {}", one["reason"], one["packets"])).collect()
}

/// All pools.
pub fn pools(status: &Value) -> Vec<&Value> {
    status["pools"].as_array().into_iter().flatten().collect()
}

/// The listener called `name`.
pub fn listener<'s>(status: &'s Value, name: &str) -> Option<&'s Value> {
    let balancers = status["load_balancers"].as_array().into_iter().flatten();
    let mut all = balancers.flat_map(|lb| lb["listeners"].as_array().into_iter().flatten());
    all.find(|listener| listener["name"] == name)
}

/// The listener that serves the pool called `name`; null if there is none.
pub fn listener_of_pool<'s>(status: &'s Value, name: &str) -> &'s Value {
    let balancers = status["load_balancers"].as_array().into_iter().flatten();
    let mut all = balancers.flat_map(|lb| lb["listeners"].as_array().into_iter().flatten());
    all.find(|listener| listener["default_pool"] == name).unwrap_or(&Value::Null)
}

/// How many slots of its ring each member of the pool called `name` owns, by address.
pub fn slots(status: &Value, name: &str) -> BTreeMap<IpAddr, u64> {
    let pool = pools(status).into_iter().find(|pool| pool["name"] == name);
    let members = pool.and_then(|pool| pool["members"].as_array()).into_iter().flatten();
    let owned = |member: &Value| {
        let address = member["address"].as_str()?.parse().ok()?;
        Some((address, member["slots"].as_u64()?))
    };
    members.filter_map(owned).collect()
}

/// What the pool called `name` is said to be.
pub fn pool<'s>(status: &'s Value, name: &str) -> Option<&'s Value> {
    pools(status).into_iter().find(|pool| pool["name"] == name)
}

/// What a member of the pool called `name` is said to be.
pub fn member<'s>(status: &'s Value, name: &str, address: IpAddr) -> Option<&'s Value> {
    let members = pool(status, name)?["members"].as_array()?;
    members.iter().find(|member| member["address"].as_str() == Some(&address.to_string()))
}

/// Whether every member of every pool that has a weight takes new flows, but for those in reserve.
pub fn all_serve(status: &Value) -> bool {
    let members = |pool: &&Value| pool["members"].as_array().cloned().unwrap_or_default();
    let mut members = pools(status).iter().flat_map(members).collect::<Vec<_>>().into_iter();
    let rests = |one: &Value| one["weight"] == 0 || one["backup"]["in_service"] == false;
    members.len() > 0 && members.all(|one| rests(&one) || one["slots"] != 0)
}

fn visit(value: &Value, look: &mut impl FnMut(&serde_json::Map<String, Value>)) {
    if let Value::Object(object) = value {
        look(object);
        object.values().for_each(|inner| visit(inner, look));
    }
    if let Value::Array(items) = value {
        items.iter().for_each(|inner| visit(inner, look));
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use serde_json::json;

    use super::*;

    #[test]
    fn members_are_found_where_they_are() {
        let address = IpAddr::from(Ipv4Addr::new(10, 0, 0, 11));
        let status = json!({ "pools": [{ "name": "web", "members": [
            { "address": "10.0.0.11", "operating_status": "ONLINE" },
            { "address": "10.0.0.12", "operating_status": "OFFLINE" },
        ]}]});
        assert!(all_are(&status, address, "ONLINE"));
        assert!(!all_are(&status, address, "OFFLINE"));
        assert!(!all_are(&json!({}), address, "ONLINE"));
    }
}
