//! IPv4 (RFC 791).

use network_types::ip::IpProto;

use super::super::choose::QuestionV4;
use super::super::wire::Ipv4;
use super::super::{Outcome, Packet, Stop, Tables};
use super::{Family, Ip, Link, Transport};
use crate::addr::{Be16, Be32};
use crate::admission::GroupKeyV4;
use crate::backend::OUTER_TTL;
use crate::flow::{Flow, FlowKeyV4};
use crate::listener::{Listener, ListenerKeyV4, Vip};
use crate::reason::Reason;
use crate::{checksum, hash};

/// IP version 4.
#[derive(Clone, Copy, Debug)]
pub struct V4;

/// More fragments, or a fragment offset.
const FRAGMENT: u16 = 0x3fff;

impl Family for V4 {
    type Addr = Be32;
    type FlowKey = FlowKeyV4;

    const INNER_PROTOCOL: u8 = IpProto::Ipv4 as u8;
    const ICMP: u8 = IpProto::Icmp as u8;
    const ECHO_REQUEST: u8 = 8;
    const ECHO_REPLY: u8 = 0;

    #[inline(always)]
    fn parse<P: Packet>(packet: &P, offset: usize) -> Result<Ip<Be32>, Stop> {
        let header: &Ipv4 = packet.view(offset).ok_or(Stop(Reason::Truncated))?;
        let header_length = u32::from(header.version_length & 0x0f) * 4;
        let length = u32::from(header.total_length.get());
        if header.version_length >> 4 != 4 || header_length < 20 || length < header_length {
            return Err(Stop(Reason::BadHeader));
        }
        if offset as u32 + length > packet.length() {
            return Err(Stop(Reason::Truncated));
        }
        Ok(Ip {
            reserved: 0,
            source: header.source,
            destination: header.destination,
            protocol: header.protocol,
            tos: header.tos,
            hop_limit: header.ttl,
            fragment: u8::from(header.fragment.raw() & FRAGMENT.to_be() != 0),
            length,
            payload: offset + header_length as usize,
            payload_length: length - header_length,
        })
    }

    #[inline(always)]
    fn turn_round<P: Packet>(packet: &mut P, offset: usize) -> Result<(), Stop> {
        let header: &mut Ipv4 = packet.view_mut(offset).ok_or(Stop(Reason::Truncated))?;
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
        Err(Stop(Reason::OtherProtocol))
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
    fn connection_key(digest: u64, listener: u16) -> FlowKeyV4 {
        FlowKeyV4::connection(digest, listener)
    }

    #[inline(always)]
    fn hash(key: &FlowKeyV4, algorithm: u16) -> u32 {
        hash::flow_v4(&key.part(algorithm))
    }

    #[inline(always)]
    fn in_group<T: Tables>(tables: &T, group: u16, address: Be32) -> bool {
        tables.group_v4(&GroupKeyV4::new(group, address))
    }

    #[inline(always)]
    fn flow<T: Tables>(tables: &T, key: &FlowKeyV4, oldest: u32, now: u32) -> Option<Flow> {
        tables.flow_v4(key, oldest, now)
    }

    #[inline(always)]
    fn choose<T: Tables>(tables: &T, ask: impl FnOnce(&mut QuestionV4)) -> Result<u16, Stop> {
        tables.choose_v4(ask)
    }

    #[inline(always)]
    fn record<T: Tables>(tables: &T, key: &FlowKeyV4, flow: Flow) {
        tables.record_v4(key, flow);
    }

    #[inline(always)]
    fn close<T: Tables>(tables: &T, key: &FlowKeyV4) -> bool {
        tables.close_v4(key)
    }
}
