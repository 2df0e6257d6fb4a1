//! Lines of the flow log, as they are written.

use super::*;
use elb_common::addr::Be16;
use elb_common::flow::Ports;
use serde_json::{Value, json};

fn line(event: &FlowEvent) -> Value {
    let names = Names::default();
    let words = Words { names: &names, booted: SystemTime::UNIX_EPOCH };
    serde_json::to_value(words.event(event)).unwrap()
}

pub(super) fn syn() -> FlowEvent {
    let mapped =
        |last: u8| bytemuck::cast([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, 0, last]);
    FlowEvent {
        time: 1_500_000_000,
        source: mapped(7),
        destination: mapped(1),
        ports: Ports { source: Be16::new(4000), destination: Be16::new(80) },
        sequence: 100,
        known: known::ENDS | known::PROTOCOL | known::PORTS | known::SEGMENT | known::LENGTH,
        protocol: 6,
        flags: 2,
        reason: FORWARDED,
        listener: 3,
        backend: 5,
        length: 74,
        ingress: 2,
        ..FlowEvent::default()
    }
}

#[test]
fn an_open_in_words() {
    let wanted = json!({
        "time": "1970-01-01T00:00:01.500000000Z",
        "event": "open",
        "interface": "#2",
        "protocol": "tcp",
        "source": "10.0.0.7:4000",
        "destination": "10.0.0.1:80",
        "length": 74,
        "listener": "#3",
        "listener_id": null,
        "member": {"number": 5},
        "fate": "forwarded",
        "reason": null,
        "ended": null,
        "sequence": 100,
    });
    assert_eq!(line(&syn()), wanted);
    let end = line(&FlowEvent { flags: 0x11, ..syn() });
    assert_eq!((&end["event"], &end["ended"]), (&json!("end"), &json!("fin")));
}

#[test]
fn what_is_not_known_is_null() {
    let refused = FlowEvent {
        known: known::ENDS,
        reason: Reason::Fragment as u32,
        listener: NO_LISTENER,
        backend: 0,
        ..syn()
    };
    let line = line(&refused);
    assert_eq!((&line["event"], &line["fate"]), (&json!("refused"), &json!("dropped")));
    assert_eq!((&line["reason"], &line["source"]), (&json!("fragment"), &json!("10.0.0.7")));
    for field in ["protocol", "length", "listener", "listener_id", "member", "sequence", "ended"] {
        assert_eq!(line[field], Value::Null, "{field}");
    }
}
