//! What the small maps hold, as values.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use elb_common::backend::Backend;
use elb_common::interface::{Interface, MacKey};
use elb_common::listener::{Listener, ListenerEndpoint, ListenerPool, Vip, vip_flags};
use elb_common::pool::Pool;
use elb_common::quic::ServerIdKey;
use elb_common::reply::Reply;
use elb_common::snat::Snat;
use elb_common::vip_bits::VipBit;

use crate::control::network::client_hops::ClientHops;
use crate::model::ipgroup::GroupNetworks;
use crate::model::port_range::PortPrefix;

/// Where a listener for one port listens, or a member that its packets are translated to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerKey {
    /// Virtual address, or the member's.
    pub address: IpAddr,
    /// Port.
    pub port: u16,
    /// IANA protocol number.
    pub protocol: u8,
}

/// Where a listener for several ports listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RangeEntry {
    /// Number of the virtual address.
    pub vip: u32,
    /// IANA protocol number.
    pub protocol: u8,
    /// Some of its ports.
    pub ports: PortPrefix,
}

/// What the small maps hold. Rings are apart: they are large and keep a history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// `DEVMAP`.
    pub devices: BTreeSet<u32>,
    /// `INTERFACES`.
    pub interfaces: BTreeMap<u32, Interface>,
    /// `MORE_MACS`.
    pub more_macs: BTreeSet<MacKey>,
    /// `BACKENDS`; an absent id is all zeroes.
    pub backends: BTreeMap<u16, Backend>,
    /// `POOLS`; an absent id is all zeroes.
    pub pools: BTreeMap<u16, Pool>,
    /// `SERVER_IDS`.
    pub servers: BTreeMap<ServerIdKey, u16>,
    /// `LISTENER_POOLS`; an absent id is all zeroes.
    pub listener_pools: BTreeMap<u16, ListenerPool>,
    /// `LISTENERS_V4` and `LISTENERS_V6`.
    pub listeners: BTreeMap<ListenerKey, Listener>,
    /// `PORT_RANGES`.
    pub ranges: BTreeMap<RangeEntry, Listener>,
    /// `GROUPS_V4` and `GROUPS_V6`; a group without networks is absent or empty.
    pub groups: GroupNetworks,
    /// `CLIENT_DEFAULTS`, `CLIENT_ROUTES_V4`, `CLIENT_ROUTES_V6` and `CLIENT_ROUTE_BITS`: may be many, and are
    /// mostly those of the picture before.
    pub clients: Arc<ClientHops>,
    /// `REPLIES_V4` and `REPLIES_V6`: what members' endpoints stand for whose answers are translated.
    pub replies: BTreeMap<ListenerKey, Reply>,
    /// `MEMBER_BITS`; an absent word is 0.
    pub member_bits: BTreeMap<u32, u64>,
    /// `VIP_BITS`; an absent word is 0.
    pub vip_bits: BTreeMap<u32, u64>,
    /// `VIPS_V4` and `VIPS_V6`: virtual addresses, and source addresses.
    pub vips: BTreeMap<IpAddr, Vip>,
    /// `SNAT`.
    pub snat: Snat,
    /// `LISTENER_ENDPOINTS`; an absent id is all zeroes.
    pub endpoints: BTreeMap<u16, ListenerEndpoint>,
}

impl Image {
    /// Sets the bits of the addresses that are served, and of those whose answers are translated, and no others.
    pub fn mark_addresses(&mut self) {
        let vips = self.vips.iter().filter(|(_, vip)| !is_source(vip)).map(|(address, _)| address);
        let served = vips.chain(self.listeners.keys().map(|key| &key.address));
        self.vip_bits = bits(served);
        self.member_bits = bits(self.replies.keys().map(|key| &key.address));
    }

    pub(super) fn listener_ids(&self) -> BTreeSet<u16> {
        self.listeners.values().chain(self.ranges.values()).map(|listener| listener.id).collect()
    }
}

/// Whether an address is a source address: it has no bit, since packets for it are looked for apart.
pub(super) const fn is_source(vip: &Vip) -> bool {
    vip.flags & vip_flags::SOURCE != 0
}

/// The bits of these addresses, by word.
fn bits<'a>(addresses: impl Iterator<Item = &'a IpAddr>) -> BTreeMap<u32, u64> {
    let mut words = BTreeMap::new();
    for address in addresses {
        let bit = vip_bit(*address);
        *words.entry(bit.word()).or_default() |= bit.mask();
    }
    words
}

/// The bit of an address in `VIP_BITS` and `MEMBER_BITS`.
pub(super) fn vip_bit(address: IpAddr) -> VipBit {
    match address {
        IpAddr::V4(address) => VipBit::v4(bytemuck::cast(address.octets())),
        IpAddr::V6(address) => VipBit::v6(bytemuck::cast(address.octets())),
    }
}
