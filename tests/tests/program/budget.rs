//! What the verifier makes of the programs: the object loads, with room to spare.

use aya::EbpfLoader;
use aya::programs::{RawTracePoint, Xdp};
use elb_common::names;
use elb_tests::environment::bpf_dir;

/// Instructions that the verifier may process; its own limit is a million. Older kernels walk more: 6.1
/// half as much again as 6.18.
const BUDGET: u32 = 250_000;

fn processed(file: &str, name: &str) -> u32 {
    let mut ebpf = EbpfLoader::new()
        .map_max_entries(names::RINGS, 1024)
        .map_max_entries(names::RINGS_SEEN, 1024)
        .load_file(bpf_dir().unwrap().join(file))
        .unwrap();
    let program = ebpf.program_mut(name).unwrap();
    if [names::SWEEP_PROGRAM, names::CUT_PROGRAM].contains(&name) {
        <&mut RawTracePoint>::try_from(&mut *program).unwrap().load().unwrap();
    } else {
        <&mut Xdp>::try_from(&mut *program).unwrap().load().unwrap();
    }
    let info = program.info().unwrap();
    println!(
        "{file}: verifier processed {:?} instructions, program is {:?} bytes",
        info.verified_instruction_count(),
        info.size_translated()
    );
    info.verified_instruction_count().expect("kernels since 5.16 report it")
}

#[test]
fn forwarding_program() {
    assert!(processed("elb-xdp", names::PROGRAM) < BUDGET);
}

#[test]
fn forwarding_program_that_reports_packets() {
    assert!(processed("elb-xdp", names::TRACED_PROGRAM) < BUDGET);
}

#[test]
fn forwarding_program_that_writes_the_flow_log() {
    assert!(processed("elb-xdp", names::LOGGED_PROGRAM) < BUDGET);
}

#[test]
fn program_that_forwards_probes() {
    assert!(processed("elb-xdp", names::PROBE_PROGRAM) < BUDGET);
}

#[test]
fn unwrapping_program() {
    assert!(processed("elb-decap", names::DECAP_PROGRAM) < BUDGET);
}

#[test]
fn program_that_cuts() {
    assert!(processed("elb-xdp", names::CUT_PROGRAM) < BUDGET);
}

#[test]
fn program_that_sweeps() {
    assert!(processed("elb-xdp", names::SWEEP_PROGRAM) < BUDGET);
}
