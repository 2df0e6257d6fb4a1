//! Which events a request is about, and how they are written.

use super::*;

#[test]
fn a_request_chooses_by_pool_and_member() {
    let event = MemberEvent {
        time: "2026-01-02T03:04:05.678Z".to_owned(),
        event: EventKind::Unhealthy,
        event_id: None,
        member: MemberRef::new((None, "web"), None, Some("web-1"), ([10, 0, 0, 11], 80).into()),
        from: OperatingStatus::Online,
        lasted: 7,
        reason: None,
    };
    let event = AgentEvent::Member(event);
    let wants = |pool: Option<&str>, member: Option<&str>| {
        let (pool, member) = (pool.map(str::to_owned), member.map(str::to_owned));
        EventsRequest { pool, member, ..EventsRequest::default() }.wants(&event)
    };
    assert!(wants(None, None) && wants(Some("web"), Some("web-1")));
    assert!(wants(None, Some("10.0.0.11")) && wants(None, Some("10.0.0.11:80")));
    assert!(!wants(Some("dns"), None) && !wants(None, Some("web-2")));
    assert!(!wants(None, Some("10.0.0.11:81")) && !wants(None, Some("10.0.0.1")));
    let since =
        |since: &str| EventsRequest { since: Some(since.to_owned()), ..EventsRequest::default() };
    assert!(since("2026-01-02T03:04:05.678Z").wants(&event));
    assert!(!since("2026-01-02T03:04:05.679Z").wants(&event));
    let text = serde_json::to_string(&EventsLine::Event(Box::new(event.clone()))).unwrap();
    assert_eq!(
        serde_json::from_str::<EventsLine>(&text).unwrap(),
        EventsLine::Event(Box::new(event))
    );
}

#[test]
fn an_event_of_a_listener_is_of_both_its_pools() {
    let event = AgentEvent::Listener(ListenerEvent {
        time: "2026-01-02T03:04:05.678Z".to_owned(),
        event: ListenerEventKind::Fallback,
        event_id: EventKind::Fallback.id().to_owned(),
        load_balancer: "lb".to_owned(),
        listener: "http".to_owned(),
        listener_id: ResourceId::of_pool("any"),
        default_pool: "web".to_owned(),
        fallback_pool: "spare".to_owned(),
        default_serving: Some(1),
        below: 2,
    });
    let wants = |pool: Option<&str>, member: Option<&str>| {
        let (pool, member) = (pool.map(str::to_owned), member.map(str::to_owned));
        EventsRequest { pool, member, ..EventsRequest::default() }.wants(&event)
    };
    assert!(wants(None, None) && wants(Some("web"), None) && wants(Some("spare"), None));
    assert!(!wants(Some("dns"), None) && !wants(Some("web"), Some("web-1")));
    let text = serde_json::to_string(&event).unwrap();
    assert!(text.contains("\"event\":\"fallback\",\"event_id\":\"listenerFallback\""), "{text}");
    assert_eq!(serde_json::from_str::<AgentEvent>(&text).unwrap(), event);
}
