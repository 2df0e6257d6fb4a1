//! Metrics of members; none where there are too many.

use std::fmt;

use elb_common::admission::connections;

use super::super::encode::{Value, Writer};
use super::super::family::*;
use super::super::snapshot::MemberFigures;
use super::Scrape;
use crate::kernel::bpf::PacketCounts;

impl Scrape {
    pub(super) fn members(&self, out: &mut Writer<'_, '_>) -> fmt::Result {
        let snapshot = &self.snapshot;
        if snapshot.members.len() < snapshot.all_members {
            return Ok(());
        }
        out.all(&MEMBER, snapshot.members.iter().map(|one| (self.info(one), Value::Info)))?;
        self.member_counters(out)?;
        let values = |value: fn(&MemberFigures) -> Value<'static>| {
            snapshot.members.iter().map(move |one| (self.names(one), value(one)))
        };
        out.all(&MEMBER_HEALTHY, values(|one| one.is_healthy.into()))?;
        out.all(&MEMBER_SINCE, values(|one| one.since.into()))?;
        let turned = snapshot.members.iter().flat_map(|one| {
            let [pool, member] = self.names(one);
            let ways = [("OFFLINE", one.turned.0), ("ONLINE", one.turned.1)];
            ways.map(|(to, n)| ([pool, member, to], Value::Whole(n)))
        });
        out.all(&MEMBER_TRANSITIONS, turned)?;
        out.all(&MEMBER_WEIGHT, values(|one| Value::Whole(one.weight.into())))?;
        out.all(&MEMBER_SHARE, values(|one| Value::Real(one.share)))?;
        let limited = snapshot.members.iter().filter(|one| one.max_connection > 0);
        let limits = limited.map(|one| (self.names(one), Value::Whole(one.max_connection.into())));
        out.all(&MEMBER_CONNECTIONS_LIMIT, limits)?;
        out.all(&MEMBER_REACHABLE, values(|one| one.is_reachable.into()))?;
        out.all(&MEMBER_PROBES, values(|one| Value::Whole(one.probes.0)))?;
        out.all(&MEMBER_PROBE_FAILURES, values(|one| Value::Whole(one.probes.1)))?;
        let last = snapshot
            .members
            .iter()
            .filter_map(|one| Some((self.names(one), Value::Real(one.last_probe?.as_secs_f64()))));
        out.all(&MEMBER_LAST_PROBE, last)
    }

    fn member_counters(&self, out: &mut Writer<'_, '_>) -> fmt::Result {
        let Some(counted) = &self.counted else { return Ok(()) };
        let numbered = || {
            let all = self.snapshot.members.iter();
            all.filter_map(|one| Some((one, usize::from(one.number?))))
        };
        let got = || numbered().filter_map(|(one, id)| Some((one, counted.backends.get(id)?)));
        out.all(&MEMBER_PACKETS, got().map(|(one, n)| (self.names(one), Value::Whole(n.packets))))?;
        out.all(&MEMBER_BYTES, got().map(|(one, n)| (self.names(one), Value::Whole(n.bytes))))?;
        self.replies(counted, out)?;
        let opened = numbered().filter(|(one, _)| self.is_tcp(one)).filter_map(|(one, id)| {
            Some((self.names(one), Value::Whole(*counted.opened.get(id)?)))
        });
        out.all(&MEMBER_OPENED, opened)?;
        let open = numbered().filter(|(one, _)| one.is_tracked).filter_map(|(one, id)| {
            let open = connections(counted.backend_states.get(id)?.connections);
            Some((self.names(one), Value::Whole(open.into())))
        });
        out.all(&MEMBER_CONNECTIONS, open)
    }

    /// What members answered, where that is known.
    fn replies(&self, counted: &PacketCounts, out: &mut Writer<'_, '_>) -> fmt::Result {
        let replied = || {
            let here = self.snapshot.members.iter().filter(|one| self.is_answered_here(one));
            here.filter_map(|one| {
                Some((one, counted.backend_replies.get(usize::from(one.number?))?))
            })
        };
        let packets = replied().map(|(one, n)| (self.names(one), Value::Whole(n.packets)));
        out.all(&MEMBER_REPLY_PACKETS, packets)?;
        let bytes = replied().map(|(one, n)| (self.names(one), Value::Whole(n.bytes)));
        out.all(&MEMBER_REPLY_BYTES, bytes)?;
        let answered = || {
            let here = self.snapshot.members.iter().filter(|one| self.is_answered_here(one));
            here.filter(|one| self.is_tcp(one)).filter_map(|one| {
                Some((one, counted.backend_answers.get(usize::from(one.number?))?))
            })
        };
        let accepted = answered().map(|(one, n)| (self.names(one), Value::Whole(n.accepted)));
        out.all(&MEMBER_ACCEPTED, accepted)?;
        let resets = answered().map(|(one, n)| (self.names(one), Value::Whole(n.resets)));
        out.all(&MEMBER_RESETS, resets)
    }

    fn is_answered_here(&self, member: &MemberFigures) -> bool {
        self.snapshot.pools.get(member.pool).is_some_and(|pool| pool.is_answered_here)
    }

    fn is_tcp(&self, member: &MemberFigures) -> bool {
        self.snapshot.pools.get(member.pool).is_some_and(|pool| pool.is_tcp)
    }

    fn names<'s>(&'s self, member: &'s MemberFigures) -> [&'s str; 2] {
        let pool = self.snapshot.pools.get(member.pool).map_or("", |pool| &pool.name);
        [pool, &member.name]
    }

    fn info(&self, member: &MemberFigures) -> [String; 5] {
        let [pool, name] = self.names(member).map(str::to_owned);
        let (address, port) = (member.socket.ip().to_string(), member.socket.port().to_string());
        [pool, name, member.id.to_string(), address, port]
    }
}
