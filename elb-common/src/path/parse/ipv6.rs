//! IPv6 (RFC 8200) and its extension headers.

use network_types::ip::IpProto;

use super::super::ends::{Address, end};
use super::super::question::QuestionV6;
use super::super::wire::{Ipv6, Tcp};
use super::super::{Outcome, Packet, Stop, Tables, answer, reply};
use super::{Family, Ip, Link, Transport, extension, is_transport, part};
use crate::addr::{Be16, Be128};
use crate::admission::GroupKeyV6;
use crate::backend::OUTER_TTL;
use crate::binding::Owner;
use crate::client::{ClientKey, Persistence};
use crate::client_hop::ClientHop;
use crate::exception::Exception;
use crate::flow::{CONNECTION_ID, Flow, FlowKeyV6, Ports, Stage, Visit};
use crate::fragment::{self, Fragment};
use crate::listener::{Listener, ListenerKeyV6, Vip, algorithm};
use crate::reason::Reason;
use crate::reply::Reply;
use crate::{checksum, hash, room};

/// IP version 6.
#[derive(Clone, Copy, Debug)]
pub struct V6;

impl Family for V6 {
    type Addr = Be128;
    type FlowKey = FlowKeyV6;

    const TABLE: usize = room::V6;
    const HEADER: usize = size_of::<Ipv6>();
    /// Payload length, next header, hop limit.
    const HOP_WORD: usize = 1;
    const HAS_CHECKSUM: bool = false;
    const BINDS: bool = false;
    const EMBEDS: bool = true;
    const INNER_PROTOCOL: u8 = IpProto::Ipv6 as u8;
    const ICMP: u8 = IpProto::Ipv6Icmp as u8;
    /// RFC 8200 §5.
    const LEAST_MTU: u16 = 1280;
    const ECHO_REQUEST: u8 = 128;
    const ECHO_REPLY: u8 = 129;

    /// Destination unreachable, packet too big, time exceeded, parameter problem (RFC 4443 §3).
    #[inline(always)]
    fn is_error(kind: u8) -> bool {
        matches!(kind, 1..=4)
    }

    #[inline(always)]
    fn parse<P: Packet>(packet: &P, offset: usize) -> Result<Ip<Be128>, Stop> {
        let ip = header(packet, offset)?;
        if offset as u32 + ip.length > packet.length() {
            return Err(Stop::because(Reason::Truncated));
        }
        extended(packet, offset, ip)
    }

    #[inline(always)]
    fn header<P: Packet>(packet: &P, offset: usize) -> Result<Ip<Be128>, Stop> {
        header(packet, offset)
    }

    #[inline(always)]
    fn quoted<P: Packet>(packet: &P, offset: usize) -> Result<Ip<Be128>, Stop> {
        extended(packet, offset, header(packet, offset)?)
    }

    /// RFC 8200 §3.
    #[inline(always)]
    fn after_hop(word: u32) -> u32 {
        word.wrapping_sub(1u32.to_be())
    }

    #[inline(always)]
    fn tos(word: u32) -> u8 {
        (u32::from_be(word) >> 20) as u8
    }

    #[inline(always)]
    fn turn_round<P: Packet>(packet: &mut P, offset: usize) -> Result<(), Stop> {
        let header: &mut Ipv6 =
            packet.view_mut(offset).ok_or_else(|| Stop::because(Reason::Truncated))?;
        (header.source, header.destination) = (header.destination, header.source);
        header.hop_limit = OUTER_TTL;
        Ok(())
    }

    #[inline(always)]
    fn neighbor<P: Packet, T: Tables>(
        packet: &mut P,
        tables: &T,
        link: &Link,
        ip: &Ip<Be128>,
        kind: u8,
    ) -> Result<Outcome, Stop> {
        answer::neighbor(packet, tables, link, ip, kind)
    }

    #[inline(always)]
    fn too_big<P: Packet>(packet: &mut P, link: &Link, mtu: u16) -> Result<(), Stop> {
        answer::too_big_v6(packet, link, mtu)
    }

    /// RFC 4443 §2.4(e.6): not the unspecified address, nor a multicast one.
    #[inline(always)]
    fn is_one_host(address: Be128) -> bool {
        let [high, low] = address.words();
        high | low != 0 && high.to_ne_bytes()[0] != 0xff
    }

    #[inline(always)]
    fn same(one: Be128, other: Be128) -> bool {
        one.words() == other.words()
    }

    #[inline(always)]
    fn addresses<P: Packet>(packet: &P, offset: usize) -> Result<(Be128, Be128), Stop> {
        let header: &Ipv6 = packet.view(offset).ok_or_else(|| Stop::because(Reason::Truncated))?;
        Ok((header.source, header.destination))
    }

    #[inline(always)]
    fn first_words(address: Be128) -> [u32; 2] {
        let [first, second, ..] = address.raw();
        [first, second]
    }

    #[inline(always)]
    fn away(address: Be128) -> u32 {
        u32::from(!checksum::sum_of(&address))
    }

    #[inline(always)]
    fn readdress<const END: usize, P: Packet>(
        packet: &mut P,
        offset: usize,
        address: &Address<'_>,
    ) -> Result<(), Stop> {
        let header: &mut Ipv6 =
            packet.view_mut(offset).ok_or_else(|| Stop::because(Reason::Truncated))?;
        header.hop_limit = header.hop_limit.wrapping_sub(1);
        let place = if END == end::SOURCE { &mut header.source } else { &mut header.destination };
        // By words: as a record it would be copied by the two bytes that it is aligned to.
        *place = Be128::from_raw(address.new.raw());
        Ok(())
    }

    #[inline(always)]
    fn readdress_quoted<const END: usize, P: Packet>(
        packet: &mut P,
        offset: usize,
        address: &Address<'_>,
    ) -> Result<(), Stop> {
        let header: &mut Ipv6 =
            packet.view_mut(offset).ok_or_else(|| Stop::because(Reason::Truncated))?;
        let place = if END == end::SOURCE { &mut header.source } else { &mut header.destination };
        *place = Be128::from_raw(address.new.raw());
        Ok(())
    }

    #[inline(always)]
    fn may_be_member<T: Tables>(tables: &T, address: Be128) -> bool {
        tables.may_be_member_v6(address)
    }

    #[inline(always)]
    fn reply<T: Tables>(tables: &T, address: Be128, port: Be16, protocol: u8) -> Option<&Reply> {
        tables.reply_v6(&ListenerKeyV6::new(address, port, protocol))
    }

    #[inline(always)]
    fn listener_of_client<T: Tables>(tables: &T, address: Be128) -> Option<u16> {
        reply::embedded::listener(tables, address)
    }

    #[inline(always)]
    fn owner(_: Be128, _: Be16, _: u16) -> Owner {
        Owner::default()
    }

    #[inline(always)]
    fn source_number<T: Tables>(_: &T, _: Be128, _: Be16) -> Option<u32> {
        None
    }

    #[inline(always)]
    fn member_key(client: Be128, member: Be128, ports: Ports, protocol: u8) -> FlowKeyV6 {
        FlowKeyV6::new(client, member, ports, protocol)
    }

    #[inline(always)]
    fn from_record(address: &Be128) -> Be128 {
        *address
    }

    #[inline(always)]
    fn to_record(address: Be128) -> Be128 {
        address
    }

    #[inline(always)]
    fn exception<T: Tables>(tables: &T, key: &FlowKeyV6) -> Option<Exception> {
        tables.exception_v6(key)
    }

    #[inline(always)]
    fn except<T: Tables>(tables: &T, key: &FlowKeyV6, exception: Exception) {
        tables.except_v6(key, exception);
    }

    #[inline(always)]
    fn client_hop<T: Tables>(tables: &T, client: Be128) -> Option<&ClientHop> {
        tables.client_hop_v6(client)
    }

    #[inline(always)]
    fn may_be_vip<T: Tables>(tables: &T, address: Be128) -> bool {
        tables.may_be_vip_v6(address)
    }

    #[inline(always)]
    fn vip<T: Tables>(tables: &T, address: Be128) -> Option<Vip> {
        tables.vip_v6(address)
    }

    #[inline(always)]
    fn listener<T: Tables>(
        tables: &T,
        address: Be128,
        port: Be16,
        protocol: u8,
    ) -> Option<&Listener> {
        tables.listener_v6(&ListenerKeyV6::new(address, port, protocol))
    }

    #[inline(always)]
    fn flow_key(ip: &Ip<Be128>, transport: &Transport) -> FlowKeyV6 {
        FlowKeyV6::new(ip.source, ip.destination, transport.ports, ip.protocol)
    }

    #[inline(always)]
    fn client_key(flow: &FlowKeyV6, pool: u16, persistence: Persistence) -> ClientKey {
        ClientKey::v6(flow.source(), pool, persistence)
    }

    #[inline(always)]
    fn probe_key(ip: &Ip<Be128>, ports: Ports) -> FlowKeyV6 {
        FlowKeyV6::new(ip.source, ip.destination, ports, ip.protocol)
    }

    #[inline(always)]
    fn asked_key(client: Be128, vip: &Be128, ports: Ports, protocol: u8) -> FlowKeyV6 {
        FlowKeyV6::new(client, *vip, ports, protocol)
    }

    #[inline(always)]
    fn probed<T: Tables>(tables: &T, key: &FlowKeyV6) -> Option<u16> {
        tables.probed_v6(key)
    }

    #[inline(always)]
    fn is_connected<T: Tables>(tables: &T, key: &FlowKeyV6) -> bool {
        tables.is_connected_v6(key)
    }

    #[inline(always)]
    fn reset<P: Packet>(packet: &mut P, link: &Link, segment: &Tcp, next: u32) -> Option<()> {
        answer::reset_v6(packet, link, segment, next)
    }

    #[inline(always)]
    fn unreachable<P: Packet>(packet: &mut P, link: &Link) -> Option<()> {
        answer::unreachable_v6(packet, link)
    }

    #[inline(always)]
    fn connection_key(digest: u64, listener: u16) -> FlowKeyV6 {
        FlowKeyV6::connection(digest, listener)
    }

    #[inline(always)]
    fn digest_in(key: &FlowKeyV6) -> Option<u64> {
        (key.protocol() == CONNECTION_ID).then_some(key.words()[0])
    }

    #[inline(always)]
    fn is_tcp(key: &FlowKeyV6) -> bool {
        key.protocol() == IpProto::Tcp as u8
    }

    #[inline(always)]
    fn hash(key: &FlowKeyV6, algorithm: u16) -> u32 {
        let part = if algorithm::is_of_all(algorithm) { *key } else { key.part(algorithm) };
        hash::flow_v6(&part)
    }

    #[inline(always)]
    fn in_group<T: Tables>(tables: &T, group: u16, address: Be128) -> bool {
        tables.group_v6(&GroupKeyV6::new(group, address))
    }

    #[inline(always)]
    fn find<T: Tables>(tables: &T, stage: Stage, key: &FlowKeyV6, visit: &Visit) -> Option<Flow> {
        tables.find_v6(stage, key, visit)
    }

    #[inline(always)]
    fn choose<P: Packet, T: Tables>(
        packet: &P,
        tables: &T,
        ask: impl FnOnce(&mut QuestionV6),
    ) -> Result<u16, Stop> {
        tables.choose_v6(packet, ask)
    }

    #[inline(always)]
    fn record<T: Tables>(tables: &T, stage: Stage, key: &FlowKeyV6, flow: Flow) {
        tables.record_v6(stage, key, flow);
    }

    #[inline(always)]
    fn forget<T: Tables>(tables: &T, stage: Stage, key: &FlowKeyV6) -> bool {
        tables.forget_v6(stage, key)
    }

    #[inline(always)]
    fn fragment<T: Tables>(tables: &T, ip: &Ip<Be128>) -> Option<Fragment> {
        tables.fragment_v6(&key(ip))
    }

    #[inline(always)]
    fn record_fragment<T: Tables>(tables: &T, ip: &Ip<Be128>, fragment: Fragment) {
        tables.record_fragment_v6(&key(ip), fragment);
    }
}

#[inline(always)]
fn key(ip: &Ip<Be128>) -> FlowKeyV6 {
    fragment::key_v6(ip.source, ip.destination, ip.identification)
}

/// The header alone: what follows it is still to be looked at.
#[inline(always)]
fn header<P: Packet>(packet: &P, offset: usize) -> Result<Ip<Be128>, Stop> {
    let header: &Ipv6 = packet.view(offset).ok_or_else(|| Stop::because(Reason::Truncated))?;
    let word = u32::from_be(header.version_class_label.raw());
    if word >> 28 != 6 {
        return Err(Stop::because(Reason::BadHeader));
    }
    Ok(Ip {
        source: header.source,
        destination: header.destination,
        protocol: header.next_header,
        tos: (word >> 20) as u8,
        hop_limit: header.hop_limit,
        fragment: part::WHOLE,
        identification: 0,
        length: size_of::<Ipv6>() as u32 + u32::from(header.payload_length.get()),
        payload: offset + size_of::<Ipv6>(),
        payload_length: 0,
    })
}

/// The header at `offset` and the extension headers behind it.
#[inline(always)]
fn extended<P: Packet>(packet: &P, offset: usize, mut ip: Ip<Be128>) -> Result<Ip<Be128>, Stop> {
    if !is_transport(ip.protocol) && extension::is_one(ip.protocol) {
        let chain = packet.extensions(ip.payload, ip.protocol)?;
        ip.payload = chain.payload as usize;
        ip.identification = chain.identification;
        (ip.protocol, ip.fragment) = (chain.protocol, chain.fragment);
    }
    let headers = (ip.payload - offset) as u32;
    ip.payload_length =
        ip.length.checked_sub(headers).ok_or_else(|| Stop::because(Reason::BadHeader))?;
    Ok(ip)
}
