//! The pool, its listeners and their addresses: what the configuration alone decides.

use std::path::Path;

use crate::diagnosis::check::Check;
use crate::diagnosis::command::apply;
use crate::diagnosis::evidence::{PoolWanted, Resting, Served};
use crate::diagnosis::report::{Finding, Outcome};

/// Whether the pool serves a listener that is served.
pub(super) fn attached(pool: &PoolWanted, file: &Path) -> Finding {
    let name = &pool.name;
    if pool.listeners.is_empty() {
        let what = format!("pool {name:?} is attached to no listener: nothing is sent to it");
        return Finding::seen(Check::Attached, Outcome::Fail, what).fix(attach(pool, file));
    }
    let (on, off): (Vec<&Served>, Vec<&Served>) =
        pool.listeners.iter().partition(|served| served.enabled);
    if on.is_empty() {
        let what =
            format!("pool {name:?} serves only listeners that are disabled: {}", names(&off));
        let fix = format!(
            "set admin_state_up = true for the listener and its load balancer in {}, then {}",
            file.display(),
            apply(file)
        );
        return Finding::seen(Check::Attached, Outcome::Fail, what).fix(fix);
    }
    let what = format!("pool {name:?} serves {}", names(&on));
    Finding::seen(Check::Attached, Outcome::Pass, what)
}

fn attach(pool: &PoolWanted, file: &Path) -> String {
    let name = &pool.name;
    let how = match &pool.others[..] {
        [] => format!("add a listener with default_pool = {name:?} to a [[load_balancer]]"),
        others => format!(
            "attach it to a listener: set default_pool = {name:?} for one of {}, or add a listener",
            some(others)
        ),
    };
    format!("{how}, in {}, then {}", file.display(), apply(file))
}

/// Whether packets can be addressed to the listeners.
pub(super) fn address_bound(pool: &PoolWanted, file: &Path) -> Finding {
    let bound = |served: &&Served| !served.vips.is_empty();
    let Some(without) = pool.listeners.iter().find(|served| !bound(served)) else {
        return bound_or_nothing(pool);
    };
    let balancer = &without.balancer;
    let (outcome, health) = if without.was_bound {
        (Outcome::Warn, "its members stay as they are, for it had one")
    } else {
        (Outcome::Fail, "its members count as unhealthy, for it never had one")
    };
    let what = format!(
        "load balancer {balancer:?} has no address: no client can reach {} listener {:?}; \
         {health}",
        without.protocol, without.listener
    );
    let fix = format!(
        "set vip_address = \"ADDRESS\" for load balancer {balancer:?} in {}, then {}",
        file.display(),
        apply(file)
    );
    Finding::seen(Check::AddressBound, outcome, what).fix(fix)
}

/// The same for a member: it is unhealthy for a listener without an address, and serves the others.
pub(super) fn address_bound_next_to_others(pool: &PoolWanted, file: &Path) -> Finding {
    let finding = address_bound(pool, file);
    let serves_others = pool.listeners.iter().any(|served| !served.vips.is_empty());
    if finding.outcome == Outcome::Fail && serves_others {
        return Finding { outcome: Outcome::Warn, ..finding };
    }
    finding
}

/// Whether any member takes new connections.
pub(super) fn taken(pool: &PoolWanted, file: &Path) -> Finding {
    let resting: Vec<&Resting> = pool.members.iter().filter_map(Option::as_ref).collect();
    if pool.members.is_empty() {
        let what = format!("pool {:?} has no member", pool.name);
        let fix = format!(
            "add [[pool.member]] with address and protocol_port in {}, then {}",
            file.display(),
            apply(file)
        );
        return Finding::seen(Check::Taken, Outcome::Fail, what).fix(fix);
    }
    if resting.len() < pool.members.len() {
        let what = "there are members that may";
        return Finding::seen(Check::Taken, Outcome::Pass, what);
    }
    let why: Vec<String> = resting.iter().map(ToString::to_string).collect();
    let what = format!("no member of pool {:?} takes new connections: {}", pool.name, some(&why));
    let fixes = resting.iter().map(|resting| resting.fix(&pool.name, file));
    let fix = fixes.reduce(|first, _| first).unwrap_or_default();
    Finding::seen(Check::Taken, Outcome::Fail, what).fix(fix)
}

fn bound_or_nothing(pool: &PoolWanted) -> Finding {
    let vips: Vec<String> = pool.vips().map(|vip| vip.to_string()).collect();
    if vips.is_empty() {
        let what = "there is no TCP or UDP listener";
        return Finding::seen(Check::AddressBound, Outcome::NotApplicable, what);
    }
    Finding::seen(Check::AddressBound, Outcome::Pass, some(&vips))
}

fn names(listeners: &[&Served]) -> String {
    let names: Vec<String> =
        listeners.iter().map(|one| format!("{}/{}", one.balancer, one.listener)).collect();
    some(&names)
}

/// The first of many.
fn some(names: &[String]) -> String {
    const SHOWN: usize = 5;
    if names.len() <= SHOWN {
        return names.join(", ");
    }
    format!("{} and {} more", names[..SHOWN].join(", "), names.len() - SHOWN)
}
