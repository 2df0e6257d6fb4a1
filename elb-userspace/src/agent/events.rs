//! What happened to members: logged, remembered for a while, and passed on to every client that
//! listens.

use std::collections::VecDeque;

use tokio::sync::mpsc;

use crate::api::shape::events::{Event, Kind, LAST, Line, Request};
use crate::api::{Lines, WAITING_LINES};
use crate::health::Status;

/// The last events, and the clients that want to be sent more.
#[derive(Default)]
pub(super) struct Events {
    past: VecDeque<Event>,
    subscribers: Vec<Subscriber>,
}

struct Subscriber {
    request: Request,
    lines: mpsc::Sender<Line>,
    /// Events that were not passed on, since it was slow.
    missed: u64,
}

// What is remembered, and one line about what was missed, never wait for a subscriber.
const _: () = assert!(LAST < WAITING_LINES);

impl Events {
    /// Goes on from what an earlier agent remembered.
    pub(super) fn new(past: Vec<Event>) -> Self {
        let too_many = past.len().saturating_sub(LAST);
        Self { past: past.into_iter().skip(too_many).collect(), subscribers: Vec::new() }
    }

    /// What is remembered, the oldest first.
    pub(super) fn past(&self) -> impl Iterator<Item = &Event> {
        self.past.iter()
    }

    /// Takes in what happened.
    pub(super) fn happened(&mut self, event: Event) {
        log(&event);
        self.subscribers.retain_mut(|subscriber| subscriber.send(&event));
        if self.past.len() == LAST {
            self.past.pop_front();
        }
        self.past.push_back(event);
    }

    /// Adds a subscriber.
    pub(super) fn begin(&mut self, request: Request) -> Lines<Line> {
        let (lines, listening) = mpsc::channel(WAITING_LINES);
        let mut subscriber = Subscriber { request, lines, missed: 0 };
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

impl Subscriber {
    /// False if it does not listen any more.
    fn send(&mut self, event: &Event) -> bool {
        if self.missed > 0 && self.lines.try_send(Line::Missed(self.missed)).is_ok() {
            self.missed = 0;
        }
        if self.request.wants(event)
            && self.lines.try_send(Line::Event(Box::new(event.clone()))).is_err()
        {
            self.missed += 1;
        }
        !self.lines.is_closed()
    }
}

/// A structured line.
fn log(event: &Event) {
    let Event { pool, member, address, protocol_port: port, from, lasted, reason, .. } = event;
    let code = reason.as_ref().map(|reason| reason.code().as_str());
    let reason = reason.as_ref().map(tracing::field::display);
    match event.event {
        Kind::Unhealthy => tracing::warn!(
            pool, member, %address, port, %from, to = %Status::Offline, lasted, code, reason,
            "a member turned unhealthy"
        ),
        Kind::Recovered => tracing::info!(
            pool, member, %address, port, %from, to = %Status::Online, lasted, code, reason,
            "a member recovered"
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn event(number: u64) -> Event {
        Event {
            time: String::new(),
            event: Kind::Unhealthy,
            pool: "web".to_owned(),
            member: format!("web-{}", number % 2),
            address: IpAddr::from([10, 0, 0, 1]),
            protocol_port: 80,
            from: Status::Online,
            lasted: number,
            reason: None,
        }
    }

    fn taken(lines: &mut mpsc::Receiver<Line>) -> Vec<Line> {
        std::iter::from_fn(|| lines.try_recv().ok()).collect()
    }

    fn numbers(lines: &[Line]) -> Vec<u64> {
        let number = |line: &Line| match line {
            Line::Event(event) => event.lasted,
            Line::Missed(_) => panic!("{line:?}"),
        };
        lines.iter().map(number).collect()
    }

    #[test]
    fn the_past_comes_first_and_ends_unless_it_is_followed() {
        let mut events = Events::new(vec![event(0), event(1)]);
        events.happened(event(2));
        let mut past = events.begin(Request::default()).unwrap();
        assert_eq!(numbers(&taken(&mut past)), [0, 1, 2]);
        assert!(past.is_closed());
        let member = Some("web-1".to_owned());
        let follow = Request { follow: true, member, ..Request::default() };
        let mut lines = events.begin(follow).unwrap();
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
        let follow = Request { follow: true, ..Request::default() };
        let mut lines = events.begin(follow).unwrap();
        let most = WAITING_LINES as u64;
        (0..most + 5).for_each(|number| events.happened(event(number)));
        assert_eq!(numbers(&taken(&mut lines)), (0..most).collect::<Vec<_>>());
        events.happened(event(9));
        assert_eq!(taken(&mut lines), [Line::Missed(5), Line::Event(Box::new(event(9)))]);
    }
}
