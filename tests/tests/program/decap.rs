//! The backend server's program: what the load balancer wrapped comes out as it went in.

use aya::Ebpf;
use aya::maps::{HashMap, PerCpuArray};
use aya::programs::{TestRun as _, TestRunOptions, Xdp};
use elb_common::counter::Counter;
use elb_common::names;
use elb_common::path::unwrap::Unwrapped;
use elb_tests::environment::bpf_dir;
use elb_tests::record::Record;

use crate::frame::*;
use crate::kernel::{Kernel, PASS, now};
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
        Self(ebpf)
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
    for port in [port::IN_V4, port::IN_V6, port::REDIRECT] {
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
                assert_eq!(bytes[12..], frame[12..]);
                assert_eq!(bytes[..12], wrapped[..12]);
            }
        }
    }
    assert_eq!(decap.counted(), [18, 0, 0, 0]);
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
    ] {
        assert_eq!(decap.run(&frame), (PASS, frame));
    }
    let counted = decap.counted();
    assert_eq!((counted[0], counted[3], counted.iter().sum()), (0, 0, 8));
}
