//! Strict reverse path filtering (`rp_filter` 1) drops a packet whose answer would go out by another
//! interface than the packet came in by (RFC 3704 §2.2), and no other: what it drops depends on routes.

use std::net::IpAddr;

use super::asked::InspectRequest;
use super::facts::{Facts, Known, Route};

/// What strict filtering of packets that come in by an interface does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Strict {
    /// Answers to all that is known go out by the same interface.
    DropsNothing,
    /// Answers to this one go out by another, or nowhere.
    Drops {
        /// Whom packets come from.
        from: String,
        /// The interface that answers go out by; none: there is no route.
        out: Option<String>,
    },
    /// Neither a client nor a default route is known.
    Unknown,
}

/// What strict filtering of packets to virtual IPv4 addresses that come in by `interface` does.
pub(super) fn strict(interface: &str, asked: &InspectRequest, facts: &Facts) -> Strict {
    let named = facts.routes.iter().chain(&facts.clients);
    let named = named.filter(|(from, _)| from.is_ipv4());
    if let Some(drops) = named.clone().find_map(|(from, route)| dropped(interface, *from, route)) {
        return drops;
    }
    let out = facts.defaults.as_ref().ok().and_then(|defaults| defaults.of(false));
    match out {
        _ if asked.clients.iter().any(IpAddr::is_ipv4) => Strict::DropsNothing,
        Some(out) if out == interface => Strict::DropsNothing,
        Some(out) => {
            Strict::Drops { from: "clients elsewhere".to_owned(), out: Some(out.to_owned()) }
        }
        None if named.count() > 0 => Strict::DropsNothing,
        None => Strict::Unknown,
    }
}

fn dropped(interface: &str, from: IpAddr, route: &Known<Route>) -> Option<Strict> {
    let from = from.to_string();
    match route.as_ref().ok()? {
        Route::Via { interface: out, .. } if out == interface => None,
        Route::Via { interface: out, .. } => Some(Strict::Drops { from, out: Some(out.clone()) }),
        Route::None | Route::Refused(..) => Some(Strict::Drops { from, out: None }),
        Route::Local => None,
    }
}
