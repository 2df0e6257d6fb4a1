//! Broken packets: never a crash, never forwarded, always a reason.

use elb_common::reason::Reason;

use crate::cases::{Case, Then::Because, check};
use crate::frame::*;
use crate::kernel::{DROP, Kernel, PASS, now};
use crate::oracle::Oracle;
use crate::world::*;

const C4: &str = "198.51.100.7";
const C6: &str = "2001:db8:c::7";

fn broken(mut frame: Vec<u8>, changes: &[(usize, u8)]) -> Vec<u8> {
    changes.iter().for_each(|(at, value)| frame[*at] = *value);
    frame
}

#[test]
fn broken_headers() {
    let v4 = || tcp(C4, 1, vip4(), port::IN_V4, SYN, b"").frame();
    let v6 = || tcp(C6, 1, vip6(), port::IN_V4, SYN, b"").frame();
    let udp4 = || udp(C4, 1, vip4(), port::IN_V4, b"data").frame();
    let bad = Because(Reason::BadHeader);
    let short = Because(Reason::Truncated);
    check(vec![
        Case("version 5", broken(v4(), &[(14, 0x55)]), bad),
        Case("version 6 in an IPv4 frame", broken(v4(), &[(14, 0x65)]), bad),
        Case("header length 4", broken(v4(), &[(14, 0x44)]), bad),
        Case("header length 0", broken(v4(), &[(14, 0x40)]), bad),
        Case("header longer than the packet", broken(v4(), &[(14, 0x4f)]), bad),
        Case("total length 19", broken(v4(), &[(16, 0), (17, 19)]), bad),
        Case("total length 0", broken(v4(), &[(16, 0), (17, 0)]), bad),
        Case("total length beyond the frame", broken(v4(), &[(16, 0), (17, 41)]), short),
        Case("total length 65535", broken(v4(), &[(16, 255), (17, 255)]), short),
        Case("ends in the tcp header", broken(v4(), &[(17, 39)]), bad),
        Case("no transport header", broken(v4(), &[(17, 20)]), bad),
        Case("tcp offset 4", broken(v4(), &[(46, 0x40)]), bad),
        Case("tcp offset beyond the segment", broken(v4(), &[(46, 0x60)]), bad),
        Case("udp length 7", broken(udp4(), &[(38, 0), (39, 7)]), bad),
        Case("udp length beyond the datagram", broken(udp4(), &[(38, 0), (39, 13)]), bad),
        Case("udp length 0", broken(udp4(), &[(38, 0), (39, 0)]), bad),
        Case("version 4 in an IPv6 frame", broken(v6(), &[(14, 0x46)]), bad),
        Case("payload length beyond the frame", broken(v6(), &[(18, 0), (19, 21)]), short),
        Case("payload length 0", broken(v6(), &[(18, 0), (19, 0)]), bad),
        Case("payload ends in the tcp header", broken(v6(), &[(19, 19)]), bad),
        Case(
            "extension header beyond the packet",
            broken(v6(), &[(20, 60), (54, 6), (55, 200)]),
            bad,
        ),
        Case(
            "extension header beyond the frame",
            broken(v6(), &[(20, 60), (54, 60), (55, 200)]),
            short,
        ),
        Case(
            "echo request without identifier",
            {
                let mut ping = echo(C4, vip4(), b"");
                ping.payload.truncate(7);
                ping.frame()
            },
            short,
        ),
    ]);
}

/// A good frame cut at every length: whatever remains is passed with a reason, or, as soon as the
/// packet is whole again, forwarded. The oracle knows which.
#[test]
fn every_truncation() {
    let frames = [
        tcp(C4, 1, vip4(), port::IN_V4, SYN, b"abc").options(&[1; 8]).tagged(&[1, 2]),
        tcp(C6, 1, vip6(), port::IN_V6, SYN, b"abc")
            .extensions(60, &[6, 0, 1, 4, 0, 0, 0, 0])
            .frame(),
        udp(C4, 1, vip4(), port::L2, b"abc").frame(),
        echo(C6, vip6(), b"abc").frame(),
        arp(1, CLIENT_MAC, "198.51.100.7".parse().unwrap(), "192.0.2.10".parse().unwrap()),
        solicitation(C6, "2001:db8::10".parse().unwrap(), true).frame(),
    ];
    let world = world(now());
    let mut kernel = Kernel::new(&world.memory());
    let mut oracle = Oracle::new(world);
    for frame in frames {
        for length in 14..frame.len() {
            let cut = &frame[..length];
            let (expected, ran) = (oracle.expect(cut), kernel.run(cut));
            assert_eq!((ran.action, &ran.bytes), (expected.action, &expected.bytes), "{length}");
            assert!([PASS, DROP].contains(&ran.action), "a cut frame of {length} bytes went out");
        }
    }
}
