//! What must hold between the resources of a file, and which of them can be served regardless.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use elb_common::ring::CHUNK;

use super::capacity;
use super::draft::Draft;
use super::host::Host;
use super::place::Place;
use super::report::Report;
use super::resources::FileDraft;
use crate::health::path::AT_ONCE;
use crate::model::monitor::ProbePath;
use crate::model::rules::{self, At, Violation};
use crate::model::{Listener, LoadBalancer, Model, Name, Pool, SourceAddresses};
use crate::source::settings::AgentSettings;

/// Backend ids are 16 bits wide; 0 is no member and 65,535 marks an empty slot while a ring is built.
const MOST_BACKENDS: usize = 65_534;

/// The largest part of the draft that is valid as a whole; what is left out is in the report.
pub(super) fn validate(file: FileDraft, host: &Host, report: &RefCell<Report>) -> Model {
    let FileDraft { agent, agent_at, snat, resources: mut draft, .. } = file;
    loop {
        draft.remove_orphans(report);
        let mut violations =
            rules::check(&draft.load_balancers, &draft.pools, &draft.ip_groups, snat);
        if let (true, Some(agent)) = (violations.is_empty(), &agent) {
            violations = draft.over_capacity(agent, snat.v4);
            violations.extend(draft.takes_what_the_host_needs(host));
        }
        if violations.is_empty() {
            break;
        }
        for violation in &violations {
            draft.report(violation, report);
        }
        draft.remove(violations.iter().map(|violation| violation.at).collect());
    }
    draft.warn(report);
    draft.warn_of_the_unlikely(agent.as_ref(), agent_at, report);
    draft.warn_of_load(report);
    draft.warn_of_host_addresses(host, report);
    // The loop ends only when the rules have nothing left to say.
    Model::right(draft.load_balancers, draft.pools, draft.ip_groups, snat)
}

impl Draft {
    fn report(&self, violation: &Violation, report: &RefCell<Report>) {
        let place = self.place(violation.at);
        let (mut what, fix) = (violation.what.clone(), violation.fix.clone());
        if let Some(other) = self.first_like(violation.at, violation.key)
            && let Some(place) = report.borrow().place(other.of(violation.key))
        {
            what += &format!(", at {place}");
        }
        report.borrow_mut().error(place.of(violation.key), &place.object, what, fix);
    }

    /// The first one of its kind that has the same name or the same address, where that is what is wrong.
    fn first_like(&self, at: At, key: &str) -> Option<&Place> {
        let (balancers, pools, groups) = (&self.load_balancers, &self.pools, &self.ip_groups);
        match (at, key) {
            (At::LoadBalancer(i), "name") => {
                let first = balancers[..i].iter().position(|lb| lb.name == balancers[i].name)?;
                Some(&self.load_balancer_places[first].own)
            }
            (At::LoadBalancer(i), "vip_address" | "ipv6_vip_address") => {
                let is_same = |lb: &LoadBalancer| match key {
                    "vip_address" => lb.vip_address == balancers[i].vip_address,
                    _ => lb.ipv6_vip_address == balancers[i].ipv6_vip_address,
                };
                let first = balancers[..i].iter().position(is_same)?;
                Some(&self.load_balancer_places[first].own)
            }
            (At::Listener(i, j), "name") => {
                let name = &balancers[i].listeners[j].name;
                let all = balancers.iter().zip(&self.load_balancer_places).take(i + 1);
                let mut all = all.flat_map(|(lb, place)| lb.listeners.iter().zip(&place.listeners));
                let (_, first) = all.find(|(one, _)| one.name == *name)?;
                (!std::ptr::eq(first, &self.load_balancer_places[i].listeners[j])).then_some(first)
            }
            (At::Pool(i), "name") => {
                let first = pools[..i].iter().position(|pool| pool.name == pools[i].name)?;
                Some(&self.pool_places[first].own)
            }
            (At::IpGroup(i), "name") => {
                let first = groups[..i].iter().position(|group| group.name == groups[i].name)?;
                Some(&self.ip_group_places[first])
            }
            _ => None,
        }
    }

    fn place(&self, at: At) -> &Place {
        match at {
            At::LoadBalancer(i) => &self.load_balancer_places[i].own,
            At::Listener(i, j) => &self.load_balancer_places[i].listeners[j],
            At::Pool(i) => &self.pool_places[i].own,
            At::Member(i, j) => &self.pool_places[i].members[j],
            At::HealthMonitor(i) => {
                let pool = &self.pool_places[i];
                pool.monitor.as_ref().unwrap_or(&pool.own)
            }
            At::IpGroup(i) => &self.ip_group_places[i],
        }
    }

    /// Listeners whose pool or IP group is left out are left out with it.
    fn remove_orphans(&mut self, report: &RefCell<Report>) {
        let mut orphans = BTreeSet::new();
        for (i, lb) in self.load_balancers.iter().enumerate() {
            for (j, listener) in lb.listeners.iter().enumerate() {
                if let Some((key, kind, name)) = self.left_out(listener) {
                    let place = &self.load_balancer_places[i].listeners[j];
                    let what = format!("its {kind} {name:?} has errors, so it cannot be served");
                    let fix = format!("correct the {kind}");
                    report.borrow_mut().warning(place.of(key), &place.object, what, fix);
                    orphans.insert(At::Listener(i, j));
                }
            }
        }
        self.remove(orphans);
    }

    /// What a listener names that is left out: the key, what it is, its name.
    fn left_out<'l>(
        &self,
        listener: &'l Listener,
    ) -> Option<(&'static str, &'static str, &'l str)> {
        let is = |broken: &[String], name: &str| broken.iter().any(|broken| broken == name);
        let has_pool = |pool: &str| self.pools.iter().any(|one| one.name.as_str() == pool);
        for (key, pool) in ["default_pool", "fallback_pool"].into_iter().zip(listener.pools()) {
            let pool = pool.as_str();
            if is(&self.broken_pools, pool) && !has_pool(pool) {
                return Some((key, "pool", pool));
            }
        }
        let group = listener.ipgroup.as_ref()?.ipgroup.as_str();
        let has_group = || self.ip_groups.iter().any(|present| present.name.as_str() == group);
        let is_out = is(&self.broken_ip_groups, group) && !has_group();
        is_out.then_some(("ipgroup", "IP group", group))
    }

    fn remove(&mut self, places: BTreeSet<At>) {
        // From the back, so that the places in front keep their numbers.
        for at in places.iter().rev() {
            if let At::Listener(i, j) = *at {
                self.load_balancers[i].listeners.remove(j);
                Arc::make_mut(&mut self.load_balancer_places[i]).listeners.remove(j);
            }
        }
        for at in places.iter().rev() {
            if let At::LoadBalancer(i) = *at {
                self.load_balancers.remove(i);
                self.load_balancer_places.remove(i);
            }
        }
        let pool = |at: &At| match *at {
            At::Pool(i) | At::Member(i, _) | At::HealthMonitor(i) => Some(i),
            At::LoadBalancer(_) | At::Listener(..) | At::IpGroup(_) => None,
        };
        let pools: BTreeSet<usize> = places.iter().filter_map(pool).collect();
        for i in pools.into_iter().rev() {
            self.broken_pools.push(self.pools.remove(i).name.to_string());
            self.pool_places.remove(i);
        }
        for at in places.iter().rev() {
            if let At::IpGroup(i) = *at {
                self.broken_ip_groups.push(self.ip_groups.remove(i).name.to_string());
                self.ip_group_places.remove(i);
            }
        }
    }

    /// What does not fit into the maps, taking the resources in the order of the file.
    fn over_capacity(
        &self,
        agent: &AgentSettings,
        snat: Option<SourceAddresses>,
    ) -> Vec<Violation> {
        let mut violations = self.listeners_over_capacity(agent);
        violations.extend(capacity::port_ranges(&self.load_balancers));
        violations.extend(capacity::addresses(&self.load_balancers, snat));
        violations.extend(capacity::pools(&self.pools));
        violations.extend(capacity::server_ids(&self.pools));
        let used = self.used_pools();
        let (mut slots, mut backends) = (0, 1);
        for (i, pool) in
            self.pools.iter().enumerate().filter(|(_, p)| used.contains(p.name.as_str()))
        {
            let ring = u64::from(pool.ring_size.get().next_multiple_of(CHUNK));
            slots += ring;
            backends += pool.members.len();
            let most = (agent.max_backends.get() as usize).min(MOST_BACKENDS + 1);
            if slots > u64::from(agent.ring_slots.get()) {
                let what = format!("its ring needs {slots} slots in all, of {}", agent.ring_slots);
                let fix = "raise ring_slots of the agent, or lower ring_size".to_owned();
                violations.push(Violation { at: At::Pool(i), key: "ring_size", what, fix });
                slots -= ring;
            }
            if backends > most {
                let what = format!("its members need {backends} backends in all, of {most}");
                let fix =
                    "raise max_backends of the agent, at most 65535; one is not used".to_owned();
                violations.push(Violation { at: At::Pool(i), key: "member", what, fix });
                backends -= pool.members.len();
            }
        }
        violations
    }

    fn listeners_over_capacity(&self, agent: &AgentSettings) -> Vec<Violation> {
        let mut violations = Vec::new();
        let (mut records, most) = (0, agent.max_listeners.get() as usize);
        for (i, lb) in self.load_balancers.iter().enumerate() {
            for j in 0..lb.listeners.len() {
                records += lb.vips().count();
                if records > most {
                    let what = format!("it needs {records} listeners in all, of {most}");
                    let fix = "raise max_listeners of the agent; each VIP counts".to_owned();
                    violations.push(Violation { at: At::Listener(i, j), key: "name", what, fix });
                    records -= lb.vips().count();
                }
            }
        }
        violations
    }

    fn used_pools(&self) -> HashSet<&str> {
        let listeners = self.load_balancers.iter().flat_map(|lb| &lb.listeners);
        listeners.flat_map(Listener::pools).map(Name::as_str).collect()
    }

    /// How many virtual addresses have listeners that use each pool.
    pub(super) fn vips_of_pools(&self) -> HashMap<&str, usize> {
        let mut vips = HashMap::new();
        for lb in &self.load_balancers {
            let pools = lb.listeners.iter().flat_map(Listener::pools).map(Name::as_str);
            for pool in pools.collect::<BTreeSet<_>>() {
                *vips.entry(pool).or_default() += lb.vips().count();
            }
        }
        vips
    }

    /// What is valid and yet hardly meant.
    fn warn(&self, report: &RefCell<Report>) {
        for (lb, place) in self.load_balancers.iter().zip(&self.load_balancer_places) {
            if lb.vips().next().is_none() {
                let (at, what) =
                    (place.own.of("name"), "it has no address, so no client reaches it");
                let fix = "set vip_address or ipv6_vip_address".to_owned();
                report.borrow_mut().warning(at, &place.own.object, what.to_owned(), fix);
            }
        }
        let vips_of = self.vips_of_pools();
        for (pool, place) in self.pools.iter().zip(&self.pool_places) {
            let warn = |place: &Place, key, what: &str, fix: &str| {
                let at = place.of(key);
                report.borrow_mut().warning(at, &place.object, what.into(), fix.into());
            };
            let vips = vips_of.get(pool.name.as_str()).copied().unwrap_or_default();
            let by_vip = pool.healthmonitor.as_ref().is_some_and(|monitor| {
                monitor.admin_state_up && monitor.probe_path == ProbePath::Vip
            });
            if by_vip && vips > AT_ONCE {
                let what = format!(
                    "its members are probed at {AT_ONCE} of its {vips} virtual addresses at a time: a \
                     failure at one is seen after up to {} intervals",
                    vips.div_ceil(AT_ONCE)
                );
                let fix = "shorten delay, or give the addresses pools of their own";
                warn(&place.own, "name", &what, fix);
            }
            if !self.named_pools.contains(pool.name.as_str()) {
                let fix = "name it as the default_pool of one, or remove it";
                warn(
                    &place.own,
                    "name",
                    "no listener uses it, so nothing is sent to its members",
                    fix,
                );
            }
            if pool.members.iter().all(|member| member.weight.get() == 0) {
                let fix = "add a member with a weight of at least 1";
                warn(&place.own, "name", "it has no member that takes new connections", fix);
            }
            if let (Some(at), true) = (&place.monitor, slow_to_time_out(pool)) {
                let fix = "make timeout at most delay, or the verdict will be late";
                warn(at, "timeout", "timeout is longer than delay", fix);
            }
        }
        for (group, place) in self.ip_groups.iter().zip(&self.ip_group_places) {
            if !self.named_ip_groups.contains(group.name.as_str()) {
                let (at, what) = (place.of("name"), "no listener uses it".to_owned());
                let fix = "name it as the ipgroup of one, or remove it".to_owned();
                report.borrow_mut().warning(at, &place.object, what, fix);
            }
        }
    }
}

fn slow_to_time_out(pool: &Pool) -> bool {
    pool.healthmonitor.as_ref().is_some_and(|monitor| monitor.timeout > monitor.delay)
}
