//! Whether packets of clients fit the way to the members, outer headers included.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::Duty;
use crate::control::network::{Network, Route};
use crate::diagnosis::check::Check;
use crate::diagnosis::packet_size::{LEAST, USUAL, overhead};
use crate::diagnosis::report::{Finding, Outcome};

pub(super) fn mtu(duty: &Duty, network: &Network) -> Finding {
    let ways = ways(duty, network);
    let found = |outcome, evidence: String| Finding::seen(Check::Mtu, outcome, evidence);
    if ways.is_empty() {
        return found(Outcome::NotApplicable, "no member is reached by ipip or gue".to_owned());
    }
    let tight: Vec<&Way> = ways.values().filter(|way| way.mtu < USUAL + way.overhead).collect();
    let Some(tightest) = tight.iter().min_by_key(|way| way.mtu.saturating_sub(way.overhead)) else {
        let names: BTreeSet<&str> = ways.values().map(|way| way.interface.as_str()).collect();
        let names = names.into_iter().collect::<Vec<_>>().join(", ");
        return found(
            Outcome::Pass,
            format!("packets of {USUAL} bytes fit with outer headers: {names}"),
        );
    };
    let least = tightest.mtu.saturating_sub(tightest.overhead);
    let stuck = least < LEAST && duty.vips.iter().any(IpAddr::is_ipv6);
    let evidence = tight.iter().map(|way| {
        let Way { interface, mtu, overhead, member, .. } = way;
        let fits = mtu.saturating_sub(*overhead);
        format!("{interface}: of {mtu} bytes to {member}, {overhead} are outer headers: {fits} fit, clients send {USUAL}")
    });
    let evidence = evidence.collect::<Vec<_>>().join("\n");
    let fixes = tight.iter().map(|way| way.fix()).collect::<BTreeSet<_>>();
    let fix = fixes.into_iter().collect::<Vec<_>>().join("\n");
    if stuck {
        return found(Outcome::Fail, format!("{evidence}\nIPv6 needs {LEAST}")).fix(fix);
    }
    let answered = "clients learn which size fits, if ICMP reaches them; where a filter on their way \
                    drops it, uploads hang: `elb backend up --mss` makes the servers ask for less";
    found(Outcome::Warn, format!("{evidence}\n{answered}")).fix(fix)
}

/// A way to members, by interface, size and outer headers.
struct Way {
    interface: String,
    mtu: u32,
    /// Whether it is the route's own.
    by_route: bool,
    overhead: u32,
    member: IpAddr,
}

impl Way {
    fn fix(&self) -> String {
        let wanted = USUAL + self.overhead;
        if self.by_route {
            return format!(
                "ip route get {}    # give that route mtu {wanted}, or none",
                self.member
            );
        }
        format!("ip link set dev {} mtu {wanted}", self.interface)
    }
}

fn ways(duty: &Duty, network: &Network) -> BTreeMap<(u32, u32, u32), Way> {
    let mut ways = BTreeMap::new();
    for (member, mode) in &duty.members {
        let overhead = overhead(*mode, *member);
        let Some(Route::Via { ifindex, mtu, .. }) = network.routes.get(member) else { continue };
        let (Some(link), 1..) = (network.links.get(ifindex), overhead) else { continue };
        let by_route = mtu.is_some_and(|mtu| mtu < link.mtu);
        let mtu = mtu.unwrap_or(link.mtu).min(link.mtu);
        let interface = link.name.clone();
        let way = || Way { interface, mtu, by_route, overhead, member: *member };
        ways.entry((*ifindex, mtu, overhead)).or_insert_with(way);
    }
    ways
}
