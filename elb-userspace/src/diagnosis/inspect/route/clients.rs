//! Answers find their way to clients: with direct server return they do not pass the load balancer.

use std::net::IpAddr;

use super::judge;
use crate::diagnosis::inspect::asked::InspectRequest;
use crate::diagnosis::inspect::facts::{Facts, Network};
use crate::diagnosis::inspect::parts::Part;

/// The parts of the check of routes that are about clients.
pub(super) fn check(asked: &InspectRequest, facts: &Facts) -> Vec<Part> {
    let empty = Network::default();
    let network = facts.network.as_ref().unwrap_or(&empty);
    let part = |(client, route): &(IpAddr, _)| match route {
        Ok(route) => judge(*client, route, network),
        Err(needed) => Part::unknown(needed),
    };
    let mut parts: Vec<Part> = facts.clients.iter().map(part).collect();
    let missing = [false, true].into_iter().filter_map(|v6| no_default(v6, asked, facts));
    parts.extend(missing);
    parts
}

/// Clients of a virtual address may be anywhere, unless they were named.
fn no_default(v6: bool, asked: &InspectRequest, facts: &Facts) -> Option<Part> {
    let serves = asked.vips.iter().any(|vip| vip.is_ipv6() == v6);
    let named = asked.clients.iter().any(|client| client.is_ipv6() == v6);
    let defaults = facts.defaults.as_ref().ok()?;
    if !serves || named || defaults.of(v6).is_some() {
        return None;
    }
    let (version, option) = if v6 { ("IPv6", "-6 ") } else { ("IPv4", "") };
    let device = facts.way_in(asked).unwrap_or_else(|| "INTERFACE".to_owned());
    Some(
        Part::warn(format!(
            "there is no default route for {version}: clients outside of this host's networks get no \
             answer, although probes of the load balancer do; `elb backend inspect --client ADDRESS` \
             checks the way to one"
        ))
        .fix(format!("ip {option}route add default via GATEWAY dev {device}")),
    )
}
