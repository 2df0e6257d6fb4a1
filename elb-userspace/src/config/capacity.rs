//! What fits into maps whose size is not settable.

use elb_common::limits::MAX_PORT_RANGES;

use crate::model::LoadBalancer;
use crate::model::rules::{At, Violation};

/// Half of the map: while ranges change, the new ones are there beside the old ones.
const MOST_PREFIXES: usize = MAX_PORT_RANGES as usize / 2;

/// Listeners whose ranges of ports find no room, taking them in the order of the file.
pub(super) fn port_ranges(load_balancers: &[LoadBalancer]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut prefixes = 0;
    for (i, lb) in load_balancers.iter().enumerate() {
        for (j, listener) in lb.listeners.iter().enumerate() {
            let own = listener.ports().prefixes().len() * lb.vips().count();
            prefixes += own;
            if prefixes > MOST_PREFIXES {
                let what = format!("its ports need {prefixes} prefixes in all, of {MOST_PREFIXES}");
                let fix = "use fewer ranges, or such that begin and end at multiples of 16";
                let (at, key, fix) = (At::Listener(i, j), "port_ranges", fix.to_owned());
                violations.push(Violation { at, key, what, fix });
                prefixes -= own;
            }
        }
    }
    violations
}
