//! A packet of the traffic is written into a frame.

use elb_common::path::Packet;
use elb_common::path::wire::{Ethernet, Ipv4, Ipv6};

use crate::kind::Kind;
use crate::traffic::{Echo, Segment, Traffic, frame_length};

/// Writes every byte of the frame, whatever it held; `None` where it is too short.
#[inline(always)]
pub fn write<P: Packet>(packet: &mut P, traffic: &Traffic, kind: Kind, flow: u32) -> Option<()> {
    const IP: usize = size_of::<Ethernet>();
    packet.set_len(frame_length(kind) as u32)?;
    *packet.view_mut(0)? = traffic.ethernet(kind);
    if kind.is_v6() {
        *packet.view_mut(IP)? = traffic.ipv6(kind, flow);
        carried(packet, traffic, kind, flow, IP + size_of::<Ipv6>())
    } else {
        *packet.view_mut(IP)? = traffic.ipv4(kind, flow);
        carried(packet, traffic, kind, flow, IP + size_of::<Ipv4>())
    }
}

#[inline(always)]
fn carried<P: Packet>(
    packet: &mut P,
    traffic: &Traffic,
    kind: Kind,
    flow: u32,
    at: usize,
) -> Option<()> {
    let payload = if kind.is_udp() {
        *packet.view_mut(at)? = traffic.datagram(kind, flow);
        at + size_of::<elb_common::path::wire::Udp>()
    } else if matches!(kind, Kind::Echo) {
        *packet.view_mut(at)? = traffic.echo(kind, flow);
        at + size_of::<Echo>()
    } else {
        *packet.view_mut(at)? = traffic.segment(kind, flow);
        at + size_of::<Segment>()
    };
    *packet.view_mut(payload)? = traffic.payload(kind, flow);
    Some(())
}
