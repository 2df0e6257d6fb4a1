//! What happened to members: logged, remembered for a while, and passed on to every client that
//! listens.

use std::collections::{BTreeSet, VecDeque};

use tokio::sync::mpsc;

use crate::api::shape::events::{EventKind, EventsLine, EventsRequest, LAST, MemberEvent};
use crate::api::{Lines, WAITING_LINES};
use crate::health::OperatingStatus;
use crate::model::select::Label;
use crate::model::{MemberRef, Model, ResourceId};

/// The last events, and the clients that want to be sent more.
#[derive(Default)]
pub(super) struct Events {
    past: VecDeque<MemberEvent>,
    subscribers: Vec<Subscriber>,
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
    pub(super) fn new(past: Vec<MemberEvent>) -> Self {
        let too_many = past.len().saturating_sub(LAST);
        Self { past: past.into_iter().skip(too_many).collect(), subscribers: Vec::new() }
    }

    /// What is remembered, the oldest first.
    pub(super) fn past(&self) -> impl Iterator<Item = &MemberEvent> {
        self.past.iter()
    }

    /// Takes in what happened.
    pub(super) fn happened(&mut self, event: MemberEvent) {
        log(&event);
        self.subscribers.retain_mut(|subscriber| subscriber.send(&event));
        if self.past.len() == LAST {
            self.past.pop_front();
        }
        self.past.push_back(event);
    }

    /// Adds a subscriber.
    pub(super) fn begin(&mut self, request: EventsRequest, model: &Model) -> Lines<EventsLine> {
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
    fn wants(&self, event: &MemberEvent) -> bool {
        self.request.wants(event) || event.member.id.is_some_and(|id| self.named.contains(&id))
    }

    /// False if it does not listen any more.
    fn send(&mut self, event: &MemberEvent) -> bool {
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
fn log(event: &MemberEvent) {
    let MemberEvent { member, from, lasted, reason, .. } = event;
    let MemberRef { pool, name: member, address, protocol_port: port, .. } = member;
    let code = reason.as_ref().map(|reason| reason.code().as_str());
    let reason = reason.as_ref().map(tracing::field::display);
    match event.event {
        EventKind::Unhealthy => tracing::warn!(
            pool, member, %address, port, %from, to = %OperatingStatus::Offline, lasted, code, reason,
            "a member turned unhealthy"
        ),
        EventKind::Recovered => tracing::info!(
            pool, member, %address, port, %from, to = %OperatingStatus::Online, lasted, code, reason,
            "a member recovered"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(number: u64) -> MemberEvent {
        MemberEvent {
            time: String::new(),
            event: EventKind::Unhealthy,
            member: MemberRef::new(
                (None, "web"),
                None,
                Some(&format!("web-{}", number % 2)),
                ([10, 0, 0, 1], 80).into(),
            ),
            from: OperatingStatus::Online,
            lasted: number,
            reason: None,
        }
    }

    fn taken(lines: &mut mpsc::Receiver<EventsLine>) -> Vec<EventsLine> {
        std::iter::from_fn(|| lines.try_recv().ok()).collect()
    }

    fn numbers(lines: &[EventsLine]) -> Vec<u64> {
        let number = |line: &EventsLine| match line {
            EventsLine::Event(event) => event.lasted,
            EventsLine::Missed(_) => panic!("{line:?}"),
        };
        lines.iter().map(number).collect()
    }

    #[test]
    fn the_past_comes_first_and_ends_unless_it_is_followed() {
        let mut events = Events::new(vec![event(0), event(1)]);
        events.happened(event(2));
        let mut past = events.begin(EventsRequest::default(), &Model::default()).unwrap();
        assert_eq!(numbers(&taken(&mut past)), [0, 1, 2]);
        assert!(past.is_closed());
        let member = Some("web-1".to_owned());
        let follow = EventsRequest { follow: true, member, ..EventsRequest::default() };
        let mut lines = events.begin(follow, &Model::default()).unwrap();
        events.happened(event(3));
        events.happened(event(4));
        assert_eq!(numbers(&taken(&mut lines)), [1, 3]);
        drop(lines);
        events.happened(event(5));
        assert!(events.subscribers.is_empty());
    }

    #[test]
    fn only_the_last_ones_are_remembered() {
        let mut events = Events::new((0..2 * LAST as u64).map(event).collect());
        assert_eq!(events.past().count(), LAST);
        events.happened(event(7));
        assert_eq!(events.past().count(), LAST);
        assert_eq!(events.past().last(), Some(&event(7)));
    }

    #[test]
    fn a_slow_subscriber_learns_how_much_it_missed() {
        let mut events = Events::default();
        let follow = EventsRequest { follow: true, ..EventsRequest::default() };
        let mut lines = events.begin(follow, &Model::default()).unwrap();
        let most = WAITING_LINES as u64;
        (0..most + 5).for_each(|number| events.happened(event(number)));
        assert_eq!(numbers(&taken(&mut lines)), (0..most).collect::<Vec<_>>());
        events.happened(event(9));
        assert_eq!(
            taken(&mut lines),
            [EventsLine::Missed(5), EventsLine::Event(Box::new(event(9)))]
        );
    }
}
