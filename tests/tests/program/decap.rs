//! The backend server's program: what the load balancer wrapped comes out as it went in.

use aya::Ebpf;
use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, HashMap, PerCpuArray};
use aya::programs::{TestRun as _, TestRunOptions, Xdp};
use elb_common::counter::Counter;
use elb_common::names;
use elb_common::path::unwrap::Unwrapped;
use elb_common::tunnel_source::{SET_BITS, SourceKey};
use elb_tests::environment::bpf_dir;
use elb_tests::record::Record;

use crate::frame::*;
use crate::kernel::{DROP, Kernel, PASS, now};
use crate::world::*;

struct Decap(Ebpf);

impl Decap {
    fn new(vips: &[std::net::IpAddr]) -> Self {
        let mut ebpf = Ebpf::load_file(bpf_dir().unwrap().join("elb-decap")).unwrap();
        let program: &mut Xdp = ebpf.program_mut(names::DECAP_PROGRAM).unwrap().try_into().unwrap();
        program.load().expect("load the program; this test needs root");
        let map = ebpf.map_mut(names::DECAP_VIPS).unwrap();
        let mut map: HashMap<_, Record<[u8; 16]>, u32> = map.try_into().unwrap();
        for vip in vips {
            let address = match vip {
                std::net::IpAddr::V4(v4) => v4.to_ipv6_mapped(),
                std::net::IpAddr::V6(v6) => *v6,
            };
            map.insert(Record(address.octets()), 1, 0).unwrap();
        }
        let mut decap = Self(ebpf);
        decap.trust(1, &[("::", 0)]);
        decap.count_set(1);
        decap
    }

    /// Adds networks to a set.
    fn trust(&mut self, set: u32, sources: &[(&str, u32)]) {
        let map = self.0.map_mut(names::DECAP_SOURCES).unwrap();
        let mut map: LpmTrie<_, Record<SourceKey>, u32> = map.try_into().unwrap();
        for (address, bits) in sources {
            let (address, bits) = match address.parse().unwrap() {
                std::net::IpAddr::V4(v4) => (v4.to_ipv6_mapped(), 96 + bits),
                std::net::IpAddr::V6(v6) => (v6, *bits),
            };
            let key = Record(SourceKey::new(set, bytemuck::cast(address.octets())));
            map.insert(&Key::new(SET_BITS + bits, key), 1, 0).unwrap();
        }
    }

    /// Makes a set the one that counts.
    fn count_set(&mut self, set: u32) {
        let map = self.0.map_mut(names::DECAP_SET).unwrap();
        Array::<_, u32>::try_from(map).unwrap().set(0, set, 0).unwrap();
    }

    fn run(&self, frame: &[u8]) -> (u32, Vec<u8>) {
        let program: &Xdp = self.0.program(names::DECAP_PROGRAM).unwrap().try_into().unwrap();
        let mut out = vec![0; 4096];
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut out),
            ..TestRunOptions::default()
        };
        let result = program.test_run(options).unwrap();
        out.truncate(result.data_size_out as usize);
        (result.return_value, out)
    }

    fn counted(&self) -> Vec<u64> {
        let map: PerCpuArray<_, Record<Counter>> =
            self.0.map(names::DECAP_COUNTERS).unwrap().try_into().unwrap();
        Unwrapped::ALL
            .iter()
            .map(|u| map.get(&(*u as u32), 0).unwrap().iter().map(|c| c.0.packets).sum())
            .collect()
    }
}

#[test]
fn what_was_wrapped_comes_out_as_it_went_in() {
    let mut kernel = Kernel::new(&world(now()).memory());
    let decap = Decap::new(&[vip4(), vip6()]);
    for port in [port::IN_V4, port::IN_V6, port::REDIRECT, port::GUE_V4, port::GUE_V6] {
        for tags in [&[][..], &[5], &[5, 6]] {
            for packet in [
                tcp("198.51.100.7", 9, vip4(), port, SYN, b"abc").options(&[1; 4]),
                udp("2001:db8:c::7", 9, vip6(), port, &[3; 300]).tos(0x2e),
            ] {
                let frame = packet.tagged(tags);
                let wrapped = kernel.run(&frame).bytes;
                assert!(wrapped.len() > frame.len());
                let (action, bytes) = decap.run(&wrapped);
                assert_eq!(action, PASS);
                assert_eq!(bytes[12..], after_a_hop(&frame)[12..]);
                assert_eq!(bytes[..12], wrapped[..12]);
            }
        }
    }
    assert_eq!(decap.counted(), [30, 0, 0, 0, 0, 0]);
}

#[test]
fn everything_else_passes_untouched() {
    let mut kernel = Kernel::new(&world(now()).memory());
    let decap = Decap::new(&[vip4()]);
    let inner = tcp("198.51.100.7", 9, vip4(), port::IN_V4, SYN, b"abc");
    let foreign = kernel.run(&tcp("2001:db8:c::7", 9, vip6(), port::IN_V4, SYN, b"").frame()).bytes;
    let wrap = |protocol, payload: Vec<u8>| {
        Packet::new("10.0.0.1", "10.0.0.12".parse().unwrap(), protocol, payload)
    };
    for frame in [
        inner.frame(),
        foreign,
        crate::oracle::boring(),
        wrap(4, vec![]).frame(),
        wrap(4, inner.ip()[..19].to_vec()).frame(),
        wrap(4, inner.ip()).fragment(0x2000).frame(),
        wrap(47, inner.ip()).frame(),
        wrap(41, inner.ip()).frame(),
        gue(6080, &[0, 4, 0, 0], b""),
        gue(6080, &[0, 4, 0], b""),
        gue(6080, &[0x40, 4, 0, 0], &inner.ip()),
        gue(6080, &[0x20, 4, 0, 0], &inner.ip()),
        gue(6080, &[0x01, 4, 0, 0, 0, 0, 0, 0], &inner.ip()),
        gue(6080, &[0, 4, 0x80, 0], &inner.ip()),
        gue(6080, &[0, 4, 0, 1], &inner.ip()),
        gue(6080, &[0, 47, 0, 0], &inner.ip()),
        gue(6081, &[0, 4, 0, 0], &inner.ip()),
    ] {
        assert_eq!(decap.run(&frame), (PASS, frame));
    }
    let counted = decap.counted();
    assert_eq!((counted[0], counted[3], counted[4], counted.iter().sum()), (0, 0, 0, 17));
}

/// A datagram with a GUE header and what is behind it.
fn gue(port: u16, header: &[u8], inside: &[u8]) -> Vec<u8> {
    let data = [header, inside].concat();
    udp("10.0.0.1", 50_000, "10.0.0.20".parse().unwrap(), port, &data).frame()
}

/// Others' GUE has a checksum, which need not be looked at.
#[test]
fn gue_with_a_checksum_is_unwrapped() {
    let decap = Decap::new(&[vip4()]);
    let inner = tcp("198.51.100.7", 9, vip4(), port::GUE_V4, SYN, b"abc");
    let (action, bytes) = decap.run(&gue(6080, &[0, 4, 0, 0], &inner.ip()));
    assert_eq!((action, &bytes[14..]), (PASS, &inner.ip()[..]));
}

/// RFC 6040 §4.2, figure 4, row by row: the mark inside, and what it becomes for each outer mark.
#[test]
fn congestion_marks_come_out() {
    const NOT: u8 = 0;
    const ECT1: u8 = 1;
    const ECT0: u8 = 2;
    const CE: u8 = 3;
    let decap = Decap::new(&[vip4(), vip6()]);
    for (inner, out) in [
        (NOT, [Some(NOT), Some(NOT), Some(NOT), None]),
        (ECT0, [Some(ECT0), Some(ECT0), Some(ECT1), Some(CE)]),
        (ECT1, [Some(ECT1), Some(ECT1), Some(ECT1), Some(CE)]),
        (CE, [Some(CE), Some(CE), Some(CE), Some(CE)]),
    ] {
        for (outer, out) in [NOT, ECT0, ECT1, CE].into_iter().zip(out) {
            for class in [0u8, 0xb8, 0xfc] {
                every_tunnel(|protocol, packet, wrap| {
                    let inside = packet.clone().tos(class | inner).ip();
                    let frame = wrap(protocol, &inside, outer);
                    let (action, bytes) = decap.run(&frame);
                    match out {
                        None => assert_eq!((action, bytes), (DROP, frame)),
                        Some(out) => {
                            let wanted = packet.clone().tos(class | out).ip();
                            assert_eq!((action, &bytes[14..]), (PASS, &wanted[..]));
                        }
                    }
                });
            }
        }
    }
    assert_eq!(decap.counted(), [15 * 3 * 8, 0, 0, 0, 3 * 8, 0]);
}

const FROM4: &str = "10.0.0.1";
const TO4: &str = "10.0.0.12";
const FROM6: &str = "fd00::1";
const TO6: &str = "fd00::12";

type Wrap = fn(u8, &[u8], u8) -> Vec<u8>;

/// Both versions inside both, alone and in datagrams.
fn every_tunnel(mut run: impl FnMut(u8, Packet, Wrap)) {
    let wraps: [Wrap; 4] = [
        |protocol, inside, mark| {
            Packet::new(FROM4, TO4.parse().unwrap(), protocol, inside.to_vec()).tos(mark).frame()
        },
        |protocol, inside, mark| {
            Packet::new(FROM6, TO6.parse().unwrap(), protocol, inside.to_vec()).tos(mark).frame()
        },
        |protocol, inside, mark| {
            let data = [&[0, protocol, 0, 0], inside].concat();
            udp(FROM4, 50_000, TO4.parse().unwrap(), 6080, &data).tos(mark).frame()
        },
        |protocol, inside, mark| {
            let data = [&[0, protocol, 0, 0], inside].concat();
            udp(FROM6, 50_000, TO6.parse().unwrap(), 6080, &data).tos(mark).frame()
        },
    ];
    for wrap in wraps {
        run(4, tcp("198.51.100.7", 9, vip4(), 80, ACK, b"abc"), wrap);
        run(41, tcp("2001:db8:c::7", 9, vip6(), 80, ACK, b"abc"), wrap);
    }
}

/// Every tunnel, from a source that is in the set and from one that is not: the first is unwrapped,
/// the second dropped as it came.
#[test]
fn only_packets_of_the_load_balancers_are_unwrapped() {
    let mut decap = Decap::new(&[vip4(), vip6()]);
    decap.trust(2, &[("10.0.0.0", 30), ("fd00::1", 128)]);
    decap.count_set(2);
    every_tunnel(|protocol, packet, wrap| {
        let (action, bytes) = decap.run(&wrap(protocol, &packet.ip(), 0));
        assert_eq!((action, &bytes[14..]), (PASS, &packet.ip()[..]));
    });
    decap.trust(3, &[("10.0.0.4", 30), ("10.0.0.0", 32), ("fd00::2", 127), ("::", 96)]);
    decap.count_set(3);
    every_tunnel(|protocol, packet, wrap| {
        let frame = wrap(protocol, &packet.ip(), 0);
        assert_eq!(decap.run(&frame), (DROP, frame));
    });
    assert_eq!(decap.counted(), [8, 0, 0, 0, 0, 8]);
}

/// One version of IP is no permission for the other.
#[test]
fn a_network_of_one_version_says_nothing_of_the_other() {
    let mut decap = Decap::new(&[vip4(), vip6()]);
    decap.trust(2, &[("0.0.0.0", 0)]);
    decap.count_set(2);
    let inner = tcp("198.51.100.7", 9, vip4(), 80, SYN, b"");
    let by_v6 = Packet::new(FROM6, TO6.parse().unwrap(), 4, inner.ip()).frame();
    let by_v4 = Packet::new(FROM4, TO4.parse().unwrap(), 4, inner.ip()).frame();
    assert_eq!(decap.run(&by_v6), (DROP, by_v6));
    assert_eq!(decap.run(&by_v4).0, PASS);
    assert_eq!(decap.counted(), [1, 0, 0, 0, 0, 1]);
}

/// Before a set counts no one is trusted, and what is in another set does not count.
#[test]
fn without_a_set_nothing_is_unwrapped() {
    let mut decap = Decap::new(&[vip4()]);
    let inner = tcp("198.51.100.7", 9, vip4(), 80, SYN, b"");
    let frame = Packet::new(FROM4, TO4.parse().unwrap(), 4, inner.ip()).frame();
    for set in [0, 2, u32::MAX] {
        decap.count_set(set);
        assert_eq!(decap.run(&frame), (DROP, frame.clone()), "{set}");
    }
    // What is not for a virtual address is the kernel's, whatever its sender.
    let other = tcp("198.51.100.7", 9, "203.0.113.9".parse().unwrap(), 80, SYN, b"");
    let other = Packet::new(FROM4, TO4.parse().unwrap(), 4, other.ip()).frame();
    assert_eq!(decap.run(&other), (PASS, other));
    assert_eq!(decap.run(&inner.frame()), (PASS, inner.frame()));
    assert_eq!(decap.counted(), [0, 1, 1, 0, 0, 3]);
}
