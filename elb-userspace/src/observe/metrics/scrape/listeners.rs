//! Metrics of load balancers and listeners.

use std::fmt;

use elb_common::admission::connections;
use elb_common::counter::{LISTENER_DROPS, OTHER_DROPS};
use elb_common::reason::Reason;

use super::super::encode::{Value, Writer};
use super::super::family::*;
use super::super::snapshot::{ListenerFigures, STATUSES};
use super::Scrape;

impl Scrape {
    pub(super) fn listeners(&self, out: &mut Writer<'_, '_>) -> fmt::Result {
        let snapshot = &self.snapshot;
        let balancers = snapshot.load_balancers.iter();
        let members =
            balancers.flat_map(|lb| STATUSES.into_iter().zip(lb.members).map(move |n| (lb, n)));
        out.all(
            &LOAD_BALANCER_MEMBERS,
            members.map(|(lb, (status, n))| ([lb.name.as_str(), status], Value::Whole(n.into()))),
        )?;
        out.all(&LISTENER, snapshot.listeners.iter().flat_map(infos))?;
        let all = snapshot.listeners.iter();
        out.all(&LISTENER_UP, all.clone().map(|one| (names(one), one.is_up.into())))?;
        let fallback = all.clone().filter_map(|one| Some((names(one), one.fallback_used?.into())));
        out.all(&LISTENER_FALLBACK_USED, fallback)?;
        self.counters(out)?;
        let limits = |limit: fn(&ListenerFigures) -> u32| {
            let set = all.clone().filter(move |one| limit(one) > 0);
            set.map(move |one| (names(one), Value::Whole(limit(one).into())))
        };
        out.all(&LISTENER_CONNECTIONS_LIMIT, limits(|one| one.limits.0))?;
        out.all(&LISTENER_NEW_LIMIT, limits(|one| one.limits.1))
    }

    fn counters(&self, out: &mut Writer<'_, '_>) -> fmt::Result {
        let Some(counted) = &self.counted else { return Ok(()) };
        let numbered = || {
            let all = self.snapshot.listeners.iter();
            all.filter_map(|one| Some((one, usize::from(one.number?))))
        };
        let forwarded =
            || numbered().filter_map(|(one, id)| Some((one, counted.listeners.get(id)?)));
        out.all(
            &LISTENER_PACKETS,
            forwarded().map(|(one, n)| (names(one), Value::Whole(n.packets))),
        )?;
        out.all(&LISTENER_BYTES, forwarded().map(|(one, n)| (names(one), Value::Whole(n.bytes))))?;
        let replied = || {
            let here = numbered().filter(|(one, _)| one.is_answered_here);
            here.filter_map(|(one, id)| Some((one, counted.listener_replies.get(id)?)))
        };
        let packets = replied().map(|(one, n)| (names(one), Value::Whole(n.packets)));
        out.all(&LISTENER_REPLY_PACKETS, packets)?;
        let bytes = replied().map(|(one, n)| (names(one), Value::Whole(n.bytes)));
        out.all(&LISTENER_REPLY_BYTES, bytes)?;
        let answered = || {
            let here = numbered().filter(|(one, _)| one.is_answered_here && one.protocol == "TCP");
            here.filter_map(|(one, id)| Some((one, counted.listener_answers.get(id)?)))
        };
        let accepted = answered().map(|(one, n)| (names(one), Value::Whole(n.accepted)));
        out.all(&LISTENER_ACCEPTED, accepted)?;
        let resets = answered().map(|(one, n)| (names(one), Value::Whole(n.resets)));
        out.all(&LISTENER_SERVER_RESETS, resets)?;
        let events = || numbered().filter_map(|(one, id)| Some((one, counted.events.get(id)?)));
        // Of datagrams nothing says which one is the first of a flow.
        let tcp = || events().filter(|(one, _)| one.protocol == "TCP");
        out.all(&LISTENER_OPENED, tcp().map(|(one, n)| (names(one), Value::Whole(n.opened))))?;
        out.all(&LISTENER_RESETS, tcp().map(|(one, n)| (names(one), Value::Whole(n.resets))))?;
        let reasons = LISTENER_DROPS.iter().map(|reason| Reason::name(*reason)).chain(["other"]);
        let places: Vec<_> = reasons.zip(0..=OTHER_DROPS).collect();
        let dropped = events().flat_map(|(one, n)| {
            let [lb, listener] = names(one);
            let count = move |(reason, place): &(&'static str, usize)| {
                ([lb, listener, *reason], Value::Whole(n.dropped[*place]))
            };
            places.iter().map(count)
        });
        out.all(&LISTENER_DROPPED, dropped)?;
        let tracked = numbered().filter(|(one, _)| one.is_tracked);
        let open = tracked.filter_map(|(one, id)| {
            let open = connections(counted.listener_states.get(id)?.connections);
            Some((names(one), Value::Whole(open.into())))
        });
        out.all(&LISTENER_CONNECTIONS, open)
    }
}

fn names(listener: &ListenerFigures) -> [&str; 2] {
    [&listener.load_balancer, &listener.name]
}

/// One for each address; without one, one that has none.
fn infos(listener: &ListenerFigures) -> Vec<([String; 7], Value<'static>)> {
    let vips: Vec<String> = listener.vips.iter().map(ToString::to_string).collect();
    let vips = if vips.is_empty() { vec![String::new()] } else { vips };
    let ListenerFigures { load_balancer, name, id, protocol, ports, pool, .. } = listener;
    let info = |vip: String| {
        let id = id.to_string();
        let (lb, name, protocol) = (load_balancer.clone(), name.clone(), (*protocol).to_owned());
        ([lb, name, id, protocol, ports.clone(), vip, pool.clone()], Value::Info)
    };
    vips.into_iter().map(info).collect()
}
