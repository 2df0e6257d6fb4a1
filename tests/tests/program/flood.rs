//! A flood cannot empty the flow table: what a listener may record leaves room for the others.

use std::net::SocketAddrV4;
use std::time::Duration;

use elb_common::addr::Be16;
use elb_common::flow::{FlowKeyV4, Ports};
use elb_common::listener::ListenerKeyV4;
use elb_tests::flood::{Flood, Flooded};

use crate::frame::*;
use crate::kernel::{Kernel, now};
use crate::world::*;

const C4: &str = "198.51.100.7";
/// Records of the flow table.
const FLOWS: u32 = 1 << 17;
/// Connections that are recorded before the flood, and idle while it lasts.
const CONNECTIONS: u16 = 10_000;
/// The listener that is flooded. Its slots move: every flow is recorded, if it may be.
const FLOODED: u16 = port::MOVING_RELEASED;

/// Floods a listener with this budget a second on each CPU, then tells how many of the connections
/// to another listener are recorded no more, and how many flows are recorded.
fn flood(budget: u32, each: u32, duration: Duration) -> (usize, usize, Flooded) {
    let mut memory = world(now()).memory();
    let std::net::IpAddr::V4(vip) = vip4() else { panic!("an IPv4 address") };
    let key = ListenerKeyV4::new(be32(vip), Be16::new(FLOODED), TCP);
    let mut kernel = Kernel::with_flows(&memory, FLOWS);
    for client in 1..=CONNECTIONS {
        kernel.run(&tcp(C4, client, vip4(), port::MOVING, SYN, b"").frame());
    }
    assert_eq!(lost(&kernel), 0, "before the flood");
    let target = SocketAddrV4::new(vip, FLOODED);
    let flooded = Flood::at(&kernel.program()).unwrap().run(target, each, duration).unwrap();
    let recorded = kernel.flows().len();
    (lost(&kernel), recorded, flooded)
}

/// How many of the connections are not recorded.
fn lost(kernel: &Kernel) -> usize {
    let std::net::IpAddr::V4(vip) = vip4() else { panic!("an IPv4 address") };
    let client = be32(C4.parse().unwrap());
    let key = |port: u16| {
        let ports = Ports { source: Be16::new(port), destination: Be16::new(port::MOVING) };
        FlowKeyV4::new(client, be32(vip), ports, TCP)
    };
    (1..=CONNECTIONS).filter(|port| !kernel.is_recorded(key(*port))).count()
}

/// The worst there can be: a flood for a whole idle timeout, of which each CPU records all that the
/// budget allows, while the connections of the others are idle.
#[test]
fn a_flood_for_an_idle_timeout_flushes_no_connection() {
    const IDLE: u32 = 5;
    let cpus = aya::util::nr_cpus().unwrap() as u32;
    // As the agent computes it, see `elb_userspace::reconcile`.
    let budget = (FLOWS / 2 / IDLE).div_ceil(cpus);
    let (lost, recorded, flooded) = flood(budget, 0, Duration::from_secs(IDLE.into()));
    println!("{flooded:?}: {lost} connections lost, {recorded} flows recorded");
    assert_eq!(lost, 0);
    // It may begin and end within a second.
    let seconds = flooded.duration.as_secs() as usize + 2;
    let most = seconds * (budget * cpus) as usize + usize::from(CONNECTIONS);
    assert!(recorded <= most, "{recorded} flows are recorded, of {most}");
    let least = usize::from(CONNECTIONS) + budget as usize;
    assert!(recorded > least, "{recorded} flows are recorded: the flood is none");
}

/// What the budget is for.
#[test]
fn a_flood_without_a_budget_flushes_connections() {
    let (lost, recorded, flooded) = flood(u32::MAX, 4 * FLOWS, Duration::ZERO);
    println!("{flooded:?}: {lost} connections lost, {recorded} flows recorded");
    assert!(lost > usize::from(CONNECTIONS) / 2, "{lost} connections are lost");
}
