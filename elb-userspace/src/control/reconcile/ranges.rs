//! Where listeners are found: by address and port, or among the ranges of a virtual address.

use std::net::IpAddr;

use elb_common::listener::{Listener as Record, vip_flags};

use super::{Desired, Reconciler, protocol_number};
use crate::control::plan::{Image, ListenerKey, RangeEntry};
use crate::model::{Listener, LoadBalancer, Ports, Protocol};

impl Reconciler {
    /// Numbers the addresses of a load balancer; one without a number has no listeners.
    pub(super) fn vips(&mut self, lb: &LoadBalancer, desired: &mut Desired) -> Vec<(IpAddr, u16)> {
        let mut numbered = Vec::new();
        for address in lb.vips() {
            match self.assignments.vip(address, self.room) {
                Ok(number) => numbered.push((address, number)),
                Err(full) => desired.left_out.push((format!("VIP {address}"), full)),
            }
        }
        numbered
    }
}

/// Adds a listener at a virtual address, which has this number, to the map of its kind.
pub(super) fn listen(
    (address, number): (IpAddr, u16),
    listener: &Listener,
    record: Record,
    image: &mut Image,
) {
    let (vip, protocol) = (u32::from(number), protocol_number(listener.protocol));
    if let Ports::One(port) = listener.ports() {
        image.listeners.insert(ListenerKey { address, port, protocol }, record);
    }
    for ports in listener.ports().prefixes() {
        image.ranges.insert(RangeEntry { vip, protocol, ports }, record);
    }
}

/// The flag of a virtual address with such a listener.
pub(super) fn vip_flag(listener: &Listener) -> u32 {
    match (listener.ports(), listener.protocol) {
        (Ports::One(_), _) => 0,
        (Ports::Ranges(_) | Ports::Any, Protocol::Tcp) => vip_flags::RANGES_TCP,
        (Ports::Ranges(_) | Ports::Any, Protocol::Udp) => vip_flags::RANGES_UDP,
    }
}
