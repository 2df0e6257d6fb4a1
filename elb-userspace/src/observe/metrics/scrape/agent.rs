//! Metrics of the agent, its host, and all traffic together.

use std::fmt;
use std::time::Duration;

use elb_common::reason::{Fate, Reason};

use super::super::encode::{Value, Writer};
use super::super::family::*;
use super::super::process::ProcessFigures;
use super::super::snapshot::{AgentFigures, CLASSES};
use super::Scrape;
use crate::kernel::bpf::coarse_seconds;

const FAMILIES: [&str; 2] = ["ipv4", "ipv6"];

impl Scrape {
    pub(super) fn agent(&self, out: &mut Writer<'_, '_>) -> fmt::Result {
        let (snapshot, agent) = (&self.snapshot, &self.snapshot.agent);
        let abi = elb_common::names::ABI_VERSION.to_string();
        out.all(&BUILD, [([env!("CARGO_PKG_VERSION"), &abi], Value::Info)])?;
        let attached = agent.interfaces.iter();
        out.all(&ATTACHED, attached.map(|(name, mode, is)| ([name.as_str(), mode], (*is).into())))?;
        out.one(&ADOPTED, agent.adopted)?;
        out.one(&RELOAD_SUCCESSFUL, agent.is_file_served)?;
        out.one(&RELOAD_TIME, agent.loaded)?;
        out.all(&PROBLEMS, agent.problems.map(|(kind, n)| ([kind], Value::Whole(n as u64))))?;
        self.reasons(out)?;
        maps(agent, out)?;
        self.flows(out)?;
        probes(agent, out)?;
        self.runs(out)?;
        out.one(&TRACE_LISTENERS, Value::Whole(agent.tracers as u64))?;
        out.one(&FLOW_LOG_ENABLED, agent.flow_log.is_on)?;
        let log = &agent.flow_log;
        out.all(&FLOW_LOG_EVENTS, log.events.map(|(kind, n)| ([kind], Value::Whole(n))))?;
        out.all(&FLOW_LOG_LOST, log.lost.map(|(cause, n)| ([cause], Value::Whole(n))))?;
        out.one(&SFLOW_ENABLED, agent.sflow.is_on)?;
        let sflow = &agent.sflow;
        out.all(&SFLOW_SAMPLES, sflow.samples.map(|(kind, n)| ([kind], Value::Whole(n))))?;
        out.all(&SFLOW_LOST, sflow.lost.map(|(cause, n)| ([cause], Value::Whole(n))))?;
        if let Some((all, used)) = agent.source_ports {
            out.one(&SOURCE_PORTS, Value::Whole(all.into()))?;
            out.one(&SOURCE_PORTS_USED, Value::Whole(used.into()))?;
        }
        out.all(&EVENTS, agent.events.map(|(kind, n)| ([kind], Value::Whole(n))))?;
        out.all(&LOG_MESSAGES, agent.logged.map(|(level, n)| ([level], Value::Whole(n))))?;
        out.one(&LOG_LOST, Value::Whole(agent.lost_lines))?;
        out.one(&API_WRONG_CREDENTIALS, Value::Whole(agent.wrong_credentials))?;
        out.one(&API_UNRECORDED, Value::Whole(agent.unrecorded))?;
        api(agent, out)?;
        let left_out = snapshot.all_members.saturating_sub(snapshot.members.len());
        out.one(&MEMBERS_LEFT_OUT, Value::Whole(left_out as u64))?;
        out.one(&SNAPSHOT, snapshot.time)?;
        out.one(&SCRAPE, Value::Real(self.took.as_secs_f64()))?;
        out.one(&SCRAPE_ERRORS, Value::Whole(self.errors))?;
        self.process.as_ref().map_or(Ok(()), |process| figures(process, out))
    }

    /// All reasons, those that no packet met included.
    fn reasons(&self, out: &mut Writer<'_, '_>) -> fmt::Result {
        let Some(counted) = &self.counted else { return Ok(()) };
        let of = |fate| {
            let reasons = Reason::ALL.iter().filter(move |reason| reason.fate() == fate);
            reasons.filter_map(|reason| Some((reason, *counted.reasons.get(*reason as usize)?)))
        };
        for (family, fate) in [
            (&DROPPED_PACKETS, Fate::Dropped),
            (&PASSED_PACKETS, Fate::Passed),
            (&ANSWERED_PACKETS, Fate::Answered),
        ] {
            out.all(
                family,
                of(fate).map(|(reason, n)| ([reason.name()], Value::Whole(n.packets))),
            )?;
        }
        let dropped = of(Fate::Dropped);
        out.all(&DROPPED_BYTES, dropped.map(|(reason, n)| ([reason.name()], Value::Whole(n.bytes))))
    }

    fn runs(&self, out: &mut Writer<'_, '_>) -> fmt::Result {
        let runs = || self.counted.iter().flat_map(|counted| &counted.runs);
        out.all(&XDP_RUNS, runs().map(|one| ([one.program], Value::Whole(one.count))))?;
        let time = runs().map(|one| ([one.program], Value::Real(one.time.as_secs_f64())));
        out.all(&XDP_TIME, time)
    }

    fn flows(&self, out: &mut Writer<'_, '_>) -> fmt::Result {
        let Some(counted) = &self.counted else { return Ok(()) };
        let tables = || FAMILIES.into_iter().zip(&counted.tables);
        out.all(&FLOW_RECORDS, tables().map(|(name, one)| ([name], Value::Whole(one.records))))?;
        let room = tables().map(|(name, one)| ([name], Value::Whole(one.room.into())));
        out.all(&FLOW_RECORDS_LIMIT, room)?;
        // The sweeper's clock begins with the host.
        let (now, time) = (coarse_seconds(), self.snapshot.time);
        let lag = self.snapshot.taken.elapsed();
        let swept = tables().filter(|(_, one)| one.swept > 0).filter_map(|(name, one)| {
            let ago = Duration::from_secs(now.saturating_sub(one.swept).into());
            Some(([name], (time + lag).checked_sub(ago)?.into()))
        });
        out.all(&FLOW_SWEEP, swept)
    }
}

fn maps(agent: &AgentFigures, out: &mut Writer<'_, '_>) -> fmt::Result {
    let writes = agent.writes.iter();
    out.all(&MAP_WRITES, writes.clone().map(|(map, n)| ([*map], Value::Whole(n.all))))?;
    out.all(&MAP_WRITE_ERRORS, writes.map(|(map, n)| ([*map], Value::Whole(n.failed))))?;
    let maps = agent.maps.iter();
    out.all(&MAP_ENTRIES, maps.clone().map(|(map, n, _)| ([*map], Value::Whole(*n as u64))))?;
    out.all(&MAP_MAX_ENTRIES, maps.map(|(map, _, most)| ([*map], Value::Whole((*most).into()))))
}

fn probes(agent: &AgentFigures, out: &mut Writer<'_, '_>) -> fmt::Result {
    out.one(&PROBE_LATENESS, Value::Histogram(&agent.lateness))?;
    out.one(&PROBES_IN_FLIGHT, Value::Whole(agent.probes.0 as u64))?;
    out.one(&PROBES_IN_FLIGHT_LIMIT, Value::Whole(agent.probes.1 as u64))?;
    out.one(&VERDICT_PUBLISH, Value::Histogram(&agent.verdicts))?;
    out.one(&PUBLISH, Value::Histogram(&agent.publications))?;
    out.one(&RING_BUILD, Value::Histogram(&agent.ring_builds))
}

fn api(agent: &AgentFigures, out: &mut Writer<'_, '_>) -> fmt::Result {
    let requests = agent.api.requests.iter().flat_map(|(operation, counts)| {
        let counts = CLASSES.into_iter().zip(counts);
        counts.map(|(class, count)| ([*operation, class], Value::Whole(*count)))
    });
    out.all(&API_REQUESTS, requests)?;
    let durations = agent.api.durations.iter();
    out.all(&API_DURATION, durations.map(|(method, time)| ([*method], Value::Histogram(time))))?;
    let store = agent.store.as_ref();
    let alone = |value| ([""; 0], value);
    out.all(&STORE_COMMIT, store.map(|store| alone(Value::Histogram(&store.commits))))?;
    out.all(&STORE_BYTES, store.map(|store| alone(Value::Whole(store.bytes))))?;
    let copied = store.and_then(|store| store.copied);
    out.all(&STORE_BACKUP, copied.map(|time| alone(time.into())))
}

fn figures(process: &ProcessFigures, out: &mut Writer<'_, '_>) -> fmt::Result {
    out.one(&PROCESS_CPU, Value::Real(process.cpu_seconds))?;
    out.one(&PROCESS_RESIDENT, Value::Whole(process.resident_bytes))?;
    out.one(&PROCESS_OPEN_FDS, Value::Whole(process.open_files as u64))?;
    if let Some(most) = process.most_files {
        out.one(&PROCESS_MAX_FDS, Value::Whole(most))?;
    }
    out.one(&PROCESS_START, Value::Real(process.started.as_secs_f64()))
}
