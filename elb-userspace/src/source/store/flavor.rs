//! What a load balancer may carry by its flavor: the figures of the service for listeners of TCP and UDP.

use serde_json::Value;

use super::Document;
use crate::model::LbAlgorithm;

/// A size that load balancers may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flavor {
    /// What load balancers name it by.
    pub id: &'static str,
    /// What the service calls it.
    pub name: &'static str,
    /// New connections a second.
    pub cps: i64,
    /// Connections at once.
    pub connection: i64,
}

/// Those whose figures can be enforced: the larger ones have more connections than a listener can be limited to.
pub const FLAVORS: [Flavor; 2] = [
    Flavor {
        id: "e1b00000-0000-4000-8000-000000000011",
        name: "L4_flavor.elb.s1.small",
        cps: 10_000,
        connection: 500_000,
    },
    Flavor {
        id: "e1b00000-0000-4000-8000-000000000012",
        name: "L4_flavor.elb.s2.small",
        cps: 20_000,
        connection: 1_000_000,
    },
];

impl Flavor {
    /// The one with this id.
    pub fn find(id: &str) -> Option<Self> {
        FLAVORS.into_iter().find(|flavor| flavor.id.eq_ignore_ascii_case(id))
    }

    /// What a listener may open in a second and have at once, 0 without a limit: what it says itself, and no more than
    /// the flavor of its load balancer. Where its pool records nothing, connections cannot be counted, nor can new ones
    /// of UDP: there, only what it says itself is asked for.
    pub(super) fn limits(balancer: &Document, listener: &Document, is_tracked: bool) -> (i64, i64) {
        let own = (listener.number("cps"), listener.number("connection"));
        let Some(flavor) = Self::find(balancer.text("l4_flavor_id")) else { return own };
        let is_counted = is_tracked || listener.text("protocol") != "UDP";
        let least = |own: i64, most: i64| if own > 0 { own.min(most) } else { most };
        let cps = if is_counted { least(own.0, flavor.cps) } else { own.0 };
        let connection = if is_tracked { least(own.1, flavor.connection) } else { own.1 };
        (cps, connection)
    }
}

/// Whether the connections of a pool are recorded.
pub(super) fn is_tracked(pool: &Document) -> bool {
    let algorithm = pool.body.get("lb_algorithm").cloned().unwrap_or(Value::Null);
    serde_json::from_value::<LbAlgorithm>(algorithm).is_ok_and(LbAlgorithm::is_tracked)
}
