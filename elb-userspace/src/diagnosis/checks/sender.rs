//! The load balancer's own side: how it sends packets to the member.

use crate::control::network::Unreachable;
use crate::diagnosis::check::Check;
use crate::diagnosis::evidence::Evidence;
use crate::diagnosis::look::{self, CLIENT_MTU};
use crate::diagnosis::report::{Finding, Outcome};
use crate::observe::packet::mac;

/// Whether packets of full size fit.
pub(super) fn mtu(evidence: &Evidence) -> Finding {
    let Ok(hop) = &evidence.way.next_hop else {
        return Finding::seen(Check::Mtu, Outcome::Unknown, "there is no way to the member");
    };
    let wanted = look::full_size(evidence.wanted.pool.forwarding, evidence.address());
    let interface = &evidence.way.interface;
    if let Some(narrow) = evidence.way.path_mtu.filter(|mtu| *mtu == u32::from(hop.mtu))
        && hop.mtu < wanted
    {
        return narrow_way(evidence, narrow, wanted);
    }
    if hop.mtu < wanted {
        let what = format!(
            "packets of {} bytes fit on {interface}, but full ones of clients have {wanted} with \
             their outer headers: clients are asked to send smaller ones",
            hop.mtu
        );
        return Finding::seen(Check::Mtu, Outcome::Warn, what).fix(format!(
            "ip link set {interface} mtu {wanted}, and the same on every device on the way; where ICMP does \
             not reach clients: elb backend up --mss {} on the backend servers",
            hop.mtu.saturating_sub(wanted - CLIENT_MTU + 40)
        ));
    }
    match &evidence.looks.large {
        Some(large) if large.answer.is_ok() => {
            let what = format!("a packet of {} bytes gets there undivided", large.bytes);
            Finding::inferred(Check::Mtu, Outcome::Pass, what)
        }
        Some(_) | None => {
            let what = format!(
                "{interface} has room for {wanted} bytes; echo requests of that size, which would show the rest of the way, are not answered"
            );
            Finding::inferred(Check::Mtu, Outcome::Unknown, what)
        }
    }
}

/// A router on the way has said that it takes no more.
fn narrow_way(evidence: &Evidence, narrow: u32, wanted: u16) -> Finding {
    let address = evidence.address();
    let what = format!(
        "a router on the way to {address} takes packets of {narrow} bytes at most, but full ones of clients \
         have {wanted} with their outer headers: clients are asked to send smaller ones"
    );
    Finding::seen(Check::Mtu, Outcome::Warn, what).fix(format!(
        "tracepath -n {address}    # shows the narrow link; give it an MTU of {wanted}; where ICMP does not \
         reach clients: elb backend up --mss {} on the backend servers",
        narrow.saturating_sub(u32::from(wanted - CLIENT_MTU) + 40)
    ))
}

/// Whether the next hop is known.
pub(super) fn neighbor(evidence: &Evidence) -> Finding {
    let way = &evidence.way;
    // What was known before counts only where the fresh look found no answer.
    let doubt = way.doubt.as_ref().filter(|_| evidence.looks.neighbor != Some(true));
    match &way.next_hop {
        Ok(_) if let Some(doubt) = doubt => {
            Finding::seen(Check::Neighbor, Outcome::Warn, doubt.clone()).fix(format!(
                "ip neigh show {}    # answers again, or is down",
                way.gateway.unwrap_or(evidence.address())
            ))
        }
        Ok(hop) => {
            let who = way.gateway.unwrap_or(evidence.address());
            let what = format!("{who} is at {} on {}", mac(&hop.mac.bytes()), way.interface);
            Finding::seen(Check::Neighbor, Outcome::Pass, what)
        }
        Err(why @ Unreachable::Unknown) => {
            Finding::seen(Check::Neighbor, Outcome::Unknown, why.to_string())
        }
        Err(why) => Finding::seen(Check::Neighbor, Outcome::NotApplicable, why.to_string()),
    }
}

/// Whether the member is another host.
pub(super) fn itself(evidence: &Evidence) -> Finding {
    let what = format!("{} is not an address of the load balancer", evidence.address());
    Finding::seen(Check::Itself, Outcome::Pass, what)
}

/// Whether probes leave this host, and their answers get in.
pub(super) fn probes(evidence: &Evidence) -> Finding {
    match evidence.own.faults.first() {
        None => {
            let what = "nothing on this load balancer keeps probes from the member";
            Finding::seen(Check::Probes, Outcome::Pass, what)
        }
        Some(fault) => {
            let what = format!("{}; it does not explain what is wrong with the member", fault.what);
            Finding::seen(Check::Probes, Outcome::Warn, what).fix(fault.fix.clone())
        }
    }
}
