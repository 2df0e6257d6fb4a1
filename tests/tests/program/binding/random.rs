//! Random clients, answers, ends and silences.

use std::collections::BTreeMap;
use std::net::IpAddr;

use elb_common::names;
use elb_common::path::Outcome;
use elb_common::reason::Reason;

use crate::frame::*;
use crate::world::translation::ROUTER_MAC;
use crate::world::*;

use super::scene::*;

/// What the test knows of a flow: its port at the member, while it may be used.
#[derive(Clone, Copy, Debug)]
struct Known {
    source: Source,
    /// Whether client and member have closed, or one has reset, it: then it may end at any time.
    is_ending: [bool; 2],
}

/// Random clients, answers, ends and silences: an answer goes where its question came from, no two flows that live
/// share a port, and what is over is refused.
#[test]
fn random_flows_never_share_a_port() {
    let mut scene = Scene::new(names::PROGRAM, bind);
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut flows: BTreeMap<(u16, u8), Known> = BTreeMap::new();
    let IpAddr::V4(vip) = vip4() else { unreachable!() };
    for _ in 0..2_000 {
        let client = (40_000 + random.below(24) as u16, [TCP, UDP][random.below(2) as usize]);
        let (port, protocol) = client;
        let make = |flags| match protocol {
            TCP => tcp(CLIENT, port, vip4(), port::NAT, flags, b"q"),
            _ => udp(CLIENT, port, vip4(), port::NAT, b"q"),
        };
        let flags = [SYN, ACK, ACK, ACK, FIN | ACK, RST][random.below(6) as usize];
        let known = flows.get(&client).copied();
        if random.below(2) == 0 {
            let begins = protocol == UDP || flags == SYN;
            if known.is_none() && !begins {
                let (outcome, _) = scene.run(&make(flags).frame());
                assert!(!matches!(outcome, Outcome::Transmit), "{client:?}: {outcome:?}");
                continue;
            }
            let source = scene.forwards(&make(flags));
            let others = flows.iter().filter(|(other, _)| **other != client);
            assert!(others.clone().all(|(other, known)| {
                known.source != source || known.is_ending == [true; 2] || other.1 != protocol
            }));
            let begins_anew = known.is_none() || flags == SYN && protocol == TCP;
            let mut now =
                known.filter(|_| !begins_anew).unwrap_or(Known { source, is_ending: [false; 2] });
            assert_eq!(now.source, source, "{client:?}");
            if protocol == TCP {
                now.is_ending[0] |= flags & (FIN | RST) != 0;
                now.is_ending[1] |= flags & RST != 0;
            }
            flows.insert(client, now);
        } else if let Some(known) = known {
            let answer = match protocol {
                TCP => answers(known.source, flags, b"a"),
                _ => answers_udp(known.source, b"a"),
            };
            let (outcome, bytes) = scene.run(&from_member(&answer));
            assert_eq!(outcome, Outcome::Redirect(OTHER), "{client:?}");
            let expected = rewritten(&answer, (vip, port::NAT), (CLIENT.parse().unwrap(), port));
            assert_eq!(bytes, framed(&expected, ROUTER_MAC, OUR_MAC));
            let known = flows.get_mut(&client).unwrap();
            if protocol == TCP {
                known.is_ending[1] |= flags & (FIN | RST) != 0;
                known.is_ending[0] |= flags & RST != 0;
            }
            if random.below(8) == 0 {
                scene.ages(known.source, IDLE + 10);
                scene.is_refused(&from_member(&answers(known.source, ACK, b"")), Reason::ResetTold);
                flows.remove(&client);
            }
        }
    }
    assert!(flows.len() > 20);
}

/// Xorshift (Marsaglia, 2003).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
