//! Members whose packets are translated, what their endpoints stand for, and the ways back to clients.

use std::net::IpAddr;

use elb_common::addr::{Be16, Be128, Mac};
use elb_common::client_hop::{ClientHop, hop_kind};
use elb_common::flow::{FlowKeyV4, FlowKeyV6, Ports};
use elb_common::listener::{ListenerKeyV4, ListenerKeyV6};
use elb_common::path::Memory;
use elb_common::reply::{Reply, reply_flags};

use super::*;

/// What a member's endpoint stands for.
#[derive(Clone, Debug)]
pub struct ReplySpec {
    pub vip: IpAddr,
    pub port: u16,
    pub listener: u16,
    pub backend: u16,
    pub interface: u32,
    /// The Ethernet address that its packets come from, where that counts.
    pub mac: Option<[u8; 6]>,
    /// Whether its connections are over.
    pub is_over: bool,
}

/// Where answers to clients go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By this interface, in packets that are as large as the second number at most.
    Out(u32, u16),
    /// The kernel finds it.
    Kernel,
    /// To this host.
    Local,
    None,
}

/// Ways back to clients, by what is special about them.
pub mod client {
    /// Behind the default.
    pub const FAR: [&str; 2] = ["198.51.100.7", "2001:db8:c::7"];
    /// On the interface that its packets come by.
    pub const NEAR: [&str; 2] = ["10.9.0.7", "fd09::7"];
    /// Packets to it must be smaller than others.
    pub const NARROW: [&str; 2] = ["10.9.0.8", "fd09::8"];
    /// Its Ethernet address is not known.
    pub const UNRESOLVED: [&str; 2] = ["10.9.0.9", "fd09::9"];
    /// Not routed.
    pub const LOST: [&str; 2] = ["203.0.113.9", "2001:db8:bad::9"];
    /// This host's own.
    pub const HERE: [&str; 2] = ["10.0.0.1", "fd00::1"];
}

/// Ethernet address of the next hop to clients.
pub const ROUTER_MAC: [u8; 6] = [2, 0, 0, 0, 3, 0x01];
/// Port that a probe of a virtual address comes from.
pub const PROBE: u16 = 33_000;

impl World {
    /// A listener whose member gets packets translated.
    pub(super) fn translate(&mut self, vip: IpAddr, protocol: u8) {
        let backend = if vip.is_ipv4() { id::NAT } else { id::NAT_V6 };
        let BackendSpec { address, mac, .. } = self.backends[&backend];
        let listener = self.listeners.len() as u16;
        self.listen(vip, port::NAT, protocol, &[(backend, 0); 5]);
        let reply = ReplySpec {
            vip,
            port: port::NAT,
            listener,
            backend,
            interface: INGRESS,
            mac: Some(mac),
            is_over: false,
        };
        let ended = ReplySpec { is_over: true, ..reply.clone() };
        self.replies.insert((address, port::MEMBER_ENDED, protocol), ended);
        let elsewhere = ReplySpec { interface: OTHER, ..reply.clone() };
        self.replies.insert((address, port::MEMBER, protocol), reply);
        self.replies.insert((address, port::MEMBER_ELSEWHERE, protocol), elsewhere);
        for (clients, way) in [
            (client::NEAR, Way::Out(INGRESS, MTU)),
            (client::NARROW, Way::Out(INGRESS, 1400)),
            (client::UNRESOLVED, Way::Kernel),
            (client::LOST, Way::None),
            (client::HERE, Way::Local),
        ] {
            self.ways.extend(clients.map(|client| (client.parse().unwrap(), way)));
        }
    }

    /// What packets are translated back by.
    pub(super) fn ways_back(&self, memory: &mut Memory) {
        for ((address, port, protocol), spec) in &self.replies {
            let mut reply = Reply {
                vip: first_bytes(spec.vip),
                port: Be16::new(spec.port),
                flags: spec.flags(),
                ifindex: spec.interface,
                listener: spec.listener,
                backend: spec.backend,
                mac: Mac::new(spec.mac.unwrap_or_default()),
                ..Reply::default()
            };
            let port = Be16::new(*port);
            reply.translate_from(first_bytes(*address), port);
            match *address {
                IpAddr::V4(a) => {
                    let key = ListenerKeyV4::new(be32(a), port, *protocol);
                    memory.replies_v4.insert(key, reply);
                }
                IpAddr::V6(a) => {
                    let key = ListenerKeyV6::new(be128(a), port, *protocol);
                    memory.replies_v6.insert(key, reply);
                }
            }
        }
        memory.client_defaults = [Way::Out(OTHER, MTU).hop(); 2];
        for (client, way) in &self.ways {
            match *client {
                IpAddr::V4(a) => memory.client_routes_v4.push((32, be32(a), way.hop())),
                IpAddr::V6(a) => memory.client_routes_v6.push((128, be128(a), way.hop())),
            }
        }
        for (here, vip) in client::HERE.iter().zip([vip4(), vip6()]) {
            let ports = Ports { source: Be16::new(PROBE), destination: Be16::new(port::NAT) };
            match (here.parse().unwrap(), vip) {
                (IpAddr::V4(here), IpAddr::V4(vip)) => {
                    let key = FlowKeyV4::new(be32(here), be32(vip), ports, TCP);
                    memory.probes_v4.insert(key, id::NAT);
                }
                (IpAddr::V6(here), IpAddr::V6(vip)) => {
                    let key = FlowKeyV6::new(be128(here), be128(vip), ports, TCP);
                    memory.probes_v6.insert(key, id::NAT_V6);
                }
                _ => unreachable!("one version each"),
            }
        }
    }
}

impl ReplySpec {
    const fn flags(&self) -> u16 {
        let on_link = if self.mac.is_some() { reply_flags::ON_LINK } else { 0 };
        on_link | if self.is_over { reply_flags::ENDED } else { 0 }
    }
}

impl Way {
    fn hop(self) -> ClientHop {
        let kind = match self {
            Self::Out(..) => hop_kind::KNOWN,
            Self::Kernel => hop_kind::KERNEL,
            Self::Local => hop_kind::LOCAL,
            Self::None => hop_kind::NONE,
        };
        let (ifindex, largest) =
            if let Self::Out(index, mtu) = self { (index, mtu) } else { (0, 0) };
        let [next_hop, source] = [ROUTER_MAC, OUR_MAC].map(Mac::new);
        ClientHop { next_hop, source, ifindex, largest, kind }
    }
}

/// An address in a record: IPv4 in the first bytes.
fn first_bytes(address: IpAddr) -> Be128 {
    match address {
        IpAddr::V4(a) => Be128::from_raw([be32(a).raw(), 0, 0, 0]),
        IpAddr::V6(a) => be128(a),
    }
}

/// The mask of the segment that members are on whose packets are translated: the last byte differs.
pub(super) fn segment(member: IpAddr) -> [u32; 2] {
    let mask = if member.is_ipv4() { [0xffff_ff00u32, 0] } else { [u32::MAX; 2] };
    mask.map(u32::to_be)
}
