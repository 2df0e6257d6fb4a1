//! Which versions there are, as clients look for them.

use serde_json::{Value, json};

/// The document of `/`: what OpenStack's clients find the API by.
pub(super) fn all(root: &str) -> Value {
    json!({"versions": [version(root)]})
}

/// The document of `/v2` and `/v2.0`.
pub(super) fn one(root: &str) -> Value {
    json!({"version": version(root)})
}

fn version(root: &str) -> Value {
    json!({
        "id": "v2.0", "status": "CURRENT", "updated": "2026-01-01T00:00:00Z",
        "links": [{"rel": "self", "href": format!("{root}/v2.0")}],
    })
}

/// Where this host is reached, as the client itself calls it; nothing where it does not say.
pub(super) fn root(host: Option<&str>, is_secure: bool) -> String {
    let scheme = if is_secure { "https" } else { "http" };
    let is_host = |host: &&str| {
        !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-:[]_".contains(c))
    };
    host.filter(is_host).map(|host| format!("{scheme}://{host}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_where_the_client_came_from() {
        let root = root(Some("192.0.2.1:9443"), true);
        let document = all(&root);
        assert_eq!(document["versions"][0]["links"][0]["href"], "https://192.0.2.1:9443/v2.0");
        assert_eq!(super::root(Some("a\"b"), false), "");
        assert_eq!(super::root(None, false), "");
    }
}
