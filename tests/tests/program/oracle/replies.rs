//! What must become of members' answers that are translated back.

use std::net::IpAddr;

use elb_common::reason::Reason;

use super::headers::{DatagramId, Ip, Part, datagram, u16_at};
use super::outgoing::{End, hop, refused, replace, replace_quoted, too_big};
use super::{Expected, Oracle, Says, Step, addressed};
use crate::action::{PASS, REDIRECT, TX};
use crate::frame::{OUR_MAC, RST, SYN};
use crate::world::*;

impl Oracle {
    /// A packet for no virtual address, with ports.
    pub(super) fn answer(
        &mut self,
        frame: &[u8],
        ip: &Ip,
        ports: (u16, u16),
        says: Says,
    ) -> Step<Expected> {
        // Whether it is an endpoint's is not looked at until it is translated.
        let is_members = self.world.replies.keys().any(|(address, ..)| *address == ip.source);
        if says == Says::New || !is_members {
            let out = (ip.source, ip.destination, ports.0, ports.1, ip.protocol);
            let back = (ip.destination, ip.source, ports.1, ports.0, ip.protocol);
            let flow = if is_members { back } else { out };
            if self.world.replies.contains_key(&(flow.1, flow.3, flow.4)) {
                self.alone.insert(flow);
            }
            return Err(Reason::NotVip);
        }
        if ip.part == Part::First && is_members {
            let id: DatagramId = datagram(ip);
            self.fragments.remove(&id);
            self.answers.insert(id, (ports.0, ip.protocol));
        }
        self.reply(frame, ip, ports.0, ports.1, ip.protocol)
    }

    /// What the endpoint stands for that a packet comes from.
    fn endpoint(&self, frame: &[u8], ip: &Ip, port: u16, protocol: u8) -> Step<ReplySpec> {
        let endpoint = (ip.source, port, protocol);
        let reply = self.world.replies.get(&endpoint).ok_or(Reason::NotVip)?;
        addressed(frame)?;
        let is_members = reply.mac.is_none_or(|mac| frame[6..12] == mac);
        if reply.interface != INGRESS || !is_members {
            return Err(Reason::ReplyUnknown);
        }
        Ok(reply.clone())
    }

    pub(super) fn reply(
        &self,
        frame: &[u8],
        ip: &Ip,
        port: u16,
        client_port: u16,
        protocol: u8,
    ) -> Step<Expected> {
        let reply = self.endpoint(frame, ip, port, protocol)?;
        let probe = (client_port, reply.port, protocol) == (PROBE, port::NAT, TCP);
        // This host's own connections are no clients'.
        if self.world.ways.get(&ip.destination) == Some(&Way::Local) && !probe {
            return Err(Reason::NotVip);
        }
        let flow = (ip.destination, ip.source, client_port, port, protocol);
        if ip.part != Part::Later && self.alone.contains(&flow) {
            return Err(Reason::NotVip);
        }
        if reply.is_over {
            return over(frame, ip);
        }
        let back = self.back(frame, ip, &reply, probe, |bytes| {
            replace(bytes, ip, End::Source, reply.vip, reply.port);
        })?;
        let flags = if protocol == TCP && ip.part != Part::Later && back.reason.is_none() {
            frame[ip.payload + 13]
        } else {
            0
        };
        let says = back.listener.filter(|_| flags & (SYN | RST) != 0);
        Ok(Expected { resets: says.map(|_| flags & RST != 0), ..back })
    }

    /// An error about a client's packet to a member.
    pub(super) fn error_about_member(&self, frame: &[u8], ip: &Ip, quoted: &Ip) -> Step<Expected> {
        let (client_port, port) =
            (u16_at(frame, quoted.payload), u16_at(frame, quoted.payload + 2));
        let endpoint = (quoted.destination, port, quoted.protocol);
        let reply = self.world.replies.get(&endpoint).ok_or(Reason::NotVip)?.clone();
        if reply.is_over {
            return Err(Reason::NotVip);
        }
        addressed(frame)?;
        if reply.interface != INGRESS {
            return Err(Reason::ReplyUnknown);
        }
        let probe = (client_port, reply.port, quoted.protocol) == (PROBE, port::NAT, TCP);
        self.back(frame, ip, &reply, probe, |bytes| {
            replace_quoted(bytes, ip, End::Destination, reply.vip, reply.port);
        })
    }

    fn back(
        &self,
        frame: &[u8],
        ip: &Ip,
        reply: &ReplySpec,
        probe: bool,
        translate: impl FnOnce(&mut [u8]),
    ) -> Step<Expected> {
        let way = self.world.ways.get(&ip.destination).copied();
        let way = way.unwrap_or(Way::Out(OTHER, MTU));
        if way == Way::None {
            return Err(Reason::NoRoute);
        }
        if way == Way::Local && !probe {
            return Err(Reason::NotVip);
        }
        if ip.hop_limit <= 1 {
            return Err(Reason::TtlExpired);
        }
        let mut bytes = frame.to_vec();
        let mut action = PASS;
        if let Way::Out(interface, mtu) = way {
            if ip.end - ip.start > usize::from(mtu) {
                return too_big(frame, ip, mtu).map(|answer| Expected { is_back: true, ..answer });
            }
            bytes[0..6].copy_from_slice(&ROUTER_MAC);
            bytes[6..12].copy_from_slice(&OUR_MAC);
            action = if interface == INGRESS { TX } else { REDIRECT };
        }
        hop(&mut bytes, ip);
        translate(&mut bytes);
        let counted = (way != Way::Local).then_some(());
        Ok(Expected {
            action,
            bytes,
            reason: None,
            listener: counted.map(|()| usize::from(reply.listener)),
            backend: counted.map(|()| reply.backend),
            is_back: true,
            resets: None,
        })
    }
}

/// A member's segment on a connection that is over.
fn over(frame: &[u8], ip: &Ip) -> Step<Expected> {
    if ip.protocol != TCP || ip.part != Part::Whole {
        return Err(Reason::NotVip);
    }
    let answer = refused(frame, ip).map_err(|_| Reason::NotVip)?;
    Ok(Expected { reason: Some(Reason::ResetTold), is_back: true, ..answer })
}

/// The member whose packets are translated, of the version of an address.
pub fn member_of(address: IpAddr) -> IpAddr {
    if address.is_ipv4() { "10.0.0.25".parse().unwrap() } else { "fd00::1a".parse().unwrap() }
}
