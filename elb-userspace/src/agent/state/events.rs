//! What happened to members and listeners: logged, remembered for a while, and passed on to every client that
//! listens.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;

use tokio::sync::mpsc;

use super::repeated::Repeated;
use crate::api::shape::events::{
    AgentEvent, EventKind, EventsLine, EventsRequest, LAST, ListenerEvent, MemberEvent,
};
use crate::api::{Lines, WAITING_LINES};
use crate::health::OperatingStatus;
use crate::model::select::Label;
use crate::model::time::Time;
use crate::model::{MemberRef, Model, ResourceId};

/// The last events, and the clients that want to be sent more.
#[derive(Default)]
pub(in crate::agent) struct Events {
    past: VecDeque<AgentEvent>,
    subscribers: Vec<Subscriber>,
    /// What was logged.
    repeated: Repeated<(Object, EventKind)>,
}

/// What something happened to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Object {
    /// A member: of which pool, and its address.
    Member(Option<ResourceId>, SocketAddr),
    Listener(ResourceId),
}

impl From<&AgentEvent> for Object {
    fn from(event: &AgentEvent) -> Self {
        match event {
            AgentEvent::Member(event) => Self::Member(event.member.pool_id, event.member.socket()),
            AgentEvent::Listener(event) => Self::Listener(event.listener_id),
        }
    }
}

struct Subscriber {
    request: EventsRequest,
    /// Members that it names now: they may have been called otherwise.
    named: BTreeSet<ResourceId>,
    lines: mpsc::Sender<EventsLine>,
    /// Events that were not passed on, since it was slow.
    missed: u64,
}

// What is remembered, and one line about what was missed, never wait for a subscriber.
const _: () = assert!(LAST < WAITING_LINES);

impl Events {
    /// Goes on from what an earlier agent remembered.
    pub(in crate::agent) fn new(past: Vec<AgentEvent>) -> Self {
        let too_many = past.len().saturating_sub(LAST);
        Self { past: past.into_iter().skip(too_many).collect(), ..Self::default() }
    }

    /// What is remembered, the oldest first.
    pub(in crate::agent) fn past(&self) -> impl Iterator<Item = &AgentEvent> {
        self.past.iter()
    }

    /// Takes in what happened.
    pub(in crate::agent) fn happened(&mut self, event: AgentEvent, now: Time) {
        if self.repeated.may_say((Object::from(&event), event.kind()), now) {
            log(&event);
        }
        self.subscribers.retain_mut(|subscriber| subscriber.send(&event));
        if self.past.len() == LAST {
            self.past.pop_front();
        }
        self.past.push_back(event);
    }

    /// Logs how often what was not logged happened, once a minute is over.
    pub(in crate::agent) fn log_repeated(&mut self, now: Time) {
        for ((object, event), count) in self.repeated.over(now) {
            let last = self.past.iter().rev().find(|one| Object::from(*one) == object);
            let event_id = event.id();
            match object {
                Object::Member(_, address) => {
                    let last = last.and_then(AgentEvent::of_member).map(|one| &one.member);
                    let pool = last.map(|member| member.pool.as_str());
                    let name = last.map(|member| member.name.as_str());
                    tracing::warn!(
                        event_id, pool, member = name, address = %address.ip(), port = address.port(), count,
                        "… repeated {count} times within a minute: a member {}", done(event)
                    );
                }
                Object::Listener(id) => {
                    let name = match last {
                        Some(AgentEvent::Listener(event)) => event.listener.clone(),
                        Some(AgentEvent::Member(_)) | None => id.to_string(),
                    };
                    tracing::warn!(
                        event_id,
                        listener = name,
                        count,
                        "… repeated {count} times within a minute: {}",
                        done(event)
                    );
                }
            }
        }
    }

    /// Adds a subscriber.
    pub(in crate::agent) fn begin(
        &mut self,
        request: EventsRequest,
        model: &Model,
    ) -> Lines<EventsLine> {
        let (lines, listening) = mpsc::channel(WAITING_LINES);
        let named = named(&request, model);
        let mut subscriber = Subscriber { request, named, lines, missed: 0 };
        for event in &self.past {
            subscriber.send(event);
        }
        self.subscribers.retain(|subscriber| !subscriber.lines.is_closed());
        if subscriber.request.follow {
            self.subscribers.push(subscriber);
        }
        Ok(listening)
    }
}

/// The members of a model that a request is about, if it is not about all.
fn named(request: &EventsRequest, model: &Model) -> BTreeSet<ResourceId> {
    let pools = model.pools().iter().filter(|_| request.pool.is_some() || request.member.is_some());
    let members = pools.flat_map(|pool| pool.members.iter().map(move |member| (pool, member)));
    let named = members.filter(|(pool, member)| request.is_about(&Label::from((*pool, *member))));
    named.map(|(_, member)| member.id).collect()
}

impl Subscriber {
    fn wants(&self, event: &AgentEvent) -> bool {
        if !self.request.is_recent(event) {
            return false;
        }
        let id = event.of_member().and_then(|event| event.member.id);
        self.request.wants(event) || id.is_some_and(|id| self.named.contains(&id))
    }

    /// False if it does not listen any more.
    fn send(&mut self, event: &AgentEvent) -> bool {
        if self.missed > 0 && self.lines.try_send(EventsLine::Missed(self.missed)).is_ok() {
            self.missed = 0;
        }
        if self.wants(event)
            && self.lines.try_send(EventsLine::Event(Box::new(event.clone()))).is_err()
        {
            self.missed += 1;
        }
        !self.lines.is_closed()
    }
}

/// A structured line.
fn log(event: &AgentEvent) {
    match event {
        AgentEvent::Member(event) => log_member(event),
        AgentEvent::Listener(event) => log_listener(event),
    }
}

fn log_listener(event: &ListenerEvent) {
    let ListenerEvent { event_id, load_balancer, listener, default_pool, .. } = event;
    let ListenerEvent { fallback_pool: pool, default_serving, below, .. } = event;
    let what = done(AgentEvent::Listener(event.clone()).kind());
    tracing::warn!(
        event_id,
        load_balancer,
        listener,
        default_pool,
        pool,
        default_serving,
        below,
        "{what}"
    );
}

fn log_member(event: &MemberEvent) {
    let MemberEvent { member, from, lasted, reason, .. } = event;
    let MemberRef { pool, name: member, address, protocol_port: port, .. } = member;
    let code = reason.as_ref().map(|reason| reason.code().as_str());
    let reason = reason.as_ref().map(tracing::field::display);
    let event_id = event.event.id();
    let to = match event.event {
        EventKind::Unhealthy => OperatingStatus::Offline,
        EventKind::Recovered => OperatingStatus::Online,
        EventKind::InService
        | EventKind::InReserve
        | EventKind::SlowStart
        | EventKind::SlowStartOver
        | EventKind::Fallback
        | EventKind::FallbackOver => *from,
    };
    match event.event {
        EventKind::Unhealthy | EventKind::InService | EventKind::Fallback => tracing::warn!(
            event_id, pool, member, %address, port, %from, %to, lasted, code, reason,
            "a member {}", done(event.event)
        ),
        EventKind::Recovered
        | EventKind::InReserve
        | EventKind::SlowStart
        | EventKind::SlowStartOver
        | EventKind::FallbackOver => tracing::info!(
            event_id, pool, member, %address, port, %from, %to, lasted, code, reason,
            "a member {}", done(event.event)
        ),
    }
}

const fn done(event: EventKind) -> &'static str {
    match event {
        EventKind::Unhealthy => "turned unhealthy",
        EventKind::Recovered => "recovered",
        EventKind::InService => "in reserve takes new connections",
        EventKind::InReserve => "is in reserve again",
        EventKind::SlowStart => "begins to rise to its share of new connections",
        EventKind::SlowStartOver => "has all of its share of new connections",
        EventKind::Fallback => {
            "the fallback pool serves the listener: too few members of its default pool take new connections"
        }
        EventKind::FallbackOver => "the default pool serves the listener again",
    }
}

#[cfg(test)]
mod tests;
