//! Reads `[snat]`: addresses that members see in the place of clients' addresses.

use std::net::IpAddr;

use super::table::Table;
use crate::model::value::ValueRule as _;
use crate::model::{ClientPrefix, Forwarding, SnatPrefixes, SourceAddresses};
use crate::source::settings::AgentSettings;

/// What `[snat]` has; nothing if anything in it is wrong.
pub(super) fn read(root: &mut Table<'_>, agent: Option<&AgentSettings>) -> SnatPrefixes {
    of_api(root);
    let snat = root.table("snat", "[snat]".to_owned()).map(prefixes).unwrap_or_default();
    if let Some(agent) = agent {
        no_probe_source(root, agent, snat);
    }
    snat
}

fn prefixes(mut table: Table<'_>) -> SnatPrefixes {
    if !table.has("v4") && !table.has("v6") {
        let (v4, v6) = (SourceAddresses::rule(), ClientPrefix::rule());
        let fix =
            format!("set v4 to {v4}, for pools with fullnat, or v6 to {v6}, for pools with nat46");
        table.wrong("v4", "v4 and v6 are missing", fix);
    }
    let snat = SnatPrefixes { v4: table.parsed("v4"), v6: table.parsed("v6") };
    let (sound, _) = table.finish();
    if sound { snat } else { SnatPrefixes::default() }
}

/// Pools that the API makes have one forwarding.
fn of_api(root: &mut Table<'_>) {
    let forwarding = root.peek_in("api", "forwarding").and_then(|text| text.parse().ok());
    let Some(forwarding) = forwarding else { return };
    let forwarding: Forwarding = forwarding;
    if forwarding.hides_clients() && root.peek_in("snat", "v4").is_none() {
        let what = format!(
            "forwarding {forwarding} of [api] takes source addresses for members to answer, and there are none"
        );
        root.wrong("api", what, "add [snat] with v4 = \"PREFIX\", or use another forwarding");
    }
    if forwarding.embeds_clients() {
        let what = format!(
            "forwarding {forwarding} cannot be that of all pools of [api]: members of a pool of IPv6 would serve \
             virtual IPv4 addresses only, and a pool of IPv4 would have no members"
        );
        let fix = "use \"ipip\", which members of either IP version serve virtual addresses of either with, or remove \
                   [api] and have the pools in this file";
        root.wrong("api", what, fix);
    }
}

/// A host's own address is not one that members answer in a client's place.
fn no_probe_source(root: &mut Table<'_>, agent: &AgentSettings, snat: SnatPrefixes) {
    let v4 = agent.probe_source.map(|address| ("probe_source", IpAddr::V4(address)));
    let v6 = agent.probe_source_ipv6.map(|address| ("probe_source_ipv6", IpAddr::V6(address)));
    for (key, address) in v4.into_iter().chain(v6) {
        if let Some(of) = snat.use_of(address) {
            let what = format!("{key} {address} of [agent] {of}");
            root.wrong("snat", what, "use another address, or another prefix in [snat]");
        }
    }
}
