//! What must become of a frame, written from the rules in the plainest way: bytes by index, no
//! code of the packet path but its hash. Slow and simple on purpose.

mod flows;
mod headers;
mod outgoing;
pub mod replies;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use elb_common::flow::{FlowKeyV4, FlowKeyV6, Ports};
use elb_common::listener::vip_flags;
use elb_common::reason::Reason;
use elb_common::{hash, ring};

use self::flows::{Asked, Flows};
use self::headers::*;
use self::outgoing::{overhead, patch, refused, too_big, wrap};
use crate::action::{DROP, PASS, REDIRECT, TX};
use crate::frame::{OUR_MAC, UPPER_MAC, ethernet};
use crate::world::*;

/// What must come out of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    pub action: u32,
    pub bytes: Vec<u8>,
    pub reason: Option<Reason>,
    pub listener: Option<usize>,
    pub backend: Option<u16>,
    /// Whether it is the answer of a member, translated back.
    pub is_back: bool,
}

/// A flow by its addresses, ports and protocol.
pub type FlowId = (IpAddr, IpAddr, u16, u16, u8);

/// Where a packet goes: index of the listener, id of the backend, hash of the flow.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    listener: usize,
    backend: u16,
    hash: u32,
}

/// The world and what the oracle remembers of flows and of first fragments.
pub struct Oracle {
    pub world: World,
    pub flows: Flows,
    pub fragments: HashMap<DatagramId, Target>,
    /// Endpoints of members, by the first fragments of their answers: port and protocol.
    pub answers: HashMap<DatagramId, (u16, u8)>,
    /// Flows whose answers are left alone: client, member, their ports, protocol.
    pub alone: HashSet<FlowId>,
}

type Step<T> = Result<T, Reason>;

/// What is meant for a listener and cannot be forwarded; all else is the kernel's.
const DROPPED: [Reason; 14] = [
    Reason::Hairpin,
    Reason::NoRoute,
    Reason::Fragment,
    Reason::Disabled,
    Reason::NoBackend,
    Reason::UnknownBackend,
    Reason::RingRange,
    Reason::NoNextHop,
    Reason::TooBig,
    Reason::NoRoom,
    Reason::NoRecord,
    Reason::NoDevice,
    Reason::TtlExpired,
    Reason::ClosedPort,
];

/// What a packet says of its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// That it begins.
    New,
    /// That it began before.
    Old,
    /// That it began before, and that its client closes it.
    Closing,
    /// A datagram says nothing.
    Nothing,
    /// It is none of the flow's, but an error about it.
    Quoted,
}

impl Oracle {
    pub fn new(world: World) -> Self {
        let (fragments, answers) = (HashMap::new(), HashMap::new());
        Self { world, flows: Flows::default(), fragments, answers, alone: HashSet::new() }
    }

    pub fn expect(&mut self, frame: &[u8]) -> Expected {
        match self.decide(frame) {
            Ok(expected) => expected,
            Err(reason) => Expected {
                action: if DROPPED.contains(&reason) { DROP } else { PASS },
                bytes: frame.to_vec(),
                reason: Some(reason),
                listener: None,
                backend: None,
                is_back: false,
            },
        }
    }

    fn decide(&mut self, frame: &[u8]) -> Step<Expected> {
        let (kind, start) = link(frame)?;
        match kind {
            0x0800 => self.packet(frame, &ipv4(frame, start)?),
            0x86dd => self.packet(frame, &ipv6(frame, start)?),
            0x0806 => self.arp(frame, start),
            _ => Err(Reason::NotIp),
        }
    }

    fn packet(&mut self, frame: &[u8], ip: &Ip) -> Step<Expected> {
        if ip.part == Part::Later {
            if let Some((port, protocol)) = self.answers.get(&datagram(ip)).copied() {
                addressed(frame)?;
                return self.reply(frame, ip, port, 0, protocol);
            }
            let first = self.fragments.get(&datagram(ip)).copied();
            let first = first.ok_or(self.without_ports(frame, ip))?;
            addressed(frame)?;
            return self.send(frame, ip, first);
        }
        if ip.protocol != TCP && ip.protocol != UDP {
            if ip.part == Part::First {
                return Err(self.without_ports(frame, ip));
            }
            return self.control(frame, ip);
        }
        let payload = &frame[ip.payload..ip.end];
        let needed = if ip.protocol == TCP { 14 } else { 8 };
        if frame.len() < ip.payload + needed {
            return Err(Reason::Truncated);
        }
        let header = &frame[ip.payload..];
        let length = if ip.protocol == TCP {
            usize::from(header[12] >> 4) * 4
        } else {
            usize::from(u16::from_be_bytes([header[4], header[5]]))
        };
        let least = if ip.protocol == TCP { 20 } else { 8 };
        let only_a_part = ip.protocol == UDP && ip.part == Part::First;
        if length < least || (length > payload.len() && !only_a_part) {
            return Err(Reason::BadHeader);
        }
        let ports = (u16_at(header, 0), u16_at(header, 2));
        // SYN, but not ACK, RST or FIN.
        let says = match ip.protocol {
            TCP if header[13] & 0x17 == 0x02 => Says::New,
            TCP if header[13] & 0x05 != 0 => Says::Closing,
            TCP => Says::Old,
            _ => Says::Nothing,
        };
        let flow: FlowId = (ip.source, ip.destination, ports.0, ports.1, ip.protocol);
        let target = match self.choose(frame, flow, says) {
            Err(Reason::ClosedPort) => return refused(frame, ip),
            Err(Reason::NotVip) => return self.answer(frame, ip, ports, says),
            chosen => chosen?,
        };
        if ip.part == Part::First {
            self.answers.remove(&datagram(ip));
            self.fragments.insert(datagram(ip), target);
        }
        self.send(frame, ip, target)
    }

    fn without_ports(&self, frame: &[u8], ip: &Ip) -> Reason {
        let Some(flags) = self.world.vips.get(&ip.destination) else { return Reason::NotVip };
        let own =
            if flags & vip_flags::OWN != 0 { Reason::OwnConnection } else { Reason::Fragment };
        addressed(frame).err().unwrap_or(own)
    }

    /// Where a packet of a flow goes.
    fn choose(&mut self, frame: &[u8], flow: FlowId, says: Says) -> Step<Target> {
        let (index, listener) = self.listener(frame, flow.1, flow.3, flow.4)?;
        if listener.disabled {
            return Err(Reason::Disabled);
        }
        if listener.ring_size == 0 {
            return Err(Reason::NoBackend);
        }
        let hash = flow_hash(&flow);
        let slot = listener.ring_base + ring::index(hash, listener.ring_size);
        let Some(&(cur, prev)) = self.world.slots.get(slot as usize) else {
            return Err(Reason::RingRange);
        };
        let asked = Asked { world: &self.world, flow, listener: index, slot: (cur, prev), says };
        let id = self.flows.owner(&asked)?;
        if id == 0 {
            return Err(Reason::NoBackend);
        }
        Ok(Target { listener: index, backend: id, hash })
    }

    /// The packet on its way to the backend, or the answer that it is too big for that.
    fn send(&self, frame: &[u8], ip: &Ip, target: Target) -> Step<Expected> {
        let Some(backend) = self.world.backends.get(&target.backend) else {
            return Err(Reason::UnknownBackend);
        };
        if matches!(backend.mode, Mode::Nat(_)) && is_neighbor(ip.source, backend.address) {
            return Err(Reason::Hairpin);
        }
        if !backend.reachable {
            return Err(Reason::NoNextHop);
        }
        if ip.hop_limit <= 1 {
            return Err(Reason::TtlExpired);
        }
        let fits = usize::from(backend.mtu) - overhead(backend);
        if ip.end - ip.start > fits {
            return too_big(frame, ip, fits as u16);
        }
        let bytes = wrap(frame, ip, backend, target.hash);
        let action = match backend.interface {
            INGRESS => TX,
            OTHER => REDIRECT,
            _ => {
                return Ok(Expected {
                    action: DROP,
                    bytes,
                    reason: Some(Reason::NoDevice),
                    listener: None,
                    backend: None,
                    is_back: false,
                });
            }
        };
        let (listener, backend) = (Some(target.listener), Some(target.backend));
        Ok(Expected { action, bytes, reason: None, listener, backend, is_back: false })
    }

    /// The listener whose range of ports is the narrowest that this port lies in.
    fn listener(
        &self,
        frame: &[u8],
        vip: IpAddr,
        port: u16,
        protocol: u8,
    ) -> Step<(usize, ListenerSpec)> {
        let find = |free_bits: u32| {
            self.world.listeners.iter().enumerate().find(|(_, l)| {
                let same_port = u32::from(l.port) >> free_bits == u32::from(port) >> free_bits;
                let same = (l.address, l.protocol) == (vip, protocol);
                l.free_bits == free_bits && same_port && same
            })
        };
        if let Some((index, listener)) = find(0) {
            addressed(frame)?;
            return Ok((index, listener.clone()));
        }
        let flags = self.world.vips.get(&vip).ok_or(Reason::NotVip)?;
        let ranges = if protocol == TCP { vip_flags::RANGES_TCP } else { vip_flags::RANGES_UDP };
        addressed(frame)?;
        let no_listener = no_listener(*flags, Reason::NoListener);
        if flags & ranges == 0 {
            return Err(no_listener);
        }
        let (index, listener) = (1..=16).find_map(find).ok_or(no_listener)?;
        Ok((index, listener.clone()))
    }

    fn control(&mut self, frame: &[u8], ip: &Ip) -> Step<Expected> {
        let v4 = ip.source.is_ipv4();
        if ip.protocol != if v4 { 1 } else { 58 } {
            return Err(self.for_the_kernel(frame, ip, Reason::OtherProtocol));
        }
        let plain = ip.payload == ip.start + if v4 { 20 } else { 40 };
        let errors: &[u8] = if v4 { &[3, 11, 12] } else { &[1, 2, 3, 4] };
        // The first four bytes show, were they in what pads the frame.
        let first = frame.get(ip.payload..ip.payload + 4);
        if plain && first.is_some_and(|first| errors.contains(&first[0])) {
            return self.error(frame, ip);
        }
        let message = &frame[ip.payload..ip.end];
        if message.len() < 8 {
            return Err(Reason::Truncated);
        }
        let request = if v4 { 8 } else { 128 };
        if message[0] == request && message[1] == 0 {
            return self.echo(frame, ip);
        }
        if v4 || !(133..=137).contains(&message[0]) {
            return Err(self.for_the_kernel(frame, ip, Reason::OtherProtocol));
        }
        self.neighbor(frame, ip)
    }

    /// What is neither forwarded nor answered is the kernel's if the address is its own, or no virtual one.
    fn for_the_kernel(&self, frame: &[u8], ip: &Ip, reason: Reason) -> Reason {
        let Some(flags) = self.world.vips.get(&ip.destination) else { return reason };
        addressed(frame).err().unwrap_or(no_listener(*flags, reason))
    }

    /// An error goes to the backend whose packet it is about: that of the flow the other way round.
    fn error(&mut self, frame: &[u8], ip: &Ip) -> Step<Expected> {
        let about = ip.payload + 8;
        let v4 = ip.source.is_ipv4();
        let header = frame.get(about..about + if v4 { 20 } else { 40 }).ok_or(Reason::Truncated)?;
        let source: IpAddr =
            if v4 { ipv4_at(header, 12).into() } else { ipv6_at(header, 8).into() };
        if source != ip.destination {
            return Err(Reason::OtherProtocol);
        }
        let answer = if v4 {
            ipv4_header(frame, about)?
        } else {
            ipv6_headers(frame, ipv6_header(frame, about)?)?
        };
        if answer.part == Part::Later {
            return Err(self.without_ports(frame, ip));
        }
        if ![TCP, UDP].contains(&answer.protocol) {
            return Err(Reason::OtherProtocol);
        }
        if answer.payload + 4 > ip.end {
            return Err(Reason::Truncated);
        }
        let (server, client) = (u16_at(frame, answer.payload), u16_at(frame, answer.payload + 2));
        let flow = (answer.destination, answer.source, client, server, answer.protocol);
        match self.choose(frame, flow, Says::Quoted) {
            Err(Reason::NotVip) => self.error_about_member(frame, ip, &answer),
            target => self.send(frame, ip, target?),
        }
    }

    fn echo(&self, frame: &[u8], ip: &Ip) -> Step<Expected> {
        let flags = self.world.vips.get(&ip.destination).ok_or(Reason::NotVip)?;
        addressed(frame)?;
        if flags & vip_flags::ECHO == 0 {
            return Err(no_listener(*flags, Reason::NoListener));
        }
        let mut bytes = frame.to_vec();
        bytes[0..6].copy_from_slice(&frame[6..12]);
        bytes[6..12].copy_from_slice(&frame[0..6]);
        let v4 = ip.source.is_ipv4();
        let (at, size) = if v4 { (ip.start + 12, 4) } else { (ip.start + 8, 16) };
        let (a, b) = (frame[at..at + size].to_vec(), frame[at + size..at + 2 * size].to_vec());
        bytes[at..at + size].copy_from_slice(&b);
        bytes[at + size..at + 2 * size].copy_from_slice(&a);
        let old_kind = u16_at(frame, ip.payload);
        bytes[ip.payload] = if v4 { 0 } else { 129 };
        let new_kind = u16_at(&bytes, ip.payload);
        patch(&mut bytes, ip.payload + 2, old_kind, new_kind);
        if v4 {
            let old = u16_at(frame, ip.start + 8);
            bytes[ip.start + 8] = 64;
            let new = u16_at(&bytes, ip.start + 8);
            patch(&mut bytes, ip.start + 10, old, new);
        } else {
            bytes[ip.start + 7] = 64;
        }
        Ok(answered(bytes, Reason::EchoAnswered))
    }

    fn neighbor(&self, frame: &[u8], ip: &Ip) -> Step<Expected> {
        let message = &frame[ip.payload..ip.end];
        let plain = ip.payload == ip.start + 40;
        if ip.hop_limit != 255 || !plain || message.len() < 24 {
            return Err(Reason::NeighborOther);
        }
        let target = ipv6_at(message, 8);
        let flags = self.world.vips.get(&IpAddr::V6(target)).copied().unwrap_or(0);
        if flags & vip_flags::ANNOUNCE == 0 || message[1] != 0 {
            return Err(Reason::NeighborOther);
        }
        if frame[0] & 1 == 0 {
            addressed(frame)?;
        }
        match message[0] {
            136 if frame[6..12] != OUR_MAC => return Err(Reason::VipConflict),
            135 => {}
            _ => return Err(Reason::NeighborOther),
        }
        let IpAddr::V6(source) = ip.source else { unreachable!("an IPv6 message") };
        let probing = source.is_unspecified();
        let (to, mac) = if probing {
            ("ff02::1".parse().unwrap(), [0x33, 0x33, 0, 0, 0, 1])
        } else {
            (source, frame[6..12].try_into().unwrap())
        };
        let mut rest = vec![if probing { 0x20 } else { 0x60 }, 0, 0, 0];
        rest.extend(target.octets());
        rest.extend([2, 1]);
        rest.extend(OUR_MAC);
        let mut advert = crate::frame::icmp(&target.to_string(), to.into(), 136, &rest).ttl(255);
        advert.tos = 0;
        let mut packet = advert.ip();
        packet[0..4].copy_from_slice(&[0x60, 0, 0, 0]);
        let mut bytes = frame[..ip.start].to_vec();
        bytes[0..6].copy_from_slice(&mac);
        bytes[6..12].copy_from_slice(&OUR_MAC);
        bytes.extend(packet);
        Ok(answered(bytes, Reason::NeighborAnswered))
    }

    fn arp(&self, frame: &[u8], start: usize) -> Step<Expected> {
        let message = frame.get(start..start + 28).ok_or(Reason::Truncated)?;
        if message[..6] != [0, 1, 8, 0, 6, 4] {
            return Err(Reason::ArpOther);
        }
        let announced = |at: usize| {
            let address = IpAddr::V4(ipv4_at(message, at));
            self.world.vips.get(&address).is_some_and(|f| f & vip_flags::ANNOUNCE != 0)
        };
        let asked = u16_at(message, 6) == 1 && announced(24);
        if frame[0] & 1 == 0 && (announced(14) || asked) {
            addressed(frame)?;
        }
        if announced(14) {
            let foreign = message[8..14] != OUR_MAC;
            return Err(if foreign { Reason::VipConflict } else { Reason::ArpOther });
        }
        if !asked {
            return Err(Reason::ArpOther);
        }
        let mut reply = message[..6].to_vec();
        reply.extend([0, 2]);
        reply.extend(OUR_MAC);
        reply.extend(&message[24..28]);
        reply.extend(&message[8..18]);
        let mut bytes = frame.to_vec();
        bytes[0..6].copy_from_slice(&frame[6..12]);
        bytes[6..12].copy_from_slice(&OUR_MAC);
        bytes[start..start + 28].copy_from_slice(&reply);
        Ok(answered(bytes, Reason::ArpAnswered))
    }
}

/// Whether two addresses are on one segment: of IPv4 in one /24, of IPv6 in one /64.
fn is_neighbor(one: IpAddr, other: IpAddr) -> bool {
    match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => one.octets()[..3] == other.octets()[..3],
        (IpAddr::V6(one), IpAddr::V6(other)) => one.octets()[..8] == other.octets()[..8],
        _ => false,
    }
}

/// What is for another Ethernet address is for another host.
fn addressed(frame: &[u8]) -> Step<()> {
    match frame[..6] {
        [group, ..] if group & 1 != 0 => Err(Reason::GroupMac),
        ref mac if mac == OUR_MAC || mac == UPPER_MAC => Ok(()),
        _ => Err(Reason::ForeignMac),
    }
}

/// Nothing takes a packet for a virtual address with these flags.
fn no_listener(flags: u32, kernels: Reason) -> Reason {
    if flags & vip_flags::OWN != 0 { kernels } else { Reason::ClosedPort }
}

fn answered(bytes: Vec<u8>, reason: Reason) -> Expected {
    let (listener, backend) = (None, None);
    Expected { action: TX, bytes, reason: Some(reason), listener, backend, is_back: false }
}

fn flow_hash(flow: &FlowId) -> u32 {
    let port = elb_common::addr::Be16::new;
    let ports = Ports { source: port(flow.2), destination: port(flow.3) };
    match (flow.0, flow.1) {
        (IpAddr::V4(s), IpAddr::V4(d)) => {
            hash::flow_v4(&FlowKeyV4::new(be32(s), be32(d), ports, flow.4))
        }
        (IpAddr::V6(s), IpAddr::V6(d)) => {
            hash::flow_v6(&FlowKeyV6::new(be128(s), be128(d), ports, flow.4))
        }
        _ => unreachable!("one packet, one version"),
    }
}

/// An untagged frame with an IPv4 payload of no protocol we know: passes.
pub fn boring() -> Vec<u8> {
    ethernet(OUR_MAC, [2, 9, 9, 9, 9, 9], &[], 0x88cc, &[0; 46])
}
