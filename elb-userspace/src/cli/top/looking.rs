//! Looks at the agent.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Instant, SystemTime};

use anyhow::{Context as _, Result};

use super::rates::Look;
use crate::api::client;
use crate::api::shape::events::{AgentEvent, EventsLine, EventsRequest};
use crate::api::shape::status::{MemberStatus, StatusRequest};
use crate::model::MemberRef;

/// A look, whose time counts from `origin`: halfway between the question and the answer.
pub(super) async fn look(socket: &Path, origin: Instant) -> Result<Look> {
    let asked = origin.elapsed();
    let status =
        client::status(socket, &StatusRequest { brief: true, ..StatusRequest::default() }).await?;
    let at = asked + (origin.elapsed() - asked) / 2;
    Ok(Look { at, wall: wall(), status })
}

/// A member with its last probes.
pub(super) async fn member(socket: &Path, member: &MemberRef) -> Result<MemberStatus> {
    let by_name = || format!("member:{}/{}", member.pool, member.name);
    let names = member.id.map_or_else(by_name, |id| id.to_string());
    let request = StatusRequest { probes: true, names, ..StatusRequest::default() };
    let status = client::status(socket, &request).await?;
    let mut members = status.pools.into_iter().flat_map(|pool| pool.members);
    members.next().context("it is not there any more")
}

/// What happened to members, the oldest first.
pub(super) async fn events(socket: &Path) -> Result<Vec<AgentEvent>> {
    let mut events = Vec::new();
    let request = EventsRequest::default();
    let each = |line| {
        if let EventsLine::Event(event) = line {
            events.push(*event);
        }
        Ok(ControlFlow::Continue(()))
    };
    client::lines(socket, "/events", &request, || Ok(()), each).await?;
    Ok(events)
}

/// The name of this host.
pub(super) fn host() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "this host".to_owned(),
        name => name.to_owned(),
    }
}

/// The time, for people.
#[expect(clippy::disallowed_methods, reason = "it is shown and decides nothing")]
pub(super) fn wall() -> SystemTime {
    SystemTime::now()
}
