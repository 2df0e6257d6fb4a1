//! Events on their way to a URL, whatever answers there.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::time::Instant;

use super::*;
use crate::api::shape::events::MemberEvent;
use crate::health::OperatingStatus;
use crate::model::MemberRef;

fn event(kind: EventKind) -> AgentEvent {
    AgentEvent::Member(MemberEvent {
        time: "2026-01-02T03:04:05.678Z".to_owned(),
        event: kind,
        event_id: Some(kind.id().to_owned()),
        member: MemberRef::new((None, "web"), None, Some("web-1"), ([10, 0, 0, 11], 80).into()),
        from: OperatingStatus::Online,
        lasted: 7,
        reason: None,
    })
}

fn to(place: SocketAddr, events: &[NotifiedEvent]) -> Webhooks {
    let url = format!("http://{place}/hook").parse().unwrap();
    let mut webhooks = Webhooks::default();
    webhooks.follow(&[Notify { url, events: events.to_vec(), ca_file: None }]);
    webhooks
}

fn wait(webhooks: &Webhooks, wanted: impl Fn(&WebhookStatus) -> bool) -> WebhookStatus {
    let begun = Instant::now();
    loop {
        let status = webhooks.status().remove(0);
        if wanted(&status) {
            return status;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{status:?}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// The body of one request, which is answered so.
fn answer(listener: &TcpListener, answer: &str) -> String {
    let (mut stream, _) = listener.accept().unwrap();
    let (mut text, mut piece) = (String::new(), [0; 4096]);
    while !text.ends_with('}') {
        let count = stream.read(&mut piece).unwrap();
        text.push_str(std::str::from_utf8(&piece[..count]).unwrap());
    }
    stream.write_all(answer.as_bytes()).unwrap();
    assert!(text.starts_with("POST /hook HTTP/1.1\r\n"), "{text}");
    text.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[test]
fn an_event_arrives_as_json_if_it_is_wanted() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let webhooks = to(listener.local_addr().unwrap(), &[NotifiedEvent::Unhealthy]);
    webhooks.happened(&event(EventKind::Recovered));
    webhooks.happened(&event(EventKind::Unhealthy));
    let body = answer(&listener, "HTTP/1.1 204 No Content\r\n\r\n");
    let read: AgentEvent = serde_json::from_str(&body).unwrap();
    assert_eq!(read, event(EventKind::Unhealthy));
    assert!(body.contains("\"event_id\":\"healthCheckUnhealthy\""), "{body}");
    let status = wait(&webhooks, |status| status.sent == 1);
    assert_eq!((status.failed, status.lost, status.last_failure), (0, 0, None));
    webhooks.happened(&event(EventKind::Unhealthy));
    answer(&listener, "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n");
    let status = wait(&webhooks, |status| status.failed == 1);
    assert!(status.last_failure.unwrap().contains("500"), "said");
}

#[test]
fn one_that_refuses_and_one_that_hangs_cost_the_caller_nothing() {
    let refuses = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let webhooks = to(refuses, NotifiedEvent::ALL);
    webhooks.happened(&event(EventKind::Recovered));
    let status = wait(&webhooks, |status| status.failed == 1);
    assert!(status.last_failure.unwrap().starts_with("cannot connect"), "said");

    let hangs = TcpListener::bind("127.0.0.1:0").unwrap();
    let webhooks = to(hangs.local_addr().unwrap(), NotifiedEvent::ALL);
    let begun = Instant::now();
    let more = 20;
    (0..=WAITING + more).for_each(|_| webhooks.happened(&event(EventKind::Unhealthy)));
    assert!(begun.elapsed() < ATTEMPT, "nothing waits");
    // One may be on its way.
    let lost = webhooks.status()[0].lost;
    assert!((more as u64..=more as u64 + 1).contains(&lost), "{lost}");
    let status = wait(&webhooks, |status| status.failed == 1);
    assert_eq!(status.last_failure.as_deref(), Some("no answer within 5s"));
}

#[test]
fn a_url_that_stays_keeps_its_counts() {
    let refuses = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut webhooks = to(refuses, NotifiedEvent::ALL);
    webhooks.happened(&event(EventKind::Recovered));
    wait(&webhooks, |status| status.failed == 1);
    let wanted = Notify { events: Vec::new(), ..webhooks.0[0].wanted.clone() };
    webhooks.follow(std::slice::from_ref(&wanted));
    assert_eq!(webhooks.status()[0].failed, 1);
    webhooks.follow(&[]);
    assert!(webhooks.status().is_empty());
}
