//! One write to the maps, and where writes go.

use std::collections::BTreeSet;
use std::net::IpAddr;

use elb_common::backend::Backend;
use elb_common::client_hop::ClientHop;
use elb_common::interface::{Interface, MacKey};
use elb_common::listener::{Listener, ListenerEndpoint, ListenerPool, Vip};
use elb_common::pool::Pool;
use elb_common::quic::ServerIdKey;
use elb_common::reply::Reply;
use elb_common::snat::Snat;

use super::image::{ListenerKey, RangeEntry};
use crate::control::ring::slots::RingKind;
use crate::model::ipgroup::Cidr;

/// What a ring is to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingWrite {
    /// First slot in `RINGS`.
    pub base: u32,
    /// Present owner of each slot, 0 = none.
    pub owners: Vec<u16>,
    /// Backends that no longer serve even their established flows.
    pub gone: BTreeSet<u16>,
    /// The rules that its slots follow.
    pub kind: RingKind,
}

/// A region of `RINGS`: first slot and number of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// First slot.
    pub base: u32,
    /// Slots.
    pub size: u32,
}

/// One write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Lets frames be redirected to an interface.
    PutDevice(u32),
    /// Writes an element of `INTERFACES`.
    PutInterface(u32, Interface),
    /// Lets an interface take frames for one more Ethernet address.
    PutMac(MacKey),
    /// Zeroes the counters of a backend id that is used anew.
    ResetBackendCounter(u16),
    /// Writes an element of `BACKENDS`; all zeroes to free it.
    PutBackend(u16, Backend),
    /// Writes an element of `POOLS`.
    PutPool(u16, Pool),
    /// Writes an element of `SERVER_IDS`.
    PutServer(ServerIdKey, u16),
    /// Changes a ring in place.
    WriteRing(RingWrite),
    /// Zeroes what is counted of a listener id that is used anew.
    ResetListenerCounter(u16),
    /// Adds a network to an IP group.
    AddToGroup(u16, Cidr),
    /// Writes an element of `LISTENER_POOLS`; all zeroes to free it.
    PutListenerPool(u16, ListenerPool),
    /// Writes a way back to clients.
    PutClientRoute(Cidr, ClientHop),
    /// Writes a word of `CLIENT_ROUTE_BITS`.
    PutClientBits(u32, u64),
    /// Writes an element of `CLIENT_DEFAULTS`.
    PutClientDefault(u32, ClientHop),
    /// Writes a listener.
    PutListener(ListenerKey, Listener),
    /// Writes a listener for several ports.
    PutRange(RangeEntry, Listener),
    /// Writes a word of `VIP_BITS`.
    PutVipBits(u32, u64),
    /// Writes what a member's endpoint stands for.
    PutReply(ListenerKey, Reply),
    /// Removes it.
    RemoveReply(ListenerKey),
    /// Writes a word of `MEMBER_BITS`.
    PutMemberBits(u32, u64),
    /// Forgets whose the ports of source addresses are.
    ClearBindings,
    /// Writes the source addresses.
    PutSnat(Snat),
    /// Writes what clients know a listener by; all zeroes to free it.
    PutEndpoint(u16, ListenerEndpoint),
    /// Writes a virtual address, or a source address.
    PutVip(IpAddr, Vip),
    /// Removes a virtual address.
    RemoveVip(IpAddr),
    /// Removes a listener.
    RemoveListener(ListenerKey),
    /// Removes a listener for several ports.
    RemoveRange(RangeEntry),
    /// Removes a way back to clients.
    RemoveClientRoute(Cidr),
    /// Removes a network from an IP group.
    RemoveFromGroup(u16, Cidr),
    /// Removes an element of `SERVER_IDS`.
    RemoveServer(ServerIdKey),
    /// Empties a region that no listener names any more.
    ClearRing(Region),
    /// Removes an element of `MORE_MACS`.
    RemoveMac(MacKey),
    /// Removes an element of `INTERFACES`.
    RemoveInterface(u32),
    /// Removes an interface from `DEVMAP`.
    RemoveDevice(u32),
}

/// Where commands go: the kernel's maps, or a fake.
pub trait MapStore {
    /// Why a write failed.
    type Error;

    /// Carries out one command.
    ///
    /// # Errors
    /// The map refused the write, for example because it is full.
    fn execute(&mut self, command: &Command) -> Result<(), Self::Error>;
}
