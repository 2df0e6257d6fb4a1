//! IPv4 (RFC 791).

use network_types::ip::IpProto;

use super::super::ends::{Address, HOP, end};
use super::super::question::QuestionV4;
use super::super::wire::{Ipv4, Tcp};
use super::super::{Outcome, Packet, Stop, Tables, answer};
use super::{Family, Ip, Link, Transport, part};
use crate::addr::{Be16, Be32, Be128};
use crate::admission::GroupKeyV4;
use crate::backend::OUTER_TTL;
use crate::binding::Owner;
use crate::client::{ClientKey, Persistence};
use crate::client_hop::ClientHop;
use crate::exception::Exception;
use crate::flow::{CONNECTION_ID, Flow, FlowKeyV4, Ports, Stage, Visit};
use crate::fragment::{self, Fragment};
use crate::listener::{Listener, ListenerKeyV4, Vip, algorithm};
use crate::reason::Reason;
use crate::reply::Reply;
use crate::{checksum, hash, room};

/// IP version 4.
#[derive(Clone, Copy, Debug)]
pub struct V4;

/// First bytes of a header: version 4, at least five words.
const VERSION_LENGTHS: core::ops::RangeInclusive<u8> = 0x45..=0x4f;
/// Fragment offset, and that fragments follow.
const FRAGMENTED: u16 = 0x3fff;
/// Fragment offset.
const FRAGMENT_OFFSET: u16 = 0x1fff;

impl Family for V4 {
    type Addr = Be32;
    type FlowKey = FlowKeyV4;

    const TABLE: usize = room::V4;
    const HEADER: usize = size_of::<Ipv4>();
    /// Time to live, protocol, checksum.
    const HOP_WORD: usize = 2;
    const HAS_CHECKSUM: bool = true;
    const BINDS: bool = true;
    const EMBEDS: bool = false;
    const INNER_PROTOCOL: u8 = IpProto::Ipv4 as u8;
    const ICMP: u8 = IpProto::Icmp as u8;
    /// RFC 791 §3.1.
    const LEAST_MTU: u16 = 576;
    const ECHO_REQUEST: u8 = 8;
    const ECHO_REPLY: u8 = 0;

    /// Destination unreachable, time exceeded, parameter problem (RFC 792); source quench is to be
    /// ignored (RFC 6633), and a redirect is only for the host that receives it.
    #[inline(always)]
    fn is_error(kind: u8) -> bool {
        matches!(kind, 3 | 11 | 12)
    }

    #[inline(always)]
    fn parse<P: Packet>(packet: &P, offset: usize) -> Result<Ip<Be32>, Stop> {
        let ip = Self::quoted(packet, offset)?;
        if offset as u32 + ip.length > packet.length() {
            return Err(Stop::because(Reason::Truncated));
        }
        Ok(ip)
    }

    #[inline(always)]
    fn header<P: Packet>(packet: &P, offset: usize) -> Result<Ip<Be32>, Stop> {
        Self::quoted(packet, offset)
    }

    #[inline(always)]
    fn quoted<P: Packet>(packet: &P, offset: usize) -> Result<Ip<Be32>, Stop> {
        let header: &Ipv4 = packet.view(offset).ok_or_else(|| Stop::because(Reason::Truncated))?;
        let header_length = u32::from(header.version_length & 0x0f) * 4;
        let length = u32::from(header.total_length.get());
        if !VERSION_LENGTHS.contains(&header.version_length) || length < header_length {
            return Err(Stop::because(Reason::BadHeader));
        }
        let (fragment, identification) = match header.fragment.raw() & FRAGMENTED.to_be() {
            0 => (part::WHOLE, 0),
            _ => (part_of(header.fragment), u32::from(header.identification.raw())),
        };
        Ok(Ip {
            identification,
            source: header.source,
            destination: header.destination,
            protocol: header.protocol,
            tos: header.tos,
            hop_limit: header.ttl,
            fragment,
            length,
            payload: offset + header_length as usize,
            payload_length: length - header_length,
        })
    }

    /// RFC 791 §3.1.
    #[inline(always)]
    fn after_hop(word: u32) -> u32 {
        checksum::after_hop(word)
    }

    #[inline(always)]
    fn tos(word: u32) -> u8 {
        let [_, tos, ..] = word.to_ne_bytes();
        tos
    }

    #[inline(always)]
    fn turn_round<P: Packet>(packet: &mut P, offset: usize) -> Result<(), Stop> {
        let header: &mut Ipv4 =
            packet.view_mut(offset).ok_or_else(|| Stop::because(Reason::Truncated))?;
        (header.source, header.destination) = (header.destination, header.source);
        let old = u16::from_ne_bytes([header.ttl, header.protocol]);
        let new = u16::from_ne_bytes([OUTER_TTL, header.protocol]);
        header.ttl = OUTER_TTL;
        header.checksum = checksum::replace(header.checksum, old, new);
        Ok(())
    }

    #[inline(always)]
    fn neighbor<P: Packet, T: Tables>(
        _: &mut P,
        _: &T,
        _: &Link,
        _: &Ip<Be32>,
        _: u8,
    ) -> Result<Outcome, Stop> {
        Err(Stop::because(Reason::OtherProtocol))
    }

    #[inline(always)]
    fn too_big<P: Packet>(packet: &mut P, link: &Link, mtu: u16) -> Result<(), Stop> {
        answer::too_big_v4(packet, link, mtu)
    }

    /// RFC 1122 §3.2.2: not a zero, loopback, multicast, broadcast or reserved address.
    #[inline(always)]
    fn is_one_host(address: Be32) -> bool {
        let [network, ..] = address.raw().to_ne_bytes();
        !matches!(network, 0 | 127 | 224..)
    }

    #[inline(always)]
    fn same(one: Be32, other: Be32) -> bool {
        one.raw() == other.raw()
    }

    #[inline(always)]
    fn addresses<P: Packet>(packet: &P, offset: usize) -> Result<(Be32, Be32), Stop> {
        let header: &Ipv4 = packet.view(offset).ok_or_else(|| Stop::because(Reason::Truncated))?;
        Ok((header.source, header.destination))
    }

    #[inline(always)]
    fn first_words(address: Be32) -> [u32; 2] {
        [address.raw(), 0]
    }

    #[inline(always)]
    fn away(address: Be32) -> u32 {
        checksum::add_u32(!address.raw())
    }

    #[inline(always)]
    fn readdress<const END: usize, P: Packet>(
        packet: &mut P,
        offset: usize,
        address: &Address<'_>,
    ) -> Result<(), Stop> {
        let header: &mut Ipv4 =
            packet.view_mut(offset).ok_or_else(|| Stop::because(Reason::Truncated))?;
        header.checksum = checksum::change(header.checksum, address.by + HOP);
        header.ttl = header.ttl.wrapping_sub(1);
        let place = if END == end::SOURCE { &mut header.source } else { &mut header.destination };
        *place = first(address.new);
        Ok(())
    }

    #[inline(always)]
    fn readdress_quoted<const END: usize, P: Packet>(
        packet: &mut P,
        offset: usize,
        address: &Address<'_>,
    ) -> Result<(), Stop> {
        let header: &mut Ipv4 =
            packet.view_mut(offset).ok_or_else(|| Stop::because(Reason::Truncated))?;
        header.checksum = checksum::change(header.checksum, address.by);
        let place = if END == end::SOURCE { &mut header.source } else { &mut header.destination };
        *place = first(address.new);
        Ok(())
    }

    #[inline(always)]
    fn may_be_member<T: Tables>(tables: &T, address: Be32) -> bool {
        tables.may_be_member_v4(address)
    }

    #[inline(always)]
    fn reply<T: Tables>(tables: &T, address: Be32, port: Be16, protocol: u8) -> Option<&Reply> {
        tables.reply_v4(&ListenerKeyV4::new(address, port, protocol))
    }

    #[inline(always)]
    fn listener_of_client<T: Tables>(_: &T, _: Be32) -> Option<u16> {
        None
    }

    #[inline(always)]
    fn owner(client: Be32, port: Be16, listener: u16) -> Owner {
        Owner::new(client, port, listener)
    }

    #[inline(always)]
    fn source_number<T: Tables>(tables: &T, address: Be32, port: Be16) -> Option<u32> {
        tables.snat().filter(|snat| snat.holds(address)).map(|snat| snat.number(address, port))
    }

    #[inline(always)]
    fn member_key(client: Be32, member: Be32, ports: Ports, protocol: u8) -> FlowKeyV4 {
        FlowKeyV4::new(client, member, ports, protocol)
    }

    #[inline(always)]
    fn from_record(address: &Be128) -> Be32 {
        first(address)
    }

    #[inline(always)]
    fn to_record(address: Be32) -> Be128 {
        Be128::from_raw([address.raw(), 0, 0, 0])
    }

    #[inline(always)]
    fn exception<T: Tables>(tables: &T, key: &FlowKeyV4) -> Option<Exception> {
        tables.exception_v4(key)
    }

    #[inline(always)]
    fn except<T: Tables>(tables: &T, key: &FlowKeyV4, exception: Exception) {
        tables.except_v4(key, exception);
    }

    #[inline(always)]
    fn client_hop<T: Tables>(tables: &T, client: Be32) -> Option<&ClientHop> {
        tables.client_hop_v4(client)
    }

    #[inline(always)]
    fn may_be_vip<T: Tables>(tables: &T, address: Be32) -> bool {
        tables.may_be_vip_v4(address)
    }

    #[inline(always)]
    fn vip<T: Tables>(tables: &T, address: Be32) -> Option<Vip> {
        tables.vip_v4(address)
    }

    #[inline(always)]
    fn listener<T: Tables>(
        tables: &T,
        address: Be32,
        port: Be16,
        protocol: u8,
    ) -> Option<&Listener> {
        tables.listener_v4(&ListenerKeyV4::new(address, port, protocol))
    }

    #[inline(always)]
    fn flow_key(ip: &Ip<Be32>, transport: &Transport) -> FlowKeyV4 {
        FlowKeyV4::new(ip.source, ip.destination, transport.ports, ip.protocol)
    }

    #[inline(always)]
    fn client_key(flow: &FlowKeyV4, pool: u16, persistence: Persistence) -> ClientKey {
        ClientKey::v4(flow.source(), pool, persistence)
    }

    #[inline(always)]
    fn probe_key(ip: &Ip<Be32>, ports: Ports) -> FlowKeyV4 {
        FlowKeyV4::new(ip.source, ip.destination, ports, ip.protocol)
    }

    #[inline(always)]
    fn asked_key(client: Be32, vip: &Be128, ports: Ports, protocol: u8) -> FlowKeyV4 {
        FlowKeyV4::new(client, first(vip), ports, protocol)
    }

    #[inline(always)]
    fn probed<T: Tables>(tables: &T, key: &FlowKeyV4) -> Option<u16> {
        tables.probed_v4(key)
    }

    #[inline(always)]
    fn is_connected<T: Tables>(tables: &T, key: &FlowKeyV4) -> bool {
        tables.is_connected_v4(key)
    }

    #[inline(always)]
    fn reset<P: Packet>(packet: &mut P, link: &Link, segment: &Tcp, next: u32) -> Option<()> {
        answer::reset_v4(packet, link, segment, next)
    }

    #[inline(always)]
    fn unreachable<P: Packet>(packet: &mut P, link: &Link) -> Option<()> {
        answer::unreachable_v4(packet, link)
    }

    #[inline(always)]
    fn connection_key(digest: u64, listener: u16) -> FlowKeyV4 {
        FlowKeyV4::connection(digest, listener)
    }

    #[inline(always)]
    fn digest_in(key: &FlowKeyV4) -> Option<u64> {
        (key.protocol() == CONNECTION_ID).then_some(key.words()[0])
    }

    #[inline(always)]
    fn is_tcp(key: &FlowKeyV4) -> bool {
        key.protocol() == IpProto::Tcp as u8
    }

    #[inline(always)]
    fn hash(key: &FlowKeyV4, algorithm: u16) -> u32 {
        let part = if algorithm::is_of_all(algorithm) { *key } else { key.part(algorithm) };
        hash::flow_v4(&part)
    }

    #[inline(always)]
    fn in_group<T: Tables>(tables: &T, group: u16, address: Be32) -> bool {
        tables.group_v4(&GroupKeyV4::new(group, address))
    }

    #[inline(always)]
    fn find<T: Tables>(tables: &T, stage: Stage, key: &FlowKeyV4, visit: &Visit) -> Option<Flow> {
        tables.find_v4(stage, key, visit)
    }

    #[inline(always)]
    fn choose<P: Packet, T: Tables>(
        packet: &P,
        tables: &T,
        ask: impl FnOnce(&mut QuestionV4),
    ) -> Result<u16, Stop> {
        tables.choose_v4(packet, ask)
    }

    #[inline(always)]
    fn record<T: Tables>(tables: &T, stage: Stage, key: &FlowKeyV4, flow: Flow) {
        tables.record_v4(stage, key, flow);
    }

    #[inline(always)]
    fn forget<T: Tables>(tables: &T, stage: Stage, key: &FlowKeyV4) -> bool {
        tables.forget_v4(stage, key)
    }

    #[inline(always)]
    fn fragment<T: Tables>(tables: &T, ip: &Ip<Be32>) -> Option<Fragment> {
        tables.fragment_v4(&key(ip))
    }

    #[inline(always)]
    fn record_fragment<T: Tables>(tables: &T, ip: &Ip<Be32>, fragment: Fragment) {
        tables.record_fragment_v4(&key(ip), fragment);
    }
}

#[inline(always)]
fn key(ip: &Ip<Be32>) -> FlowKeyV4 {
    fragment::key_v4(ip.source, ip.destination, ip.protocol, ip.identification)
}

/// The IPv4 address in a record's first four bytes.
#[inline(always)]
const fn first(address: &Be128) -> Be32 {
    let [first, ..] = address.raw();
    Be32::from_raw(first)
}

/// Which part of a datagram in fragments one is.
#[inline(always)]
fn part_of(fragment: Be16) -> u32 {
    if fragment.raw() & FRAGMENT_OFFSET.to_be() != 0 { part::LATER } else { part::FIRST }
}
