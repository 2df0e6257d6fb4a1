//! `elb events`: members that turned unhealthy or recovered or rise to their share, listeners that another pool serves, a line each.

use std::io::{self, Write as _};
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Result, bail};
use clap::Args;

use super::since::Since;
use super::socket::SocketArg;
use super::{Output, block_on, go_on};
use crate::api::client;
use crate::api::shape::events::{
    AgentEvent, EventKind, EventsLine, EventsRequest, ListenerEvent, MemberEvent,
};
use crate::api::shape::status::timestamp_millis;
use crate::model::MemberRef;

#[derive(Debug, Args)]
#[command(after_help = "\
The agent remembers the last 1,000 events, across its restarts too. It also logs them, and of those of a
member that repeat themselves three of a kind a minute and then how many more there were.

Examples:
  elb events
  elb events -f --pool web
  elb events --since 10m
  elb events --since 2026-01-02T03:04:05Z -o json | jq -r .event_id
  elb events --member 10.0.0.11 -o json | jq -r '.time + \" \" + .reason.reason_code'")]
pub(super) struct EventsArgs {
    /// Wait for more, until Ctrl-C.
    #[arg(short, long)]
    follow: bool,
    /// Only events of members of this pool: its name or id, now or then.
    #[arg(long, value_name = "POOL")]
    pool: Option<String>,
    /// Only events of this member: its name, POOL/MEMBER, its id, its address, or address and port.
    #[arg(long, value_name = "MEMBER")]
    member: Option<String>,
    /// Only events of this last time (10m, 1h30m), or since a time (RFC 3339, UTC).
    #[arg(long, value_name = "TIME", value_parser = Since::parse)]
    since: Option<Since>,
    #[command(flatten)]
    agent: SocketArg,
    /// How to write it; JSON is one object a line.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long ago is said by people, who go by that clock"
)]
pub(super) fn run(args: EventsArgs) -> Result<ExitCode> {
    let EventsArgs { follow, pool, member, since, agent, output } = args;
    let since = since.map(|since| timestamp_millis(since.at(SystemTime::now())));
    block_on(print(&EventsRequest { follow, pool, member, since }, &agent, output))?;
    Ok(ExitCode::SUCCESS)
}

async fn print(request: &EventsRequest, agent: &SocketArg, output: Output) -> Result<()> {
    let (mut out, mut is_enough) = (io::stdout(), false);
    let path = agent.path()?;
    let lines = client::lines(
        &path,
        "/events",
        request,
        || Ok(()),
        |line| {
            let text = match (line, output) {
                (EventsLine::Missed(count), _) => {
                    eprintln!("{count} more came faster than they could be taken");
                    return Ok(ControlFlow::Continue(()));
                }
                (EventsLine::Event(event), Output::Table) => text(&event),
                (EventsLine::Event(event), Output::Json) => serde_json::to_string(&event)?,
            };
            let next = go_on(writeln!(out, "{text}"))?;
            is_enough |= next.is_break();
            Ok(next)
        },
    );
    tokio::select! {
        ended = lines => ended?,
        interrupted = tokio::signal::ctrl_c() => return Ok(interrupted?),
    }
    if request.follow && !is_enough {
        bail!("the agent has stopped; `elb events` asks the next one");
    }
    Ok(())
}

fn text(event: &AgentEvent) -> String {
    match event {
        AgentEvent::Member(event) => of_member(event),
        AgentEvent::Listener(event) => of_listener(event),
    }
}

fn of_listener(event: &ListenerEvent) -> String {
    let kind = AgentEvent::Listener(event.clone()).kind();
    let ListenerEvent { time, listener, load_balancer, default_pool, fallback_pool, .. } = event;
    let serving = event.default_serving.map_or("?".to_owned(), |count| count.to_string());
    let (serves, below) = match kind {
        EventKind::Fallback => (fallback_pool, format!("fewer than {}", event.below)),
        EventKind::FallbackOver
        | EventKind::Unhealthy
        | EventKind::Recovered
        | EventKind::InService
        | EventKind::InReserve
        | EventKind::SlowStart
        | EventKind::SlowStartOver => (default_pool, format!("at least {} wanted", event.below)),
    };
    format!(
        "{time} {kind:<10} {listener} ({load_balancer}) served by pool {serves}: {serving} members of {default_pool} \
         take new connections, {below}"
    )
}

fn of_member(event: &MemberEvent) -> String {
    let MemberEvent { time, event, member, from, lasted, reason, .. } = event;
    let MemberRef { pool, name, .. } = member;
    let reason = match (event, reason) {
        (EventKind::InService, _) => ": too few of the others can serve".to_owned(),
        (EventKind::InReserve, _) => ": enough of the others can serve".to_owned(),
        (EventKind::SlowStart, _) => ": rises to its share of new connections".to_owned(),
        (EventKind::SlowStartOver, _) => ": has all of its share of new connections".to_owned(),
        (_, None) => String::new(),
        (EventKind::Unhealthy, Some(reason)) => format!(": {reason}"),
        (EventKind::Fallback | EventKind::FallbackOver, Some(reason)) => format!(": {reason}"),
        (EventKind::Recovered, Some(reason)) => format!(", it had failed with {reason}"),
    };
    format!("{time} {event:<10} {name} ({pool}) after {lasted} s {from}{reason}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::{Cause, Failure, OperatingStatus};

    #[test]
    fn one_line_each() {
        let event = MemberEvent {
            time: "2026-01-02T03:04:05.678Z".to_owned(),
            event: EventKind::Unhealthy,
            event_id: None,
            member: MemberRef::new((None, "web"), None, Some("web-1"), ([10, 0, 0, 11], 80).into()),
            from: OperatingStatus::Online,
            lasted: 3600,
            reason: Some(Failure::new(Cause::Refused { by: [10, 0, 0, 11].into() })),
        };
        let said = of_member(&event);
        assert!(
            said.starts_with(
                "2026-01-02T03:04:05.678Z unhealthy  web-1 (web) after 3600 s ONLINE: CONNECT_REFUSED"
            ),
            "{said}"
        );
        let (event, from) =
            (MemberEvent { event: EventKind::Recovered, ..event }, OperatingStatus::Offline);
        let said = of_member(&MemberEvent { from, lasted: 7, reason: None, ..event.clone() });
        assert_eq!(said, "2026-01-02T03:04:05.678Z recovered  web-1 (web) after 7 s OFFLINE");
        let (kind, from) = (EventKind::SlowStart, OperatingStatus::Online);
        let said = of_member(&MemberEvent { event: kind, from, lasted: 0, reason: None, ..event });
        let words =
            "slow_start web-1 (web) after 0 s ONLINE: rises to its share of new connections";
        assert_eq!(said, format!("2026-01-02T03:04:05.678Z {words}"));
    }
}
