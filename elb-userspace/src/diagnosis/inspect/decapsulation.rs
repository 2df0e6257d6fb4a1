//! Outer headers are taken off: by elb's program, or by a device of the kernel.

use super::asked::InspectRequest;
use super::facts::Facts;
use super::parts::Part;
use super::trust;
use super::virtual_address::up;
use crate::backend::Mode;
use crate::model::transport::TransportProtocol;

/// Where GUE goes (IANA).
const GUE_PORT: u16 = 6080;

pub(super) fn check(asked: &InspectRequest, facts: &Facts) -> Vec<Part> {
    let Some(mode) = asked.mode.filter(|mode| mode.is_tunnel()) else {
        return vec![Part::not_applicable("packets come without outer headers")];
    };
    let name = facts.way_in(asked);
    let interface = name.as_deref().unwrap_or("the interface that packets come in by");
    match &facts.xdp {
        Err(needed) => vec![Part::unknown(needed)],
        Ok(Some((_, true))) => by_program(interface, asked, facts),
        Ok(Some((name, false))) => vec![Part::unknown(format!(
            "{interface} carries the XDP program {name:?}, not elb's: ask its owner whether it takes \
             the outer headers of {} off",
            mode.name()
        ))],
        Ok(None) => by_device(mode, asked, facts).unwrap_or_else(|| {
            vec![
                Part::fail(format!(
                    "nothing takes the outer headers of {} off: {interface} carries no XDP program, \
                     and there is no tunnel device that is up",
                    mode.name()
                ))
                .fix(up(asked, facts)),
            ]
        }),
    }
}

fn by_program(interface: &str, asked: &InspectRequest, facts: &Facts) -> Vec<Part> {
    let recorded = match &facts.backend {
        Ok(recorded) => recorded,
        Err(needed) => return vec![Part::unknown(needed)],
    };
    if recorded.interfaces.is_empty() {
        return vec![Part::unknown(format!(
            "{interface} carries elb's program, but its set-up is not found: name its directories \
             with --pin-dir and --state-dir"
        ))];
    }
    let missing = asked.vips.iter().find(|vip| !recorded.unwrapped.contains(vip));
    let knows = match missing {
        Some(vip) => Part::fail(format!(
            "elb's program is on {interface}, but does not know {vip}: packets to it stay wrapped"
        ))
        .fix(up(asked, facts)),
        None => Part::pass(format!("elb's program is on {interface} and knows the addresses")),
    };
    vec![knows, trust::of_program(recorded, asked, facts)]
}

fn by_device(mode: Mode, asked: &InspectRequest, facts: &Facts) -> Option<Vec<Part>> {
    let network = facts.network.as_ref().ok()?;
    let v6_inside = asked.vips.iter().any(std::net::IpAddr::is_ipv6);
    let kinds: &[&str] = if v6_inside { &["sit", "ip6tnl"] } else { &["ipip", "ip6tnl"] };
    let fits = |kind: &str| kinds.contains(&kind);
    let device =
        network.links.iter().find(|link| link.up && link.kind.as_deref().is_some_and(fits))?;
    let port = facts
        .sockets
        .as_ref()
        .ok()?
        .iter()
        .any(|socket| socket.port == GUE_PORT && socket.protocol == TransportProtocol::Udp);
    let name = &device.name;
    let works = match mode {
        Mode::Gue if port => {
            Part::pass(format!("the tunnel device {name} is up, and port {GUE_PORT} is open"))
        }
        Mode::Ipip => Part::pass(format!("the tunnel device {name} is up")),
        Mode::L2 | Mode::Gue | Mode::Nat | Mode::FullNat | Mode::Nat46 => return None,
    };
    Some(vec![works, trust::of_device(name, mode, asked, facts)])
}
