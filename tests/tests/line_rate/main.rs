//! Line rate: millions of packets through the program at the full speed of this machine, and every
//! one of them accounted for.
//!
//! ```text
//!   generator ── gen0 ═ lb0 ── load balancer ── lb1 ═ sink0 ── sink
//! ```
//!
//! The generator is an XDP program that makes each frame anew; what it sent follows from how many
//! it sent. The program under test hands what it forwards from lb0 to lb1. The sink is an XDP
//! program that compares every byte with what was sent, and counts by backend and flow.
//!
//! Nothing is said about speed but what was seen. A frame that a full ring of a virtual device
//! refuses is known from the device's statistics, and nowhere else is one allowed to be lost.
#![allow(unreachable_pub, reason = "a test binary has no interface")]
#![allow(clippy::cast_possible_truncation, reason = "the world of this test is small")]

mod lab;
mod world;

mod audit;
mod sent;

mod balancer;
mod generator;
mod sink;

mod dry_run;

use anyhow::{Result, ensure};
use elb_tests_ebpf::kind::Kind;
use elb_tests_ebpf::traffic::ROUND;

use self::lab::{Lab, one_at_a_time};
use self::world::{Encapsulation, World};

/// Packets of each of the two CPUs in a lab, 5.2 million together: every kind meets every flow.
const PACKETS: u32 = 5 * ROUND;

#[test]
fn every_encapsulated_packet_is_accounted_for() -> Result<()> {
    let _turn = one_at_a_time();
    let mut lab = Lab::start(World::settled(Encapsulation::Ipip))?;
    lab.send(&world::ALL_KINDS, PACKETS)?;
    lab.audit()
}

#[test]
fn every_packet_in_a_datagram_is_accounted_for() -> Result<()> {
    let _turn = one_at_a_time();
    let mut lab = Lab::start(World::settled(Encapsulation::Gue))?;
    lab.send(&world::ALL_KINDS, PACKETS)?;
    lab.audit()
}

#[test]
fn every_packet_to_a_neighbour_is_accounted_for() -> Result<()> {
    let _turn = one_at_a_time();
    let mut lab = Lab::start(World::settled(Encapsulation::L2))?;
    lab.send(&world::ALL_KINDS, PACKETS)?;
    lab.audit()
}

/// Every slot has a former owner: connections that no one saw begin stay with it, those that begin
/// now go to the present one, and so do their later segments.
#[test]
fn on_moving_slots_old_flows_stay_and_new_ones_move() -> Result<()> {
    let _turn = one_at_a_time();
    let mut lab = Lab::start(World::moving(Encapsulation::Ipip))?;
    let old = [(Kind::TcpV4, 3), (Kind::TcpV6, 3), (Kind::UdpV4, 2), (Kind::UdpV6, 2)];
    let new = [(Kind::SynV4, 1), (Kind::SynV6, 1)];
    lab.send(&[&old[..], &new[..]].concat(), 2 * ROUND)?;
    lab.audit()?;
    let later = [(Kind::FollowV4, 3), (Kind::FollowV6, 3)];
    lab.send(&[&old[..], &new[..], &later[..]].concat(), 2 * ROUND)?;
    lab.audit()
}

/// Devices that do not take every frame: the accounts hold all the same.
#[test]
fn frames_that_devices_refuse_are_accounted_for() -> Result<()> {
    let _turn = one_at_a_time();
    let mut lab = Lab::start(World::settled(Encapsulation::Ipip))?;
    // Too narrow for TCP over IPv6, and for what becomes longer than that in IPv6.
    lab.narrow("lb0", 68)?;
    lab.narrow("sink0", 90)?;
    let short = [(Kind::TcpV4, 24), (Kind::UdpV4, 24), (Kind::UdpV6, 12), (Kind::Foreign, 3)];
    lab.send(&[&short[..], &[(Kind::TcpV6, 1)]].concat(), ROUND)?;
    lab.audit()?;
    let (before, behind) = lab.lost()?;
    ensure!(before > 0 && behind > 0, "lost {before} before and {behind} behind, expected some");
    Ok(())
}
