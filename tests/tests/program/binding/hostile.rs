//! Damaged packets of both sides, while flows come and go: kernel and host agree on every byte and every port.

use elb_common::names;
use elb_common::path::Outcome;
use elb_common::reason::Reason;

use crate::cases::hex;
use crate::frame::*;
use crate::fuzz::{Random, damage};
use crate::world::*;

use super::scene::*;

const RUNS: usize = 60_000;
/// Ports of clients, and the most flows whose answers are damaged.
const FLOWS: usize = 32;

#[test]
fn hostile_packets_of_flows_with_ports() {
    for program in [names::PROGRAM, names::TRACED_PROGRAM] {
        let mut scene = Scene::new(program, bind);
        let mut random = Random(0xb14d_2026);
        let mut sources = vec![(SOURCE, 5_000)];
        let (mut sent, mut returned, mut refused) = (0, 0, vec![0; Reason::ALL.len()]);
        for run in 0..RUNS {
            let frame = match random.below(2) {
                0 => from_client(&mut random),
                _ => {
                    let source = random.pick(&sources);
                    from_its_member(&mut random, source)
                }
            };
            let frame = damage(&mut random, frame);
            scene.forget_errors();
            let (outcome, bytes) = scene.run(&frame);
            match outcome {
                Outcome::Transmit => sent += 1,
                Outcome::Redirect(_) | Outcome::HandOver => returned += 1,
                Outcome::Pass(reason) | Outcome::Drop(reason) | Outcome::Answer(reason) => {
                    refused[reason as usize] += 1;
                }
            }
            // Damage may make it one for another listener.
            if outcome == Outcome::Transmit && bytes[..6] == MEMBER_MAC && bytes[12..14] == [8, 0] {
                let from: [u8; 4] = bytes[26..30].try_into().unwrap();
                assert!(SNAT.holds(bytemuck::cast(from)), "run {run}: {}", hex(&frame));
                let is_first = bytes[14] == 0x45 && bytes[20..22] == [0, 0];
                if is_first && [TCP, UDP].contains(&bytes[23]) {
                    sources.truncate(FLOWS);
                    sources.insert(0, source_of(&bytes));
                }
            }
            if run % 5_000 == 4_999 {
                scene.compare_bindings();
            }
        }
        println!("{program}: {sent} to members, {returned} to clients");
        assert!(sent > RUNS / 10 && returned > RUNS / 20);
        let wanted = [Reason::NotOpen, Reason::ResetTold, Reason::Truncated];
        let silent: Vec<_> = wanted.iter().filter(|one| refused[**one as usize] == 0).collect();
        assert!(silent.is_empty(), "{silent:?}");
    }
}

fn flags(random: &mut Random) -> u8 {
    random.pick(&[SYN, ACK, ACK, ACK, SYN | ACK, FIN | ACK, RST, RST | ACK, 0])
}

/// Whole, in pieces, with options, or the subject of an error.
fn shaped(random: &mut Random, packet: Packet) -> Packet {
    match random.below(8) {
        0 => packet.options(&random.pick(&[vec![1; 4], vec![1; 40]])),
        1 => {
            let parts = packet.fragments(16, random.below(4) as u32);
            random.pick(&parts)
        }
        2 => packet.ttl(random.pick(&[0, 1, 2])),
        _ => packet,
    }
}

fn from_client(random: &mut Random) -> Vec<u8> {
    let port = CLIENT_PORT + random.below(FLOWS) as u16;
    let data = vec![7; random.below(60)];
    let packet = match random.below(8) {
        0 => {
            let answer = tcp("192.0.2.10", port::NAT, CLIENT.parse().unwrap(), port, ACK, b"");
            let kind = random.pick(&[3, 11, 12]);
            error("203.0.113.1", kind, random.below(5) as u8, 1400, &answer.ip())
        }
        1..=3 => udp(CLIENT, port, vip4(), port::NAT, &data),
        _ => tcp(CLIENT, port, vip4(), port::NAT, flags(random), &data),
    };
    shaped(random, packet).frame()
}

fn from_its_member(random: &mut Random, source: Source) -> Vec<u8> {
    let data = vec![9; random.below(60)];
    let packet = match random.below(8) {
        0 => {
            let (address, port) = source;
            let sent = tcp(&address.to_string(), port, member().into(), port::MEMBER, ACK, b"");
            let from = random.pick(&[MEMBER, "203.0.113.1"]);
            let about = sent.ip();
            let mut error = error(from, random.pick(&[3, 11]), random.below(5) as u8, 1400, &about);
            error.destination = address.into();
            error
        }
        1..=3 => answers_udp(source, &data),
        _ => answers(source, flags(random), &data),
    };
    from_member(&shaped(random, packet))
}
