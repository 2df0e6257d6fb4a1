//! The two dialects of version 2, and the words of V3 that each has others for.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::api::v3::face::Fault;

/// Which clients a path is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `/v2.0/lbaas`, which OpenStack's clients speak, and those of the cloud's OpenStack API.
    OpenStack,
    /// `/v2/{project_id}/elb`, which the cloud's SDK speaks.
    Cloud,
}

/// Attributes of V3, and what they are called in both dialects.
const NAMES: [(&str, &str); 8] = [
    ("vip_subnet_cidr_id", "vip_subnet_id"),
    ("ipv6_vip_virsubnet_id", "vip_subnet_id"),
    ("ipv6_vip_address", "vip_address"),
    ("vpc_id", "vip_network_id"),
    ("subnet_cidr_id", "subnet_id"),
    ("l4_flavor_id", "flavor_id"),
    ("availability_zone_list", "availability_zone"),
    ("max_connection", "connection_limit"),
];

/// Values of V3, and what OpenStack calls them.
const VALUES: [(&str, &str); 3] =
    [("UDP_CONNECT", "UDP-CONNECT"), ("TLS", "TLS-HELLO"), ("5_TUPLE_HASH", "SOURCE_IP_PORT")];

impl Dialect {
    /// A value, as this dialect has it.
    pub(super) fn value(self, v3: &str) -> &str {
        let found = VALUES.iter().find(|(one, _)| *one == v3 && self == Self::OpenStack);
        found.map_or(v3, |(_, own)| own)
    }

    /// A value of this dialect, as V3 has it.
    pub(super) fn v3_value(self, own: &str) -> &str {
        let found = VALUES.iter().find(|(_, one)| *one == own && self == Self::OpenStack);
        found.map_or(own, |(v3, _)| v3)
    }

    /// How a resource is. OpenStack knows no member without a result yet, and calls one that fails its probes
    /// ERROR.
    pub(super) const fn operating_status(self, v3: &str, is_drained: bool) -> &'static str {
        match (self, v3.as_bytes()) {
            (Self::OpenStack, b"ONLINE" | b"NO_MONITOR") if is_drained => "DRAINING",
            (_, b"ONLINE") => "ONLINE",
            (_, b"DEGRADED") => "DEGRADED",
            (Self::OpenStack, b"OFFLINE") => "ERROR",
            (Self::OpenStack, b"DISABLED" | b"INITIAL") | (Self::Cloud, b"OFFLINE") => "OFFLINE",
            (Self::Cloud, b"DISABLED") => "DISABLED",
            _ => "NO_MONITOR",
        }
    }

    /// A message of V3 in the words of this dialect.
    fn respelled(self, message: &str) -> String {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let mut all = String::new();
        let mut rest = message;
        while let Some(first) = rest.chars().next() {
            let end = if is_part(first) {
                rest.find(|c| !is_part(c)).unwrap_or(rest.len())
            } else {
                first.len_utf8()
            };
            let (word, after) = rest.split_at(end);
            let named = NAMES.iter().find(|(one, _)| *one == word).map(|(_, own)| *own);
            all.push_str(named.unwrap_or_else(|| self.value(word)));
            rest = after;
        }
        all
    }

    /// An error as clients of this dialect read it. Those of the cloud's OpenStack API look for a NeutronError, those
    /// of OpenStack for a fault.
    pub(super) fn error(self, fault: &Fault, request: &str) -> (StatusCode, Value) {
        let message = self.respelled(&fault.message);
        if self == Self::Cloud {
            let body =
                json!({"error_code": fault.code, "error_msg": message, "request_id": request});
            return (fault.status, body);
        }
        let status = match fault.code {
            "ELB.8903" => StatusCode::NOT_IMPLEMENTED,
            // A quota is met.
            "ELB.8905" => StatusCode::FORBIDDEN,
            _ => fault.status,
        };
        let side = if fault.status.is_server_error() { "Server" } else { "Client" };
        let body = json!({
            "faultcode": side, "faultstring": message, "debuginfo": null, "request_id": request,
            "NeutronError": {"type": fault.code, "message": message, "detail": ""},
        });
        (status, body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_the_words_of_the_dialect() {
        let said = "healthmonitor.type UDP_CONNECT: vip_subnet_cidr_id, subnet_cidr_ids, TLS";
        let own = "healthmonitor.type UDP-CONNECT: vip_subnet_id, subnet_cidr_ids, TLS-HELLO";
        assert_eq!(Dialect::OpenStack.respelled(said), own);
        let own = "healthmonitor.type UDP_CONNECT: vip_subnet_id, subnet_cidr_ids, TLS";
        assert_eq!(Dialect::Cloud.respelled(said), own);
        for v3 in ["UDP_CONNECT", "TCP", "5_TUPLE_HASH"] {
            for dialect in [Dialect::OpenStack, Dialect::Cloud] {
                assert_eq!(dialect.v3_value(dialect.value(v3)), v3);
            }
        }
    }

    #[test]
    fn errors_have_the_form_that_clients_read() {
        let fault = Fault::not_supported("no vpc_id".to_owned());
        let (status, body) = Dialect::OpenStack.error(&fault, "r");
        assert_eq!((status.as_u16(), &body["faultcode"]), (501, &json!("Client")));
        assert_eq!(body["faultstring"], "no vip_network_id");
        assert_eq!(body["NeutronError"]["message"], body["faultstring"]);
        let (status, body) = Dialect::Cloud.error(&fault, "r");
        assert_eq!((status.as_u16(), &body["error_code"]), (403, &json!("ELB.8903")));
    }
}
