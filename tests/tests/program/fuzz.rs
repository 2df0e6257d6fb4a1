//! Hostile packets by the million: random bytes, and real packets with random damage. The oracle
//! decides what must become of each; the reason counters are compared in batches.

use elb_common::names;
use elb_common::reason::Reason;

use crate::cases::{EVERYTHING, hex};
use crate::frame::*;
use crate::kernel::{Kernel, now};
use crate::logging;
use crate::oracle::Oracle;
use crate::oracle::replies::member_of;
use crate::steps::check_records;
use crate::world::translation::client;
use crate::world::*;

const RUNS: u64 = 1_000_000;
const BATCH: u64 = 5_000;

/// Ports of listeners whose slots move.
const MOVING: [u16; 4] =
    [port::MOVING, port::MOVING_GONE, port::MOVING_RELEASED, port::MOVING_BUSY];

/// How many packets: as `ELB_HOSTILE_PACKETS` says, where a million takes too long.
fn runs() -> u64 {
    let said = std::env::var("ELB_HOSTILE_PACKETS").ok();
    said.map_or(RUNS, |said| said.parse().expect("ELB_HOSTILE_PACKETS is a number"))
}

/// SplitMix64 (Steele et al. 2014): small, and the same packets every time.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.next() as u8).collect()
    }
}

/// A real packet for or past the world, before damage.
#[expect(clippy::too_many_lines, reason = "one arm for each kind of packet")]
fn real(random: &mut Random) -> Vec<u8> {
    let v4 = random.below(2) == 0;
    let neighbor = random.below(16) == 0;
    let client = match (v4, neighbor) {
        (true, false) => "198.51.100.7",
        (false, false) => "2001:db8:c::7",
        (true, true) => "10.0.0.77",
        (false, true) => "fd00::77",
    };
    let vip = if v4 {
        random.pick(&[
            vip4(),
            vip4(),
            vip4(),
            vip4(),
            any4(),
            bare4(),
            own4(),
            "10.0.0.1".parse().unwrap(),
        ])
    } else {
        random.pick(&[
            vip6(),
            vip6(),
            vip6(),
            vip6(),
            any6(),
            bare6(),
            own6(),
            "fd00::1".parse().unwrap(),
        ])
    };
    // A third is for slots that move, where most is to be decided.
    let any: Vec<u16> = (80..=103).collect();
    let port = if random.below(3) == 0 { random.pick(&MOVING) } else { random.pick(&any) };
    // Some clients send a packet, others many.
    let few = random.next() as u16 & 0x1f;
    let from = if random.below(2) == 0 { few } else { random.next() as u16 };
    // Some packets around the MTU.
    let size = match random.below(80) {
        0 | 1 => 1380 + random.below(120),
        2 => 520 + random.below(60),
        3 => 1200 + random.below(80),
        _ => random.below(200),
    };
    let data = random.bytes(size);
    if random.below(8) == 0 {
        return answer(random, vip);
    }
    let packet = match random.below(9) {
        8 => about(random, client, vip, port, from, &data),
        0..=2 => {
            let flags = random.next() as u8;
            tcp(client, from, vip, port, flags, &data)
        }
        3..=5 => udp(client, from, vip, port, &data),
        6 => echo(client, vip, &data),
        _ if v4 => {
            let claim = random.pick(&["198.51.100.7", "192.0.2.10"]).parse().unwrap();
            return arp(
                1 + (random.next() & 1) as u16,
                CLIENT_MAC,
                claim,
                "192.0.2.10".parse().unwrap(),
            );
        }
        _ => {
            let from = random.pick(&[client, "::"]);
            solicitation(from, "2001:db8::10".parse().unwrap(), random.below(2) == 0)
        }
    };
    let packet = match random.below(4) {
        0 if v4 => {
            let words = random.below(11);
            packet.options(&random.bytes(words * 4))
        }
        0 => {
            let mut chain = vec![];
            let count = random.below(10);
            let kinds: Vec<u8> =
                (0..count).map(|_| random.pick(&[0, 43, 44, 51, 60, 135])).collect();
            for (i, kind) in kinds.iter().enumerate() {
                let next = kinds.get(i + 1).copied().unwrap_or(packet.protocol);
                let rest = if *kind == 51 { [0, 0, 0, 0, 0, 0] } else { [1, 0, 0, 0, 0, 0] };
                chain.extend([next, 0]);
                chain.extend(rest);
            }
            match kinds.first() {
                Some(first) => packet.extensions(*first, &chain),
                None => packet,
            }
        }
        1 => {
            let parts =
                packet.fragments(random.pick(&[8, 16, 24, 64, 1200]), random.below(4) as u32);
            random.pick(&parts)
        }
        2 if v4 => packet.fragment(random.pick(&[0, 0x4000, 0x2000, 0x2001, 0x0001, 0x8000])),
        2 => packet.ttl(random.pick(&[0, 1, 2, 64, 255])),
        _ => packet,
    };
    match random.below(12) {
        6 => packet.frame_to(random.pick(&[FOREIGN_MAC, UPPER_MAC])),
        0 => packet.tagged(&[random.next() as u16]),
        1 => packet.tagged(&[random.next() as u16, random.next() as u16]),
        2 => packet.tagged(&[1, 2, 3]),
        _ => packet.frame(),
    }
}

/// What comes from the address of a member whose packets are translated: mostly its answers.
fn answer(random: &mut Random, vip: std::net::IpAddr) -> Vec<u8> {
    let version = usize::from(vip.is_ipv6());
    let member = member_of(vip).to_string();
    let clients = [
        client::FAR,
        client::FAR,
        client::NEAR,
        client::NARROW,
        client::UNRESOLVED,
        client::LOST,
        client::HERE,
    ];
    let to: std::net::IpAddr = random.pick(&clients)[version].parse().unwrap();
    let any = random.next() as u16;
    let ports =
        [port::MEMBER, port::MEMBER, port::MEMBER, port::MEMBER_ELSEWHERE, port::MEMBER_ENDED, any];
    let from = random.pick(&ports);
    let client_port = random.pick(&[40_000, PROBE, any]);
    let size = if random.below(20) == 0 { 1330 + random.below(110) } else { random.below(200) };
    let data = random.bytes(size);
    let mut packet = if random.below(2) == 0 {
        tcp(&member, from, to, client_port, random.next() as u8, &data)
    } else {
        udp(&member, from, to, client_port, &data)
    };
    if packet.protocol == 17 && random.below(4) == 0 {
        packet.payload[6..8].fill(0);
    }
    packet = match random.below(8) {
        0 => {
            let parts = packet.fragments(random.pick(&[8, 16, 64]), random.below(4) as u32);
            random.pick(&parts)
        }
        1 => packet.ttl(random.pick(&[0, 1, 2, 64, 255])),
        2 if vip.is_ipv4() => packet.options(&random.bytes(8)),
        _ => packet,
    };
    let mut frame = match random.below(12) {
        0 => packet.frame_to(FOREIGN_MAC),
        1 => packet.tagged(&[random.next() as u16]),
        _ => packet.frame(),
    };
    if random.below(8) != 0 {
        frame[6..12].copy_from_slice(&[2, 0, 0, 1, 0, [id::NAT, id::NAT_V6][version] as u8]);
    }
    frame
}

/// An error about what a backend answered.
fn about(
    random: &mut Random,
    client: &str,
    vip: std::net::IpAddr,
    port: u16,
    to: u16,
    data: &[u8],
) -> Packet {
    let (server, client) = (vip.to_string(), client.parse().unwrap());
    let answer = if random.below(2) == 0 {
        tcp(&server, port, client, to, ACK, data)
    } else {
        udp(&server, port, client, to, data)
    };
    let answer = match random.below(6) {
        0 => random.pick(&answer.fragments(16, 1)),
        1 if vip.is_ipv4() => answer.options(&[1; 8]),
        1 => {
            let protocol = answer.protocol;
            answer.extensions(60, &[protocol, 0, 1, 4, 0, 0, 0, 0])
        }
        _ => answer,
    };
    let quoted = answer.ip();
    let length = random.pick(&[quoted.len(), quoted.len(), 24, 28, 44, 48]).min(quoted.len());
    let (router, kinds): (_, &[u8]) = if vip.is_ipv4() {
        ("203.0.113.1", &[3, 3, 11, 12, 4, 5])
    } else {
        ("2001:db8:ff::1", &[1, 2, 2, 3, 4, 127])
    };
    let kind = random.pick(kinds);
    error(router, kind, random.below(5) as u8, 1400, &quoted[..length])
}

pub fn damage(random: &mut Random, mut frame: Vec<u8>) -> Vec<u8> {
    for _ in 0..random.pick(&[0, 0, 1, 1, 2, 3]) {
        let at = random.below(frame.len());
        // Most of what matters is in the first bytes.
        let at = if random.below(2) == 0 { at.min(13 + random.below(70)) } else { at };
        match random.below(5) {
            0 => frame[at] ^= 1 << random.below(8),
            1 => frame[at] = random.next() as u8,
            2 => frame[at] = random.pick(&[0, 1, 0x45, 0x60, 0x7f, 0x80, 0xff]),
            3 if frame.len() > 20 => frame.truncate(14.max(at)),
            _ => {
                let size = random.below(20);
                let more = random.bytes(size);
                frame.extend(more);
            }
        }
    }
    frame
}

#[test]
fn hostile_packets() {
    let wanted = survives(names::PROGRAM, runs());
    let silent: Vec<_> = Reason::ALL.iter().filter(|r| wanted[**r as usize] == 0).collect();
    // Cases of their own meet these: `NotProbe` in a program of its own, `CarriedOver` in the labs where maps
    // are carried over.
    let elsewhere = [
        &Reason::NoRoom,
        &Reason::AccessDenied,
        &Reason::RateLimited,
        &Reason::ConnectionLimit,
        &Reason::NoRecord,
        &Reason::NotProbe,
        &Reason::CarriedOver,
        &Reason::NoBackendAnswered,
        &Reason::Joined,
        &Reason::Cut,
        &Reason::CutAnswered,
        &Reason::MemberLimit,
        &Reason::MemberLimitAnswered,
        &Reason::TupleClash,
        &Reason::NotOpen,
        &Reason::NoSourcePort,
        &Reason::UdpChecksum,
    ];
    assert_eq!(silent, elsewhere, "reasons that no packet met");
}

#[test]
fn hostile_packets_while_they_are_reported() {
    survives(names::TRACED_PROGRAM, (runs() / 20).max(BATCH));
}

#[test]
fn hostile_packets_while_the_flow_log_is_written() {
    survives(names::LOGGED_PROGRAM, (runs() / 20).max(BATCH));
}

/// Lets so many packets meet a program; how many met each reason.
fn survives(program: &'static str, runs: u64) -> Vec<u64> {
    let world = world(now());
    let mut kernel = Kernel::with(program, &world.memory());
    kernel.trace(EVERYTHING);
    kernel.flow_log(logging::ALL);
    let mut oracle = Oracle::new(world);
    let mut random = Random(0x0e1b_2026);
    let mut wanted = vec![0u64; Reason::ALL.len()];
    let mut forwarded = 0u64;
    for run in 0..runs {
        let frame = if run % 10 == 0 {
            let size = 14 + random.below(120);
            let mut frame = random.bytes(size);
            let kind: [u8; 2] =
                random.pick(&[[8, 0], [0x86, 0xdd], [8, 6], [0x81, 0], [0x12, 0x34]]);
            frame[12..14].copy_from_slice(&kind);
            frame
        } else {
            let frame = real(&mut random);
            damage(&mut random, frame)
        };
        let expected = oracle.expect(&frame);
        const ANSWERED: [Reason; 2] = [Reason::TooBigAnswered, Reason::ClosedPortAnswered];
        if expected.reason.is_some_and(|reason| ANSWERED.contains(&reason)) {
            kernel.forget_errors();
        }
        let ran = kernel.run(&frame);
        assert!(
            ran.action == expected.action && ran.bytes == expected.bytes,
            "run {run}: frame {}\n got {} {}\nwant {expected:?}",
            hex(&frame),
            ran.action,
            hex(&ran.bytes)
        );
        if program == names::LOGGED_PROGRAM {
            let agreed = logging::logged(&mut kernel, &frame, expected.reason, &expected);
            assert_eq!(agreed, Ok(()), "run {run}: frame {}", hex(&frame));
        }
        match expected.reason {
            Some(reason) => wanted[reason as usize] += 1,
            None => forwarded += 1,
        }
        if (run + 1) % BATCH == 0 {
            // Long before they are too old, which the oracle does not know.
            check_records(&kernel, &oracle);
            kernel.forget_fragments();
            oracle.fragments.clear();
            oracle.answers.clear();
            kernel.forget_exceptions();
            oracle.alone.clear();
            kernel.forget_openings();
            oracle.flows.openings.clear();
            let counted: Vec<u64> = kernel.reasons().iter().map(|c| c.packets).collect();
            assert_eq!(counted, wanted, "reasons of the runs up to {run}");
            kernel.events();
        }
    }
    println!("{forwarded} of {runs} packets were good");
    assert!(forwarded > runs / 10, "too few packets were good: {forwarded} of {runs}");
    wanted
}
