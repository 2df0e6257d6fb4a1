//! The pool, its listeners and their addresses: what the configuration alone decides.

use std::path::Path;

use crate::diagnosis::check::Check;
use crate::diagnosis::command::apply;
use crate::diagnosis::evidence::{FullMember, OutOfRotation, PoolWanted, Served};
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
    let out: Vec<&OutOfRotation> = pool.members.iter().filter_map(Option::as_ref).collect();
    if pool.members.is_empty() {
        let what = format!("pool {:?} has no member", pool.name);
        let fix = format!(
            "add [[pool.member]] with address and protocol_port in {}, then {}",
            file.display(),
            apply(file)
        );
        return Finding::seen(Check::Taken, Outcome::Fail, what).fix(fix);
    }
    if !pool.full.is_empty() {
        return full(pool, file);
    }
    if let Some(backup) = pool.backup.filter(|backup| backup.in_service) {
        return Finding::seen(Check::Taken, Outcome::Warn, backup.to_string());
    }
    if out.len() < pool.members.len() {
        let rising = pool.rising.iter().map(|(member, rising)| format!("{member} {rising}"));
        let rising: Vec<String> = rising.collect();
        let rising = if rising.is_empty() { String::new() } else { format!("; {}", some(&rising)) };
        let what = format!("there are members that may{rising}");
        return Finding::seen(Check::Taken, Outcome::Pass, what);
    }
    let why: Vec<String> = out.iter().map(ToString::to_string).collect();
    let what = format!("no member of pool {:?} takes new connections: {}", pool.name, some(&why));
    let fixes = out.iter().map(|member| member.fix(&pool.name, file));
    let fix = fixes.reduce(|first, _| first).unwrap_or_default();
    Finding::seen(Check::Taken, Outcome::Fail, what).fix(fix)
}

/// Members that get no new connection before one ends.
fn full(pool: &PoolWanted, file: &Path) -> Finding {
    let name = |full: &FullMember| format!("{}: {full}", full.member);
    let names: Vec<String> = pool.full.iter().map(name).collect();
    let what = format!("{}; new connections go to members that have fewer", some(&names));
    let fix = format!(
        "if they can serve more, raise their max_connection in {}, then {}; otherwise add members to \
         pool {:?}",
        file.display(),
        apply(file),
        pool.name
    );
    Finding::seen(Check::Taken, Outcome::Warn, what).fix(fix)
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
    let name = |one: &&Served| {
        let fallback = one.fallback.as_ref().map(|fallback| format!(" ({fallback})"));
        format!("{}/{}{}", one.balancer, one.listener, fallback.unwrap_or_default())
    };
    let names: Vec<String> = listeners.iter().map(name).collect();
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
