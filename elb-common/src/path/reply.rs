//! Answers of members whose packets are translated: they come to us, since we are the members' route to their
//! clients, and get the virtual address back. No flow is looked for: the member's address, port and protocol
//! say which listener it is.

pub(super) mod bound;
pub(super) mod embedded;

use super::answer::refuse::refusal;
use super::ends::{Address, end};
use super::translate::{self, Port, quote};
use super::wire::Tcp;
use super::{
    Family, Ip, Link, Packet, Stop, Tables, Target, Transport, classify, exception, forward, parse,
};
use crate::addr::Be16;
use crate::checksum;
use crate::client_hop::{ClientHop, hop_kind};
use crate::exception::Exception;
use crate::flow::Ports;
use crate::reason::Reason;
use crate::reply::{Reply, reply_flags};

/// In the place of a listener, where an answer is a probe's: any number but 0.
const PROBED: u16 = 1;

/// What a packet for no virtual address says of its flow: numbers, since a subprogram takes no other.
mod says {
    /// That it opens a connection.
    pub(super) const OPENS: u32 = 1 << 0;
    /// It is an error about it.
    pub(super) const QUOTED: u32 = 1 << 1;
}

/// See [`says`].
#[inline(always)]
pub(super) const fn says(transport: &Transport) -> u32 {
    let opens = if transport.opens() { says::OPENS } else { 0 };
    opens | if transport.is_quoted() { says::QUOTED } else { 0 }
}

/// All that becomes of a packet for no virtual address, in one step.
#[inline(always)]
pub(super) fn no_vip<F: Family, P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    link: &Link,
    ip: &Ip<F::Addr>,
    says: u32,
) -> Result<Back, NotBack> {
    // Of an error, these are no ports: what it quotes has them.
    let ports: Ports = *packet.view(ip.payload).ok_or(Stop(Reason::Truncated))?;
    if let Some(number) = F::source_number(tables, ip.destination, ports.destination) {
        if ip.is_first_fragment() {
            tables.note_fragment::<F, P>(packet, Target::bound(number), ip.fragment);
        }
        return tables.reply_bound::<F, P>(packet, link, ip, number);
    }
    if says & says::QUOTED != 0 {
        return tables.reply_error::<F, P>(packet);
    }
    let from_member = F::may_be_member(tables, ip.source);
    if !from_member || says & says::OPENS != 0 {
        passes::<F, P, T>(packet, tables, link, ip, from_member);
        return Err(Stop(Reason::NotVip).into());
    }
    let back = Target::back(ports.source, ip.protocol);
    if ip.is_first_fragment() {
        tables.note_fragment::<F, P>(packet, back, ip.fragment);
    }
    tables.reply::<F, P>(packet, link, ip, back.hash)
}

/// Whether a packet may be the answer of a member. Its sender is read again: an address that is kept until then takes
/// too much of the BPF stack.
#[inline(always)]
pub(super) fn may_be<F: Family, P: Packet, T: Tables>(packet: &P, tables: &T, link: &Link) -> bool {
    F::addresses(packet, link.end).is_ok_and(|(source, _)| F::may_be_member(tables, source))
}

/// A packet for no virtual address passes: if it is for a member's endpoint, or opens a connection from one, the
/// answers of its flow are left alone.
#[inline(always)]
pub(super) fn passes<F: Family, P: Packet, T: Tables>(
    packet: &P,
    tables: &T,
    link: &Link,
    ip: &Ip<F::Addr>,
    from_member: bool,
) {
    let how = if from_member { exception::passes::OWN } else { exception::passes::DIRECT };
    let is_noted = from_member
        || F::addresses(packet, link.end)
            .is_ok_and(|(_, receiver)| F::may_be_member(tables, receiver));
    if is_noted {
        tables.passes::<F, P>(packet, link, ip, how);
    }
}

/// An answer that was translated back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Back {
    /// The interface that it leaves by; 0: the kernel gets it.
    pub ifindex: u32,
    /// Id of the listener that it is counted by.
    pub listener: u16,
    /// Id of the backend that it is counted by; 0: it answers a probe, and is not counted.
    pub backend: u16,
}

/// Why a packet was not translated back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotBack {
    /// Why.
    pub reason: Reason,
    /// How large it might be, where it is too big; 0 otherwise.
    pub mtu: u16,
}

impl NotBack {
    /// As what its sender is refused, if it is notified at all.
    #[inline(always)]
    pub(super) const fn refusal(&self) -> Option<u32> {
        if matches!(self.reason, Reason::ResetTold) {
            Some(refusal::ENDED)
        } else if matches!(self.reason, Reason::NotOpen) {
            Some(refusal::NOT_OPEN)
        } else {
            None
        }
    }
}

impl From<Stop> for NotBack {
    #[inline(always)]
    fn from(Stop(reason): Stop) -> Self {
        Self { reason, mtu: 0 }
    }
}

/// The rest of the way of what may be the answer of a member: the interface that it leaves by.
#[inline(always)]
pub(super) fn leaves<F: Family, P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    back: Result<Back, NotBack>,
    received: u64,
) -> Result<u32, Stop> {
    match back {
        Ok(Back { ifindex, backend: 0, .. }) => Ok(ifindex),
        Ok(Back { ifindex, listener, backend }) => {
            tables.count_reply(listener, backend, received);
            Ok(ifindex)
        }
        Err(not_back @ NotBack { reason, mtu: 0 }) if not_back.refusal().is_none() => {
            Err(Stop(reason))
        }
        Err(not_back) => Err(Stop(tables.turned_back::<F, P>(packet, not_back))),
    }
}

/// What is not for a virtual address, and may be the answer of a member at this endpoint: it is translated, and sent
/// to its client.
#[inline(always)]
pub(super) fn packet<F: Family, P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    link: &Link,
    ip: &Ip<F::Addr>,
    endpoint: u32,
) -> Result<Back, NotBack> {
    let (port, protocol) = (Be16::from_raw(endpoint as u16), (endpoint >> 16) as u8);
    let reply =
        F::reply(tables, ip.source, port, protocol).ok_or_else(|| Stop::because(Reason::NotVip))?;
    classify::addressed(packet, tables, link)?;
    if !is_from_member(packet, link, reply) {
        return Err(Stop::because(Reason::ReplyUnknown).into());
    }
    let is_over = reply.flags & reply_flags::ENDED != 0;
    if let Some(listener) = F::listener_of_client(tables, ip.destination) {
        if is_over {
            return Err(over(ip));
        }
        return tables.reply_embedded::<F, P>(packet, link, ip, (listener, reply.backend));
    }
    let hop = hop::<F, T>(tables, ip.destination);
    let is_here = hop.is_some_and(ClientHop::is_local);
    if is_here && !tables.answers_probe::<F, P>(packet, link, ip) {
        return Err(Stop(Reason::NotVip).into());
    }
    // Answers to clients go to source addresses of ours.
    if !is_here && reply.flags & reply_flags::PROBES != 0 {
        return Err(Stop(Reason::NotVip).into());
    }
    const ASKED: u16 = reply_flags::SHARED | reply_flags::ENDED;
    let no_way = || Stop::because(Reason::NoRoute);
    if reply.flags & ASKED != 0 || tables.is_excepted(reply.backend) {
        match exception::<F, P, T>(packet, tables, ip) {
            Some(exception) if exception.is_alone() => return Err(Stop(Reason::NotVip).into()),
            _ if is_over => return Err(over(ip)),
            Some(exception) => {
                let known = known::<F>(&exception, Member { address: ip.source, port });
                let hop = hop.ok_or_else(no_way)?;
                return back::<F, P, T>(packet, tables, link, ip, hop, &known);
            }
            None => {}
        }
    }
    let hop = hop.ok_or_else(no_way)?;
    back::<F, P, T>(packet, tables, link, ip, hop, &Known::of(reply))
}

/// What becomes of an answer on a connection that is over: its sender learns so where it is TCP.
#[inline(always)]
fn over<A>(ip: &Ip<A>) -> NotBack {
    let is_segment = parse::is_tcp(ip.protocol) && !ip.is_later_fragment();
    Stop(if is_segment { Reason::ResetTold } else { Reason::NotVip }).into()
}

/// What is noted of the packet's flow, if it counts.
#[inline(always)]
fn exception<F: Family, P: Packet, T: Tables>(
    packet: &P,
    tables: &T,
    ip: &Ip<F::Addr>,
) -> Option<Exception> {
    if ip.is_later_fragment() {
        return None;
    }
    let Ports { source, destination } = *packet.view(ip.payload)?;
    let ports = Ports { source: destination, destination: source };
    let key = F::member_key(ip.destination, ip.source, ports, ip.protocol);
    F::exception(tables, &key).filter(|exception| exception.is_live(tables.now()))
}

/// A member's endpoint.
struct Member<A> {
    address: A,
    port: Be16,
}

/// What a client knows a member by, and what that changes.
struct Known<'a> {
    address: Address<'a>,
    port: Port,
    listener: u16,
    backend: u16,
}

impl<'a> Known<'a> {
    #[inline(always)]
    fn of(reply: &'a Reply) -> Self {
        let Reply { port, listener, backend, .. } = *reply;
        Self {
            address: Address { new: &reply.vip, by: u32::from(reply.address_difference) },
            port: Port { new: port, by: u32::from(reply.difference) },
            listener,
            backend,
        }
    }
}

/// The same of an exception.
#[inline(always)]
fn known<F: Family>(exception: &Exception, member: Member<F::Addr>) -> Known<'_> {
    let Exception { port, listener, backend, .. } = *exception;
    let by = F::away(member.address) + u32::from(checksum::sum_of(&exception.vip));
    let ports = u32::from(!member.port.raw()) + u32::from(port.raw());
    Known {
        address: Address { new: &exception.vip, by },
        port: Port { new: port, by: by + ports },
        listener,
        backend,
    }
}

/// Whether the frame came the way that the member's packets come. Otherwise any host could send through us
/// with a virtual address as its sender.
#[inline(always)]
fn is_from_member<P: Packet>(packet: &P, link: &Link, reply: &Reply) -> bool {
    reply.ifindex == packet.ingress()
        && (reply.flags & reply_flags::ON_LINK == 0 || reply.mac == link.source)
}

/// Translates the packet back.
#[inline(always)]
fn back<F: Family, P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    link: &Link,
    ip: &Ip<F::Addr>,
    hop: &ClientHop,
    known: &Known<'_>,
) -> Result<Back, NotBack> {
    address(packet, ip, hop)?;
    F::readdress::<{ end::SOURCE }, P>(packet, link.end, &known.address)?;
    if !ip.is_later_fragment() {
        translate::transport::<{ end::SOURCE }, P>(packet, ip.payload, ip.protocol, known.port)?;
        if let Some(resets) = verdict(packet, ip).filter(|_| !hop.is_local()) {
            tables.count_answer(known.listener, known.backend, resets);
        }
    }
    sent(packet, tables, hop, (known.listener, known.backend))
}

/// Whether an answer resets its TCP connection, or accepts it; none: neither.
#[inline(always)]
fn verdict<P: Packet, A>(packet: &P, ip: &Ip<A>) -> Option<bool> {
    if !parse::is_tcp(ip.protocol) {
        return None;
    }
    let segment: &Tcp = packet.view(ip.payload)?;
    parse::verdict(segment.flags)
}

/// An error about a packet that a client sent to a member: who says so is the member, or a router on the way to it.
#[inline(always)]
pub(super) fn error<F: Family, P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    link: &Link,
    ip: &Ip<F::Addr>,
) -> Result<Back, NotBack> {
    let (quoted, quote) = quote::quoted::<F, P>(packet, link, ip)?;
    let ports: Ports = *packet.view(quote.payload as usize).ok_or(Stop(Reason::Truncated))?;
    let reply = F::reply(tables, quoted.destination, ports.destination, quoted.protocol)
        .filter(|reply| reply.flags & reply_flags::ENDED == 0)
        .ok_or(Stop(Reason::NotVip))?;
    classify::addressed(packet, tables, link)?;
    if reply.ifindex != packet.ingress() {
        return Err(Stop(Reason::ReplyUnknown).into());
    }
    if let Some(listener) = F::listener_of_client(tables, quoted.source) {
        return tables.reply_embedded_error::<F, P>(packet, (listener, reply.backend));
    }
    let hop = way::<F, T>(tables, ip.destination)?;
    let ports = Ports { source: ports.source, destination: reply.port };
    let key = F::asked_key(ip.destination, &reply.vip, ports, quoted.protocol);
    if hop.is_local() && F::probed(tables, &key).is_none() {
        return Err(Stop(Reason::NotVip).into());
    }
    address(packet, ip, hop)?;
    let change = quote::Change {
        address: Address { new: &reply.vip, by: u32::from(reply.address_difference) },
        port: Port { new: reply.port, by: u32::from(reply.difference) },
        is_outer: F::same(ip.source, quoted.destination),
    };
    quote::translate::<{ end::DESTINATION }, { end::SOURCE }, F, P>(
        packet, link, ip, quote, &change,
    )?;
    sent(packet, tables, hop, (reply.listener, reply.backend))
}

/// The way to a client.
#[inline(always)]
fn way<F: Family, T: Tables>(tables: &T, client: F::Addr) -> Result<&ClientHop, NotBack> {
    hop::<F, T>(tables, client).ok_or_else(|| Stop::because(Reason::NoRoute).into())
}

#[inline(always)]
fn hop<F: Family, T: Tables>(tables: &T, client: F::Addr) -> Option<&ClientHop> {
    F::client_hop(tables, client).filter(|hop| hop.kind != hop_kind::NONE)
}

/// Addresses the frame to the next hop, if that is known, and the packet fits.
#[inline(always)]
fn address<P: Packet, A>(packet: &mut P, ip: &Ip<A>, hop: &ClientHop) -> Result<(), NotBack> {
    if ip.hop_limit <= 1 {
        return Err(Stop::because(Reason::TtlExpired).into());
    }
    if hop.kind == hop_kind::KNOWN {
        if ip.length > u32::from(hop.largest) {
            return Err(NotBack { reason: Reason::TooBig, mtu: hop.largest });
        }
        let addresses = packet.view_mut(0).ok_or_else(|| Stop::because(Reason::Truncated))?;
        *addresses = hop.ethernet();
    }
    Ok(())
}

/// Prepares the way out of a packet that was translated.
#[inline(always)]
fn sent<P: Packet, T: Tables>(
    packet: &P,
    tables: &T,
    hop: &ClientHop,
    (listener, backend): (u16, u16),
) -> Result<Back, NotBack> {
    if hop.is_local() {
        return Ok(Back { ifindex: forward::KERNEL, listener: PROBED, backend: 0 });
    }
    if hop.kind != hop_kind::KNOWN {
        return Ok(Back { ifindex: forward::KERNEL, listener, backend });
    }
    if hop.ifindex != packet.ingress() && !tables.redirect(hop.ifindex) {
        return Err(Stop::because(Reason::NoDevice).into());
    }
    Ok(Back { ifindex: hop.ifindex, listener, backend })
}

/// Whether the packet answers a health probe of a virtual address; this host's other connections to the member
/// are its own.
#[inline(always)]
pub(super) fn answers_probe<F: Family, P: Packet, T: Tables>(
    packet: &P,
    tables: &T,
    ip: &Ip<F::Addr>,
) -> Option<()> {
    let ports: Ports = *packet.view(ip.payload)?;
    let reply = F::reply(tables, ip.source, ports.source, ip.protocol)?;
    let ports = Ports { source: ports.destination, destination: reply.port };
    let key = F::asked_key(ip.destination, &reply.vip, ports, ip.protocol);
    F::probed(tables, &key).map(drop)
}
