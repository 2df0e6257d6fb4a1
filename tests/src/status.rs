//! What `elb status -o json` says, as far as tests ask for it.

use std::net::IpAddr;

use serde_json::Value;

/// The operating status (`ONLINE`, `OFFLINE`, `NO_MONITOR`, …) of each member that has `address`,
/// wherever in the document members are listed.
pub fn of_members(status: &Value, address: IpAddr) -> Vec<String> {
    let mut found = Vec::new();
    visit(status, &mut |object| {
        let is_it = object
            .get("address")
            .and_then(Value::as_str)
            .map(str::parse)
            == Some(Ok(address));
        if let (true, Some(state)) = (
            is_it,
            object.get("operating_status").and_then(Value::as_str),
        ) {
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
