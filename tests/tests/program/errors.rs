//! Errors: those that are sent to senders of what does not fit, and those about packets of
//! backends, which belong to a backend.

use elb_common::limits::ERRORS_PER_SECOND;
use elb_common::reason::Reason;

use crate::cases::{Case, Then, check};
use crate::frame::*;
use crate::kernel::{DROP, Kernel, TX, now};
use crate::world::*;

use Then::{Because, Redirected, To};

const C4: &str = "198.51.100.7";
const C6: &str = "2001:db8:c::7";
const ROUTER4: &str = "203.0.113.1";
const ROUTER6: &str = "2001:db8:ff::1";

/// A segment with so many bytes in the IP packet.
fn sized(client: &str, port: u16, length: usize) -> Packet {
    let v4 = !client.contains(':');
    let (vip, headers) = if v4 { (vip4(), 40) } else { (vip6(), 60) };
    tcp(client, 40_000, vip, port, ACK, &vec![7; length - headers])
}

#[test]
fn senders_of_what_does_not_fit_learn_the_size_that_does() {
    let answered = Because(Reason::TooBigAnswered);
    let big4 = |port, fits: usize| sized(C4, port, fits + 1);
    let big6 = |port, fits: usize| sized(C6, port, fits + 1);
    let datagram = |client, vip| udp(client, 9, vip, port::IN_V4, &[3; 1480]).frame();
    check(vec![
        Case("l2 v4 fits", sized(C4, port::L2, 1500).frame(), To(id::L2)),
        Case("l2 v4", big4(port::L2, 1500).frame(), answered),
        Case("l2 v6", big6(port::L2, 1500).frame(), answered),
        Case("v4 in v4 fits", sized(C4, port::IN_V4, 1480).frame(), To(id::IN_V4)),
        Case("v4 in v4", big4(port::IN_V4, 1480).frame(), answered),
        Case("v6 in v4 fits", sized(C6, port::IN_V4, 1480).frame(), To(id::IN_V4)),
        Case("v6 in v4", big6(port::IN_V4, 1480).frame(), answered),
        Case("v4 in v6", big4(port::IN_V6, 1460).frame(), answered),
        Case("v6 in v6", big6(port::IN_V6, 1460).frame(), answered),
        Case("by another interface", big4(port::REDIRECT, 1480).frame(), answered),
        Case("gue v4", big4(port::GUE_V4, 1468).frame(), answered),
        Case("gue v6", big6(port::GUE_V6, 1448).frame(), answered),
        Case("one tag", big4(port::IN_V4, 1480).tagged(&[100]), answered),
        Case("two tags v6", big6(port::IN_V6, 1480).tagged(&[100, 200]), answered),
        Case("options", big4(port::IN_V4, 1480).options(&[1; 40]).frame(), answered),
        Case("udp v4", datagram(C4, vip4()), answered),
        Case("udp v6", datagram(C6, vip6()), answered),
        Case("may be fragmented", big4(port::IN_V4, 1480).fragment(0).frame(), answered),
        Case("first fragment", big4(port::IN_V4, 1480).fragment(0x2000).frame(), answered),
        Case(
            "first fragment v6",
            big6(port::IN_V4, 1480).extensions(44, &fragment_header(6, 1, 7)).frame(),
            answered,
        ),
        Case(
            "extension headers",
            big6(port::IN_V4, 1480).extensions(60, &[6, 0, 1, 4, 0, 0, 0, 0]).frame(),
            answered,
        ),
    ]);
}

/// RFC 1122 §3.2.2, RFC 4443 §2.4(e), and sizes that the sender would not go down to.
#[test]
fn some_senders_are_not_informed() {
    let silent = Because(Reason::TooBig);
    let from = |client| sized(client, port::IN_V4, 1481).frame();
    let about = |length| {
        let answer = tcp("192.0.2.10", port::IN_V4, C4.parse().unwrap(), 9, ACK, &vec![1; length]);
        error(ROUTER4, 3, 1, 0, &answer.ip()).frame()
    };
    check(vec![
        Case("from the unspecified address", from("0.0.0.0"), silent),
        Case("from this network", from("0.1.2.3"), silent),
        Case("from a loopback address", from("127.0.0.1"), silent),
        Case("from a group", from("224.0.0.1"), silent),
        Case("from a reserved address", from("240.0.0.1"), silent),
        Case("from the broadcast address", from("255.255.255.255"), silent),
        Case("from the unspecified address v6", from("::"), silent),
        Case("from a group v6", from("ff02::1"), silent),
        Case("an error fits", about(1400), To(id::IN_V4)),
        Case("an error does not", about(1430), silent),
        Case("575 bytes v4", sized(C4, port::NARROW, 576).frame(), silent),
        Case("575 bytes fit", sized(C4, port::NARROW, 575).frame(), To(id::NARROW)),
        Case(
            "1279 bytes v4",
            sized(C4, port::NARROW_V6, 1280).frame(),
            Because(Reason::TooBigAnswered),
        ),
        Case("1279 bytes v6", sized(C6, port::NARROW_V6, 1280).frame(), silent),
        Case("1279 bytes fit", sized(C6, port::NARROW_V6, 1279).frame(), To(id::NARROW_V6)),
    ]);
}

/// Spelled out by hand, so that the oracle is not the only witness.
#[test]
fn the_answer_byte_by_byte() {
    let mut kernel = Kernel::new(&world(now()).memory());
    let frame = sized(C4, port::IN_V4, 1500).tagged(&[5]);
    let ran = kernel.run(&frame);
    assert_eq!((ran.action, ran.bytes.len()), (TX, 18 + 20 + 8 + 544));
    let (link, ip) = ran.bytes.split_at(18);
    assert_eq!(link[..12], [CLIENT_MAC, OUR_MAC].concat());
    assert_eq!(link[12..], [0x81, 0, 0, 5, 8, 0]);
    assert_eq!(ip[..10], [0x45, 0xc0, 0x02, 0x3c, 0, 0, 0x40, 0, 64, 1]);
    assert_eq!(ip[12..20], [192, 0, 2, 10, 198, 51, 100, 7]);
    assert_eq!((checksum(&[&ip[..20]]), checksum(&[&ip[20..]])), (0, 0));
    assert_eq!((&ip[20..22], &ip[24..28]), (&[3, 4][..], &[0, 0, 0x05, 0xc8][..]));
    assert_eq!(ip[28..], frame[18..18 + 544]);

    let frame = sized(C6, port::GUE_V6, 1500).frame();
    let ran = kernel.run(&frame);
    assert_eq!((ran.action, ran.bytes.len()), (TX, 14 + 1280));
    let ip = &ran.bytes[14..];
    assert_eq!(ip[..8], [0x60, 0, 0, 0, 0x04, 0xd8, 58, 64]);
    assert_eq!((&ip[8..24], &ip[24..40]), (&frame[38..54], &frame[22..38]));
    assert_eq!((&ip[40..42], &ip[44..48]), (&[2, 0][..], &[0, 0, 0x05, 0xa8][..]));
    assert_eq!(ip[48..], frame[14..14 + 1232]);
    assert_eq!(checksum(&[&ip[8..40], &[0, 0, 0x04, 0xd8, 0, 0, 0, 58], &ip[40..]]), 0);
}

/// Whatever comes, no more than so many answers a second leave each CPU.
#[test]
fn answers_have_a_rate() {
    let mut kernel = Kernel::new(&world(now()).memory());
    let frame = sized(C4, port::IN_V4, 1500).frame();
    let (mut answered, mut silent) = (0, 0);
    let from = now();
    for _ in 0..1000 {
        let ran = kernel.run(&frame);
        match ran.action {
            TX => answered += 1,
            DROP if ran.bytes == frame => silent += 1,
            other => panic!("action {other}"),
        }
    }
    let cpus = aya::util::nr_cpus().unwrap() as u32;
    let seconds = now() - from + 1;
    assert!(
        answered >= ERRORS_PER_SECOND && answered <= ERRORS_PER_SECOND * seconds * cpus,
        "{answered}"
    );
    let reasons = kernel.reasons();
    assert_eq!(reasons[Reason::TooBigAnswered as usize].packets, u64::from(answered));
    assert_eq!(reasons[Reason::TooBig as usize].packets, silent);
    kernel.forget_errors();
    assert_eq!(kernel.run(&frame).action, TX);
}

/// What a backend answers a client from a port of the virtual address.
fn answer4(port: u16) -> Packet {
    tcp("192.0.2.10", port, C4.parse().unwrap(), 40_000, ACK, &[5; 1000])
}

fn answer6(port: u16) -> Packet {
    tcp("2001:db8::10", port, C6.parse().unwrap(), 40_000, ACK, &[5; 1000])
}

#[test]
fn an_error_about_an_answer_goes_to_who_sent_it() {
    let about4 = |port| error(ROUTER4, 3, 4, 1400, &answer4(port).ip()[..28]);
    let about6 = |port| error(ROUTER6, 2, 0, 1400, &answer6(port).ip()[..600]);
    let kind4 =
        |kind, code| error(ROUTER4, kind, code, 0, &answer4(port::IN_V4).ip()[..28]).frame();
    let kind6 =
        |kind, code| error(ROUTER6, kind, code, 0, &answer6(port::IN_V4).ip()[..48]).frame();
    let other = Because(Reason::ClosedPort);
    check(vec![
        Case("l2 v4", about4(port::L2).frame(), To(id::L2)),
        Case("l2 v6", about6(port::L2).frame(), To(id::L2)),
        Case("v4 in v4", about4(port::IN_V4).frame(), To(id::IN_V4)),
        Case("v4 in v6", about4(port::IN_V6).frame(), To(id::IN_V6)),
        Case("v6 in v4", about6(port::IN_V4).frame(), To(id::IN_V4)),
        Case("v6 in v6", about6(port::IN_V6).frame(), To(id::IN_V6)),
        Case("gue v4", about4(port::GUE_V4).frame(), To(id::GUE_V4)),
        Case("gue v6", about6(port::GUE_V6).frame(), To(id::GUE_V6)),
        Case("by another interface", about4(port::REDIRECT).frame(), Redirected(id::REDIRECT)),
        Case("two tags", about4(port::IN_V4).tagged(&[5, 6]), To(id::IN_V4)),
        Case("last hop", about4(port::IN_V4).ttl(1).frame(), Because(Reason::TtlExpired)),
        Case("unreachable v4", kind4(3, 1), To(id::IN_V4)),
        Case("time exceeded v4", kind4(11, 0), To(id::IN_V4)),
        Case("parameter problem v4", kind4(12, 0), To(id::IN_V4)),
        Case("source quench", kind4(4, 0), other),
        Case("redirect", kind4(5, 1), other),
        Case("echo reply", kind4(0, 0), other),
        Case("unreachable v6", kind6(1, 4), To(id::IN_V4)),
        Case("time exceeded v6", kind6(3, 0), To(id::IN_V4)),
        Case("parameter problem v6", kind6(4, 0), To(id::IN_V4)),
        Case("private experimentation", kind6(100, 0), other),
        Case("reserved", kind6(0, 0), other),
    ]);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn an_error_quotes_what_it_is_about() {
    let to4 = |packet: Packet| error(ROUTER4, 3, 1, 0, &packet.ip()).frame();
    let to6 = |packet: Packet| error(ROUTER6, 1, 4, 0, &packet.ip()).frame();
    let cut = |mut error: Packet, length: usize| {
        error.payload.truncate(8 + length);
        error.frame()
    };
    let cut4 = |length| cut(error(ROUTER4, 3, 1, 0, &answer4(port::L2).ip()), length);
    let cut6 = |length| cut(error(ROUTER6, 1, 4, 0, &answer6(port::L2).ip()), length);
    let datagram = udp("192.0.2.10", port::IN_V4, C4.parse().unwrap(), 9, b"a");
    let gre = Packet::new("192.0.2.10", C4.parse().unwrap(), 47, vec![0; 20]);
    let mut elsewhere = error(ROUTER4, 3, 1, 0, &answer4(port::L2).ip());
    elsewhere.destination = any4();
    let mut strange = answer4(port::L2).ip();
    strange[0] = 0x44;
    let extended = answer6(port::L2).extensions(60, &[6, 0, 1, 4, 0, 0, 0, 0]);
    let fragments4 = answer4(port::L2).fragments(504, 7);
    let fragments6 = answer6(port::L2).fragments(504, 7);
    let short = Because(Reason::Truncated);
    check(vec![
        Case("udp", to4(datagram), To(id::IN_V4)),
        Case("options", to4(answer4(port::L2).options(&[1; 40])), To(id::L2)),
        Case("extension header", to6(extended), To(id::L2)),
        Case("first fragment", to4(fragments4[0].clone()), To(id::L2)),
        Case("later fragment", to4(fragments4[1].clone()), Because(Reason::Fragment)),
        Case("first fragment v6", to6(fragments6[0].clone()), To(id::L2)),
        Case("later fragment v6", to6(fragments6[1].clone()), Because(Reason::Fragment)),
        Case("ports and no more", cut4(24), To(id::L2)),
        Case("half of the ports", cut4(22), short),
        Case("no ports", cut4(20), short),
        Case("half a header", cut4(10), short),
        Case("nothing", cut4(1), short),
        Case("ports and no more v6", cut6(44), To(id::L2)),
        Case("half of the ports v6", cut6(42), short),
        Case("half a header v6", cut6(39), short),
        Case("neither tcp nor udp", to4(gre), Because(Reason::OtherProtocol)),
        Case("of another address", elsewhere.frame(), Because(Reason::OtherProtocol)),
        Case("not a header", error(ROUTER4, 3, 1, 0, &strange).frame(), Because(Reason::BadHeader)),
        Case("disabled", to4(answer4(port::DISABLED)), Because(Reason::Disabled)),
        Case("no listener", to4(answer4(4444)), Because(Reason::ClosedPort)),
        Case(
            "about the host's own connection",
            to4(tcp("10.0.0.1", 22, C4.parse().unwrap(), 9, ACK, b"")),
            Because(Reason::NotVip),
        ),
        Case(
            "to a group of hosts",
            ethernet(
                [0xff; 6],
                CLIENT_MAC,
                &[],
                0x0800,
                &error(ROUTER4, 3, 1, 0, &answer4(port::L2).ip()).ip(),
            ),
            Because(Reason::GroupMac),
        ),
        Case(
            "behind options",
            error(ROUTER4, 3, 1, 0, &answer4(port::L2).ip()).options(&[1; 4]).frame(),
            Because(Reason::ClosedPort),
        ),
        Case(
            "in fragments",
            error(ROUTER4, 3, 1, 0, &answer4(port::L2).ip()).fragment(0x2000).frame(),
            Because(Reason::Fragment),
        ),
    ]);
}

/// The error finds the same backend as the packets of its flow, whichever that is.
#[test]
fn errors_follow_the_ring() {
    let now = now();
    let world = world(now);
    let mut kernel = Kernel::new(&world.memory());
    let mut oracle = crate::oracle::Oracle::new(world);
    let mut seen = std::collections::BTreeSet::new();
    for client in 1024..2024 {
        let data = udp(C6, client, vip6(), port::SPREAD, b"x").frame();
        let answer = udp("2001:db8::10", port::SPREAD, C6.parse().unwrap(), client, b"y");
        let about = error(ROUTER6, 2, 0, 1300, &answer.ip()).frame();
        let owner = oracle.expect(&data).backend;
        let expected = oracle.expect(&about);
        assert_eq!(expected.backend, owner);
        assert_eq!(kernel.run(&about).bytes, expected.bytes);
        seen.insert(owner);
    }
    assert_eq!(seen.len(), 3);
}
