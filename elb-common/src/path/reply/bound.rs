//! Answers of members to source addresses of ours (IPv4): the port that is answered says whose they are.

use super::super::translate::{self, Ends, quote};
use super::super::wire::Tcp;
use super::super::{Family, Ip, Link, Packet, Stop, Tables, V4, classify, parse};
use super::{Back, NotBack, address, sent, verdict, way};
use crate::addr::{Be16, Be32};
use crate::backend::Backend;
use crate::binding::{Binding, says};
use crate::flow::Ports;
use crate::listener::ListenerEndpoint;
use crate::reason::Reason;

/// What a member's packet is about.
struct Bound<'t> {
    binding: Binding,
    backend: &'t Backend,
    endpoint: ListenerEndpoint,
}

impl Bound<'_> {
    /// The ends of an answer that its client knows.
    #[inline(always)]
    fn ends(&self, ports: bool) -> Ends {
        let ListenerEndpoint { vip, port, .. } = self.endpoint;
        let [vip, ..] = vip.raw();
        let (source, destination) = (Be32::from_raw(vip), self.binding.owner.client());
        let both = Ports { source: port, destination: self.binding.owner.port() };
        Ends { source, destination, ports: ports.then_some(both) }
    }
}

/// What the port with this number is bound to, if that is a flow at this member: another host's packets are no
/// answers. No port: a later fragment shows none. What is refused here was for an address that is ours alone.
#[inline(always)]
fn bound<T: Tables>(
    tables: &T,
    number: u32,
    member: Be32,
    port: Option<Be16>,
) -> Result<Bound<'_>, Stop> {
    let unknown = || Stop(Reason::NotOpen);
    let binding =
        tables.binding(number).filter(|binding| binding.owner.is_one()).ok_or_else(unknown)?;
    let backend = tables.backend(binding.course.backend()).ok_or_else(unknown)?;
    let endpoint = *tables.endpoint(binding.owner.listener()).ok_or_else(unknown)?;
    let own = backend.translation().port;
    let own = if own.raw() == 0 { endpoint.port } else { own };
    let is_its = backend.address_v4() == member && port.is_none_or(|port| port == own);
    if is_its { Ok(Bound { binding, backend, endpoint }) } else { Err(unknown()) }
}

/// Translates an answer back.
#[inline(always)]
pub(in super::super) fn packet<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    link: &Link,
    ip: &Ip<Be32>,
    number: u32,
) -> Result<Back, NotBack> {
    let truncated = || Stop::because(Reason::Truncated);
    classify::addressed(packet, tables, link)?;
    let port = if ip.is_later_fragment() {
        None
    } else {
        let ports: Ports = *packet.view(ip.payload).ok_or_else(truncated)?;
        Some(ports.source)
    };
    let bound = bound(tables, number, ip.source, port)?;
    let (course, now) = (bound.binding.course, tables.now());
    if course.is_over(now) || !bound.backend.serves_established() {
        return Err(Stop(Reason::NotOpen).into());
    }
    let hop = way::<V4, T>(tables, bound.binding.owner.client())?;
    if hop.is_local() {
        return Err(Stop(Reason::NoRoute).into());
    }
    address(packet, ip, hop)?;
    let ends = bound.ends(!ip.is_later_fragment());
    translate::both(packet, link, ip, &ends)?;
    let after = course.after_member(says_of(packet, ip), now);
    if after != course {
        tables.set_course(number, after);
    }
    let ids = (bound.binding.owner.listener(), course.backend());
    if let Some(resets) = verdict(packet, ip).filter(|_| !ip.is_later_fragment()) {
        tables.count_answer(ids.0, ids.1, resets);
    }
    sent(packet, tables, hop, ids)
}

/// What an answer says of its flow.
#[inline(always)]
fn says_of<P: Packet>(packet: &P, ip: &Ip<Be32>) -> u32 {
    if ip.is_later_fragment() || !parse::is_tcp(ip.protocol) {
        return says::DATAGRAM;
    }
    let flags = packet.view::<Tcp>(ip.payload).map_or(0, |segment| segment.flags);
    let closes = if flags & FIN != 0 { says::CLOSES } else { 0 };
    closes | if flags & RST != 0 { says::RESETS } else { 0 }
}

const FIN: u8 = 0x01;
const RST: u8 = 0x04;

/// An error about a packet that a source address of ours sent to a member: who says so is the member, or a router on the
/// way to it.
#[inline(always)]
pub(in super::super) fn error<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    link: &Link,
    ip: &Ip<Be32>,
) -> Result<Back, NotBack> {
    let (quoted, quote) = quote::quoted::<V4, P>(packet, link, ip)?;
    let ports: Ports = *packet.view(quote.payload as usize).ok_or(Stop(Reason::Truncated))?;
    let number = V4::source_number(tables, quoted.source, ports.source);
    let number = number.ok_or(Stop(Reason::NotVip))?;
    let bound = bound(tables, number, quoted.destination, Some(ports.destination))?;
    classify::addressed(packet, tables, link)?;
    if bound.binding.course.is_over(tables.now()) {
        return Err(Stop(Reason::NotOpen).into());
    }
    let hop = way::<V4, T>(tables, bound.binding.owner.client())?;
    if hop.is_local() {
        return Err(Stop(Reason::NoRoute).into());
    }
    address(packet, ip, hop)?;
    let known = bound.ends(true);
    // What the error quotes went the other way.
    let ports = known
        .ports
        .map(|Ports { source, destination }| Ports { source: destination, destination: source });
    let inner = Ends { source: known.destination, destination: known.source, ports };
    quote::both(packet, link, ip, quote, &inner)?;
    let is_member = ip.source == quoted.destination;
    let source = if is_member { known.source } else { ip.source };
    let outer = Ends { source, destination: known.destination, ports: None };
    translate::both(packet, link, ip, &outer)?;
    sent(packet, tables, hop, (bound.binding.owner.listener(), bound.binding.course.backend()))
}
