//! Flows whose members see source addresses of ours.

use elb_common::addr::Be32;
use elb_common::backend::Translation;
use elb_common::client_hop::{ClientHop, hop_kind};
use elb_common::listener::{ListenerEndpoint, listener_flags};
use elb_common::snat::Snat;

use super::*;

const CLIENT: &str = "198.51.100.7:1234";

fn record(address: [u8; 4]) -> Be128 {
    Be128::from_raw([u32::from_ne_bytes(address), 0, 0, 0])
}

/// The member 10.0.0.12:8080, number 2, gets packets from 10.0.0.208 to 10.0.0.211.
fn bound() -> Memory {
    let mut memory = memory(ring::Slot::new(2, 0));
    let mut member = backend(12, mode::FULLNAT);
    let translation = Translation::new(record([10, 0, 0, 12]), Be16::new(8080), 0);
    member.outer_source = translation.to_words();
    memory.backends.insert(2, member);
    for listener in memory.listeners_v4.values_mut() {
        listener.flags |= listener_flags::BINDS;
        let vip = record([192, 0, 2, 10]);
        let endpoint = ListenerEndpoint { vip, port: Be16::new(80), reserved: 0 };
        memory.endpoints.insert(listener.id, endpoint);
    }
    let network: Be32 = bytemuck::cast([10u8, 0, 0, 208]);
    memory.snat = Some(Snat { network, addresses: 4, secret: 7 });
    memory.client_defaults = [ClientHop {
        next_hop: Mac::new([2, 0, 0, 0, 1, 1]),
        source: Mac::new([2, 0, 0, 0, 1, 2]),
        ifindex: 4,
        largest: 1500,
        kind: hop_kind::KNOWN,
    }; 2];
    memory.devices.push(4);
    memory
}

fn ask(memory: &Memory, from: &str, to: &str, syn: bool) -> Explanation {
    let request = ExplainRequest { syn, ..question(from, to, TransportProtocol::Tcp) };
    explain(&request, INGRESS, memory, &names()).unwrap().0
}

/// The client's SYN comes, in truth.
fn open(memory: &Memory) -> SocketAddr {
    let explained = ask(memory, CLIENT, "192.0.2.10:80", true);
    // What an explanation writes stays in the tables that it is given, which are these.
    explained.bound.unwrap().source
}

#[test]
fn a_packet_that_opens_a_flow_takes_a_source_port() {
    let explained = ask(&bound(), CLIENT, "192.0.2.10:80", true);
    assert_eq!(explained.decision.fate, "forwarded");
    let port = explained.bound.unwrap();
    assert!(port.by_this_packet && port.stage == "opening", "{port:?}");
    assert_eq!((port.client.to_string().as_str(), port.member.number), (CLIENT, 2));
    assert_eq!(explained.translated.unwrap().source, port.source);
}

#[test]
fn what_is_of_no_open_connection_is_said_to_be() {
    let explained = ask(&bound(), CLIENT, "192.0.2.10:80", false);
    assert_eq!(explained.decision.reason.as_deref(), Some("reset_told"));
    assert!(explained.bound.is_none() && explained.answer.is_some());
}

#[test]
fn an_answer_to_a_source_port_is_its_clients() {
    let memory = bound();
    let source = open(&memory).to_string();
    let explained = ask(&memory, "10.0.0.12:8080", &source, false);
    assert_eq!(explained.decision.fate, "forwarded", "{explained:?}");
    let port = explained.bound.unwrap();
    assert_eq!((port.source.to_string(), port.client.to_string().as_str()), (source, CLIENT));
    assert!(!port.by_this_packet && explained.way_back.is_some());
    let translated = explained.translated.unwrap();
    let ends = [translated.source, translated.destination].map(|end| end.to_string());
    assert_eq!(ends, ["192.0.2.10:80", CLIENT]);
}
