//! Explanations as people read them.

use super::*;

fn explained(json: serde_json::Value) -> Explanation {
    serde_json::from_value(json).unwrap()
}

#[test]
fn a_forwarded_packet_in_words() {
    let member = |id: u16, name: &str| serde_json::json!({ "number": id, "name": name, "pool": "web", "address": "10.0.0.11", "protocol_port": 80 });
    let explained = explained(serde_json::json!({
        "packet": { "interface": "lb0", "source": "198.51.100.7:50000",
                    "destination": "192.0.2.10:80", "protocol": "tcp", "syn": false, "length": 40 },
        "decision": { "fate": "forwarded" },
        "listener": { "id": 0, "name": "http", "address": "192.0.2.10", "port": 80,
                      "disabled": false, "pool": "web", "algorithm": "5_TUPLE_HASH", "tracked": false },
        "admission": { "admitted": true,
                       "ipgroup": { "name": "office", "type": "white", "holds_client": true },
                       "max_connection": { "limit": 50, "open": 3 },
                       "cps": { "limit": 10, "reached": false } },
        "slot": { "hash": 17, "index": 5, "of": 101, "moving": true,
                  "owner": member(1, "a"), "former_owner": member(2, "b") },
        "flow": { "recorded": member(2, "b"), "idle": 4, "records": null },
        "backend": { "number": 2, "name": "b", "pool": "web", "address": "10.0.0.11", "protocol_port": 80,
                     "forwarding": "ipip", "reachable": true, "interface": "lb0",
                     "next_hop_mac": "02:00:00:00:00:0b", "mtu": 1500 },
        "sent": { "interface": "lb0", "source_mac": "02:00:00:00:00:01",
                  "next_hop_mac": "02:00:00:00:00:0b", "length": 74, "encapsulation":
                  { "source": "10.0.0.1", "destination": "10.0.0.11", "protocol": "ipv4", "bytes": 20 } }
    }));
    assert_eq!(
        text(&explained),
        "\
packet       198.51.100.7:50000 → 192.0.2.10:80 tcp, of a connection under way, 40 bytes, comes by lb0
listener     http at 192.0.2.10, port 80, served by pool web by 5_TUPLE_HASH
admission    admitted, its whitelist office holds the client, 3 connections of at most 50 are open, \
fewer than 10 connections, the most, have opened this second
hash         0x00000011 → slot 5 of 101
slot         moving: new flows go to a at 10.0.0.11:80 (backend 1), those older than the change to b \
at 10.0.0.11:80 (backend 2)
flow table   recorded for b at 10.0.0.11:80 (backend 2), last packet 4 s ago
member       b at 10.0.0.11:80 (backend 2), pool web, by ipip
next hop     02:00:00:00:00:0b by lb0, packets of at most 1500 bytes
encapsulated outer header 10.0.0.1 → 10.0.0.11 (carries ipv4), 20 bytes more
sent         74 bytes of frame by lb0
decision     forwarded
"
    );
}

#[test]
fn gue_in_words() {
    let frame: Sent = serde_json::from_value(serde_json::json!({
        "interface": "lb0", "source_mac": "", "next_hop_mac": "", "length": 86, "encapsulation":
            { "source": "10.0.0.1", "destination": "10.0.0.11", "protocol": "udp", "bytes": 32,
              "gue": { "source_port": 50001, "destination_port": 6080 } }
    }))
    .unwrap();
    assert_eq!(
        encapsulation(&frame),
        "outer header 10.0.0.1 → 10.0.0.11 (carries gue by udp, port 50001 → 6080), 32 bytes more"
    );
}

#[test]
fn an_answered_packet_in_words() {
    let explained = explained(serde_json::json!({
        "packet": { "interface": "lb0", "source": "198.51.100.7:50000",
                    "destination": "192.0.2.10:80", "protocol": "tcp", "syn": false, "length": 1500 },
        "decision": { "fate": "answered", "reason": "too_big_answered", "meaning": "too big" },
        "listener": null, "admission": null, "slot": null, "flow": null, "backend": null,
        "sent": null, "answer": { "kind": "fragmentation_needed", "mtu": 1480 }
    }));
    assert_eq!(
        text(&explained),
        "\
packet       198.51.100.7:50000 → 192.0.2.10:80 tcp, of a connection under way, 1500 bytes, comes by lb0
listener     none
answered     with ICMP fragmentation needed, which says that packets of at most 1480 bytes fit
decision     answered: too_big_answered: too big
"
    );
}

/// Those lines of a report about a packet to a listener by connection ids that are about these.
fn of_quic(cid: Option<&str>, id: serde_json::Value, more: serde_json::Value) -> String {
    let mut whole = serde_json::json!({
        "packet": { "interface": "lb0", "source": "198.51.100.7:50000", "cid": cid,
                    "destination": "192.0.2.10:443", "protocol": "udp", "syn": false, "length": 69 },
        "decision": { "fate": "forwarded" },
        "listener": { "id": 0, "name": "quic", "address": "192.0.2.10", "port": 443,
                      "disabled": false, "pool": "quic", "algorithm": "QUIC_CID", "tracked": false },
        "admission": null, "connection_id": id, "slot": null, "flow": null, "backend": null,
        "sent": null
    });
    whole.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let text = text(&explained(whole));
    let lines = text.lines().filter(|line| !line.starts_with("listener"));
    lines.filter(|line| !line.starts_with("decision")).collect::<Vec<_>>().join("\n")
}

fn settled() -> serde_json::Value {
    serde_json::json!({ "hash": 17, "index": 5, "of": 101, "moving": false, "former_owner": null,
                        "owner": { "number": 1, "name": "a", "pool": "quic", "address": "10.0.0.11", "protocol_port": 0 } })
}

#[test]
fn no_connection_id_in_words() {
    let id = serde_json::json!({ "given": false, "offset": 0, "length": 8, "decides": false });
    assert_eq!(
        of_quic(None, id, serde_json::json!({ "slot": settled() })),
        "\
packet       198.51.100.7:50000 → 192.0.2.10:443 udp, 69 bytes, comes by lb0
QUIC id      none was given: packets of these addresses and ports go by bytes 1 to 8 of theirs, and \
what follows is the way of one without; name one with --cid
hash         0x00000011 → slot 5 of 101
slot         settled: packets of this flow without a connection id go to a at 10.0.0.11 (backend 1)
flow table   not asked, since the slot is settled"
    );
}

#[test]
fn a_connection_id_in_words() {
    let id = |more| {
        let mut id = serde_json::json!({ "given": true, "offset": 1, "length": 2, "part": "a0b0" });
        let more: serde_json::Value = more;
        id.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        id
    };
    let short = id(serde_json::json!({ "missing": 1, "decides": false }));
    assert_eq!(
        of_quic(Some("00a0"), short, serde_json::json!({ "slot": settled() })),
        "\
packet       198.51.100.7:50000 → 192.0.2.10:443 udp, QUIC connection id 00a0, 69 bytes, comes by lb0
QUIC id      goes by bytes 2 to 3 of it, a0b0, of which the last was not given and counts as zero
hash         0x00000011 → slot 5 of 101
slot         settled: every packet with this connection id goes to a at 10.0.0.11 (backend 1)
flow table   not asked, since the slot is settled"
    );
    let member = serde_json::json!({ "number": 2, "name": "b", "pool": "quic", "address": "10.0.0.11", "protocol_port": 0 });
    let decides = id(serde_json::json!({ "decides": true }));
    assert_eq!(
        of_quic(Some("00a0b0"), decides, serde_json::json!({ "named": member })),
        "\
packet       198.51.100.7:50000 → 192.0.2.10:443 udp, QUIC connection id 00a0b0, 69 bytes, comes by lb0
QUIC id      goes by bytes 2 to 3 of it, a0b0
named        the connection id names b at 10.0.0.11 (backend 2), which gets the packet wherever its slot is"
    );
    let idle = id(serde_json::json!({ "decides": false }));
    let idle = of_quic(Some("00a0b0"), idle, serde_json::json!({ "named": member }));
    assert!(idle.ends_with(
        "b at 10.0.0.11 (backend 2), which serves no flows any more, so that the slot decides"
    ));
    let other = serde_json::json!({ "listener": { "id": 0, "name": "dns", "address": "192.0.2.10",
        "port": 443, "disabled": false, "pool": "dns", "algorithm": "SOURCE_IP", "tracked": false }});
    let other = of_quic(Some("00a0b0"), serde_json::Value::Null, other);
    assert!(
        other.ends_with("QUIC id      not looked at: the listener goes by SOURCE_IP"),
        "{other}"
    );
}

#[test]
fn a_dropped_packet_in_words() {
    let explained = explained(serde_json::json!({
        "packet": { "interface": "lb0", "source": "198.51.100.7:50000",
                    "destination": "192.0.2.10:81", "protocol": "udp", "syn": false, "length": 28 },
        "decision": { "fate": "passed", "reason": "no_listener", "meaning": "no listener",
                     "fix": "add one" },
        "listener": null, "admission": null, "slot": null, "flow": null, "backend": null, "sent": null
    }));
    assert_eq!(
        text(&explained),
        "\
packet       198.51.100.7:50000 → 192.0.2.10:81 udp, 28 bytes, comes by lb0
listener     none
decision     passed: no_listener: no listener
what to do   add one
"
    );
}

#[test]
fn an_answer_of_a_member_in_words() {
    let explained = explained(serde_json::json!({
        "packet": { "interface": "lb1", "source": "10.1.0.11:8080",
                    "destination": "198.51.100.7:40312", "protocol": "tcp", "syn": false, "length": 40 },
        "decision": { "fate": "forwarded" },
        "endpoint": { "member": { "number": 2, "name": "b", "pool": "web", "address": "10.1.0.11", "protocol_port": 8080 },
                      "listener": "http", "stands_for": "192.0.2.10:80", "shared": true, "interface": "lb1",
                      "mac": "02:00:00:00:00:0b", "asked_for_flow": true },
        "noted": { "listener": "alt", "address": "192.0.2.10:81", "ago": 3, "by_this_packet": false },
        "way_back": { "kind": "known", "interface": "lb0", "next_hop_mac": "02:00:00:00:01:01", "mtu": 1500 },
        "translated": { "source": "192.0.2.10:81", "destination": "198.51.100.7:40312" },
        "sent": { "interface": "lb0", "source_mac": "02:00:00:00:01:02",
                  "next_hop_mac": "02:00:00:00:01:01", "length": 54 }
    }));
    assert_eq!(
        text(&explained),
        "\
packet       10.1.0.11:8080 → 198.51.100.7:40312 tcp, of a connection under way, 40 bytes, comes by lb1
answer       of b at 10.1.0.11:8080 (backend 2), pool web; its endpoint stands for 192.0.2.10:80, listener http, \
which other listeners share
comes by     it must come by lb1, and from 02:00:00:00:00:0b
noted flow   noted 3 s ago: it is of 192.0.2.10:81, listener alt
way back     02:00:00:00:01:01 by lb0, packets of at most 1500 bytes
translated   it is now 192.0.2.10:81 → 198.51.100.7:40312
sent         54 bytes of frame by lb0
decision     forwarded
"
    );
}
