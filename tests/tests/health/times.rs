//! When probes began and ended, and when a verdict fell, by the agent's own clock: a machine that is busy
//! makes a test late, and not what the agent wrote down of it wrong.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};
use elb_tests::{agent::Agent, wait::wait_for};
use serde_json::Value;

/// A probe that is over; times are seconds of the day.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    pub(crate) result: String,
    pub(crate) began: f64,
    pub(crate) ended: f64,
}

/// Seconds of the day, from a time as in 2026-01-02T03:04:05.678Z.
pub(crate) fn seconds(time: &Value) -> Result<f64> {
    let text = time.as_str().context("no time")?;
    let clock = text.get(11..).with_context(|| format!("no time: {text}"))?.trim_end_matches('Z');
    let parts: Vec<f64> = clock.split(':').filter_map(|part| part.parse().ok()).collect();
    let [hours, minutes, seconds] = parts[..] else { bail!("no time: {text}") };
    Ok(hours * 3600.0 + minutes * 60.0 + seconds)
}

/// Waits where midnight is near, which every test here would have to think of.
#[expect(clippy::disallowed_methods, reason = "the log has this clock")]
pub(crate) fn not_at_midnight() -> Result<()> {
    wait_for("midnight to be over", Duration::from_secs(200), || {
        let day = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs() % 86_400;
        Ok((day < 86_400 - 90).then_some(()))
    })
}

/// The probes of a member that are remembered, the oldest first.
pub(crate) fn probes(member: &Value) -> Result<Vec<Probe>> {
    let probes = member["health"]["probes"].as_array().context("no probes")?;
    let probe = |probe: &Value| {
        let began = seconds(&probe["time"])?;
        let duration = probe["duration_ms"].as_f64().context("no duration")?;
        let result = probe["result"].as_str().context("no result")?.to_owned();
        Ok(Probe { result, began, ended: began + duration / 1000.0 })
    };
    probes.iter().map(probe).collect()
}

/// When the last event of a pool was, which must be of this kind.
pub(crate) fn last_event(agent: &Agent, pool: &str, kind: &str) -> Result<f64> {
    let events = agent.run(&["events", "--pool", pool, "-o", "json"])?;
    let events = elb_tests::printed::lines(&["events"], &events)?;
    let last = events.last().context("no event")?;
    anyhow::ensure!(last["event"] == kind, "{last}");
    seconds(&last["time"])
}

/// The failures since the last success, of those probes that had begun by `at`.
pub(crate) fn failures_by(probes: &[Probe], at: f64) -> Vec<Probe> {
    let begun: Vec<&Probe> = probes.iter().filter(|probe| probe.began <= at).collect();
    let first = begun.iter().rposition(|probe| probe.result == "OK").map_or(0, |last| last + 1);
    begun[first..].iter().map(|probe| (*probe).clone()).collect()
}
