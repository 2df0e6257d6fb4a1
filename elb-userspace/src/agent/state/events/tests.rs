//! Who gets events, and what is remembered of them.

use super::*;

fn event(number: u64) -> AgentEvent {
    AgentEvent::Member(MemberEvent {
        time: String::new(),
        event: EventKind::Unhealthy,
        event_id: None,
        member: MemberRef::new(
            (None, "web"),
            None,
            Some(&format!("web-{}", number % 2)),
            ([10, 0, 0, 1], 80).into(),
        ),
        from: OperatingStatus::Online,
        lasted: number,
        reason: None,
    })
}

fn taken(lines: &mut mpsc::Receiver<EventsLine>) -> Vec<EventsLine> {
    std::iter::from_fn(|| lines.try_recv().ok()).collect()
}

fn numbers(lines: &[EventsLine]) -> Vec<u64> {
    let number = |line: &EventsLine| match line {
        EventsLine::Event(event) => event.of_member().unwrap().lasted,
        EventsLine::Missed(_) => panic!("{line:?}"),
    };
    lines.iter().map(number).collect()
}

#[test]
fn the_past_comes_first_and_ends_unless_it_is_followed() {
    let mut events = Events::new(vec![event(0), event(1)]);
    events.happened(event(2), Time::ZERO);
    let mut past = events.begin(EventsRequest::default(), &Model::default()).unwrap();
    assert_eq!(numbers(&taken(&mut past)), [0, 1, 2]);
    assert!(past.is_closed());
    let member = Some("web-1".to_owned());
    let follow = EventsRequest { follow: true, member, ..EventsRequest::default() };
    let mut lines = events.begin(follow, &Model::default()).unwrap();
    events.happened(event(3), Time::ZERO);
    events.happened(event(4), Time::ZERO);
    assert_eq!(numbers(&taken(&mut lines)), [1, 3]);
    drop(lines);
    events.happened(event(5), Time::ZERO);
    assert!(events.subscribers.is_empty());
}

#[test]
fn only_the_last_ones_are_remembered() {
    let mut events = Events::new((0..2 * LAST as u64).map(event).collect());
    assert_eq!(events.past().count(), LAST);
    events.happened(event(7), Time::ZERO);
    assert_eq!(events.past().count(), LAST);
    assert_eq!(events.past().last(), Some(&event(7)));
}

#[test]
fn a_slow_subscriber_learns_how_much_it_missed() {
    let mut events = Events::default();
    let follow = EventsRequest { follow: true, ..EventsRequest::default() };
    let mut lines = events.begin(follow, &Model::default()).unwrap();
    let most = WAITING_LINES as u64;
    (0..most + 5).for_each(|number| events.happened(event(number), Time::ZERO));
    assert_eq!(numbers(&taken(&mut lines)), (0..most).collect::<Vec<_>>());
    events.happened(event(9), Time::ZERO);
    assert_eq!(taken(&mut lines), [EventsLine::Missed(5), EventsLine::Event(Box::new(event(9)))]);
}
