//! Connections that an operator cuts: what becomes of their packets, of their records, and of the counts.

use elb_common::cut::Cut;
use elb_common::flow::{Flow, FlowKeyV4, FlowKeyV6, flow_flags};
use elb_common::listener::{algorithm, listener_flags as flags};
use elb_common::path::{Frame, V4, V6, process};
use elb_common::reason::Reason;

use crate::both::{Both, listener};
use crate::cases::Then::{Because, To};
use crate::cases::hex;
use crate::frame::*;
use crate::kernel::{TX, now};
use crate::world::*;

const C4: &str = "198.51.100.7";
const C6: &str = "2001:db8:c::7";
const CUT: u16 = flow_flags::CLOSED | flow_flags::CUT;

fn tcp4(client: u16, port: u16, flags: u8) -> Vec<u8> {
    tcp(C4, client, vip4(), port, flags, b"").frame()
}

fn tcp6(client: u16, port: u16, flags: u8) -> Vec<u8> {
    tcp(C6, client, vip6(), port, flags, b"").frame()
}

impl Both {
    /// Cuts what lives in the kernel and on the host; how many there were.
    fn cut(&mut self, is_meant: impl Fn(&(Vec<u8>, Flow)) -> bool) -> usize {
        let meant: Vec<_> = self.kernel.flows().into_iter().filter(is_meant).collect();
        meant.into_iter().filter(|(key, flow)| self.cut_one(key, flow)).count()
    }

    /// Whether there was such a record in the kernel. The host's clock was read a moment later.
    fn cut_one(&mut self, key: &[u8], flow: &Flow) -> bool {
        let now = now();
        let Ok(key) = bytemuck::try_pod_read_unaligned::<FlowKeyV4>(key) else {
            let key = bytemuck::pod_read_unaligned::<FlowKeyV6>(key);
            let cut = Cut::v6(&key, flow, now);
            let is_cut = self.kernel.cut(&cut);
            let since = self.memory.written.borrow().flows_v6.live[&key].since;
            assert_eq!(is_cut && self.memory.cut::<V6>(&key, &Cut { since, ..cut }), is_cut);
            return is_cut;
        };
        let cut = Cut::v4(&key, flow, now);
        let is_cut = self.kernel.cut(&cut);
        let since = self.memory.written.borrow().flows_v4.live[&key].since;
        assert_eq!(is_cut && self.memory.cut::<V4>(&key, &Cut { since, ..cut }), is_cut);
        is_cut
    }
}

/// Opens a connection of each version.
fn connected(both: &mut Both, client: u16, port: u16) {
    for flags in [SYN, ACK] {
        for frame in [tcp4(client, port, flags), tcp6(client, port, flags)] {
            assert!(matches!(both.run("of a new connection", &frame), To(_)));
        }
    }
}

#[test]
fn a_connection_that_is_cut_is_refused_until_its_client_opens_another() {
    let at = port::MOVING;
    let mut both = Both::with(|_| {});
    connected(&mut both, 1, at);
    connected(&mut both, 2, at);
    let first = |(key, _): &(Vec<u8>, Flow)| key.ends_with(&[0, 1, 0, 91, TCP, 0, 0, 0]);
    let all = both.kernel.flows();
    let (meant, others): (Vec<_>, Vec<_>) = all.into_iter().partition(first);
    assert_eq!((meant.len(), others.len()), (2, 2));
    for (key, flow) in meant {
        // What a client opened since the records were read is not cut.
        let later = Flow { since: flow.since + 1, ..flow };
        assert!(!both.cut_one(&key, &later), "{flow:?}");
    }
    assert_eq!([both.cut(first), both.cut(first)], [2, 0], "once");
    both.check_records();
    let cut: Vec<_> = both.kernel.flows().into_iter().filter(first).map(|(_, f)| f.flags).collect();
    assert_eq!(cut, [CUT, CUT]);

    let answered = Because(Reason::CutAnswered);
    let answer = tcp("192.0.2.10", at, C4.parse().unwrap(), 1, ACK, b"");
    let about = error("203.0.113.1", 3, 4, 1400, &answer.ip()).frame();
    both.check(vec![
        ("data", tcp4(1, at, ACK), answered),
        ("data again", tcp4(1, at, ACK), answered),
        ("data v6", tcp6(1, at, ACK), answered),
        ("the client's end", tcp4(1, at, FIN | ACK), answered),
        ("an error about it", about, Because(Reason::Cut)),
        ("a reset, which its backend learns by", tcp4(1, at, RST), To(id::IN_V4)),
        ("data after that", tcp4(1, at, ACK), answered),
        ("of another", tcp4(2, at, ACK), To(id::IN_V4)),
        ("of another v6", tcp6(2, at, ACK), To(id::IN_V4)),
        ("the client opens another", tcp4(1, at, SYN), To(id::IN_V4)),
        ("and is served", tcp4(1, at, ACK), To(id::IN_V4)),
        ("v6 does not", tcp6(1, at, ACK), answered),
    ]);
    both.check_records();
}

#[test]
fn the_reset_is_the_same_in_the_kernel_and_on_the_host() {
    let at = port::EXCEPTIONS;
    let mut both = Both::with(|memory| {
        for vip in [vip4(), vip6()] {
            listener(memory, vip, at, TCP).flags = flags::TRACKED;
        }
    });
    connected(&mut both, 1, at);
    assert_eq!(both.cut(|_| true), 2);
    for frame in [
        tcp(C4, 1, vip4(), at, ACK, b"more").options(&[1; 8]).tagged(&[5]),
        tcp(C6, 1, vip6(), at, ACK | FIN, b"").frame(),
    ] {
        let ran = both.kernel.run(&frame);
        let mut buffer = [0u16; 2048];
        let mut host = Frame::new(&mut buffer, &frame, INGRESS).unwrap();
        let outcome = process(&mut host, &both.memory);
        assert_eq!(outcome.reason(), Some(Reason::CutAnswered));
        assert_eq!((ran.action, hex(&ran.bytes)), (TX, hex(host.bytes())));
    }
}

/// What is cut counts no more, so that limits and shares see it at once; its record stays until its client
/// was silent for the idle timeout.
#[test]
fn what_is_cut_is_counted_no_more_and_stays_recorded() {
    let at = port::SPREAD;
    let mut both = Both::with(|memory| {
        for vip in [vip4(), vip6()] {
            let listener = listener(memory, vip, at, TCP);
            listener.algorithm = algorithm::LEAST_CONNECTIONS;
            (listener.flags, listener.max_connections) = (flags::TRACKED | flags::LIMITED, 2);
        }
    });
    connected(&mut both, 1, at);
    connected(&mut both, 2, at);
    let listener = world(now()).tcp4_id(at);
    assert_eq!(both.kernel.listener_state(listener).connections, 2);
    assert_eq!(both.run("one too many", &tcp4(3, at, SYN)), Because(Reason::ConnectionLimit));
    assert_eq!(both.cut(|(_, flow)| flow.listener == listener), 2);
    both.check_records();
    let state = both.kernel.listener_state(listener);
    assert_eq!((state.connections, state.records[0]), (0, 2));
    assert!(matches!(both.run("another", &tcp4(3, at, SYN)), To(_)));
    both.kernel.sweep(now() + 60, 10);
    let cut = both.kernel.flows().iter().filter(|(_, flow)| flow.is_cut()).count();
    assert_eq!(cut, 2, "their clients were silent for a minute");
    both.kernel.sweep(now() + 10_000, 10);
    assert_eq!(both.kernel.flows().len(), 0);
}

/// The slot of a connection that was cut does not settle, not even if its owner is the connection's: on a settled
/// slot the next packet would be forwarded.
#[test]
fn the_slot_of_what_was_cut_needs_the_record() {
    let at = port::EXCEPTIONS;
    let mut both = Both::with(|memory| {
        for vip in [vip4(), vip6()] {
            listener(memory, vip, at, TCP).flags = flags::TRACKED;
        }
    });
    connected(&mut both, 1, at);
    both.memory.now = now();
    both.memory.sweep(10);
    assert!(both.memory.written.borrow().seen.is_empty(), "its owner serves it");
    let backend = both.kernel.flows()[0].1.backend;
    assert_eq!(both.memory.written.borrow().backend_census[&backend].flows, 2);
    assert_eq!(both.cut(|_| true), 2);
    both.memory.sweep(10);
    both.kernel.sweep(now(), 10);
    let written = both.memory.written.borrow();
    assert!(!written.seen.is_empty());
    for index in written.seen.keys() {
        assert!(both.kernel.slot_seen(*index) > 0, "slot {index}");
    }
    assert_eq!(written.backend_census[&backend].flows, 0, "nothing keeps a drained member");
}

/// Older connections whose first packet just came are cut as well.
#[test]
fn a_stray_is_cut() {
    let at = port::MOVING;
    let mut both = Both::with(|_| {});
    assert_eq!(both.run("an older connection", &tcp4(1, at, ACK)), To(id::FORMER));
    assert_eq!(both.cut(|(_, flow)| flow.is_stray()), 1);
    both.check_records();
    assert_eq!(both.run("its next packet", &tcp4(1, at, ACK)), Because(Reason::CutAnswered));
    both.check_records();
}
