//! The lines above the rows: who is looked at, and all together.

use std::time::{Duration, SystemTime};

use super::super::report::printable;
use super::cell::{Cell, Style};
use crate::api::shape::top::{TopReport, TopTotal};

/// The host, its agent and the time.
pub(super) fn agent(report: &TopReport, wall: SystemTime) -> String {
    let agent = &report.agent;
    let up = humantime::parse_rfc3339(&agent.started).ok();
    let up = up.and_then(|started| wall.duration_since(started).ok()).unwrap_or_default();
    let up = humantime::format_duration(Duration::from_secs(coarse(up.as_secs()))).to_string();
    let tracing = if agent.traced { " · tracing on" } else { "" };
    let problems = match agent.problems.len() {
        0 => String::new(),
        1 => " · 1 PROBLEM (elb status --problems)".to_owned(),
        count => format!(" · {count} PROBLEMS (elb status --problems)"),
    };
    let time = report.time.get(11..19).unwrap_or_default();
    printable(&format!(
        "elb {} on {} · up {up} · {} XDP · {time} UTC{tracing}{problems}",
        agent.version, agent.host, agent.attach_mode
    ))
}

/// Seconds without what matters little after so long.
const fn coarse(seconds: u64) -> u64 {
    match seconds {
        0..3_600 => seconds,
        3_600..86_400 => seconds - seconds % 60,
        _ => seconds - seconds % 3_600,
    }
}

/// All together.
pub(super) fn total(report: &TopReport, style: Style) -> String {
    let TopTotal { traffic, new_connections_per_second, dropped_per_second, .. } = report.total;
    let rate = |rate: Option<f64>| Cell::Rate(rate).text(style);
    let TopTotal { members, members_up, members_down, .. } = report.total;
    format!(
        "{} packets/s · {} bytes/s · {} new/s · {} drops/s · members {members_up} up, {members_down} \
         down of {members}",
        rate(traffic.packets_per_second),
        rate(traffic.bytes_per_second),
        rate(new_connections_per_second),
        rate(dropped_per_second),
    )
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::super::rates::report;
    use super::*;

    #[test]
    fn the_header_says_who_and_how_much() {
        let (before, after) = fixture::looks();
        let mut report = report("lb\x1b-1", Some(&before), &after);
        assert_eq!(
            agent(&report, after.wall),
            "elb 0.1.0 on lb\u{fffd}-1 · up 1h 1m · native XDP · 01:01:02 UTC"
        );
        assert_eq!(
            total(&report, Style::Full),
            "100.0 packets/s · 6000.0 bytes/s · 4.0 new/s · 5.0 drops/s · members 1 up, 1 down of 2"
        );
        report.agent.traced = true;
        report.agent.problems = vec!["x".to_owned()];
        let said = agent(&report, after.wall);
        assert!(said.ends_with(" · tracing on · 1 PROBLEM (elb status --problems)"), "{said}");
    }
}
