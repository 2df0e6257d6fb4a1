//! Steps that few packets need and that are long: a program may have each as a subprogram (a BPF function
//! that is called), so that the verifier does not walk it for every path that ends there (see [`Tables`]).
//! Each function reads the headers again.

mod version;

pub use self::version::{
    EMBEDDED, EMBEDDED_ERROR, reply_embedded, reply_embedded_error, sum_datagram, translate_46,
    translate_46_error,
};

use network_types::eth::EtherType;

use super::answer::refuse::refusal;
use super::bind::{self, Bearer, Passenger};
use super::control::{self, Quote};
use super::reply::{self, Back, NotBack};
use super::verifier::forgotten;
use super::{
    Family, Ip, Link, Packet, Stop, Tables, Target, V4, answer, exception, forward, fragment, parse,
};
use crate::interface::MacKey;
use crate::reason::Reason;
use crate::snat;

/// What becomes of a control message that is not about a flow: why it is not forwarded. Of ARP, too,
/// if `F` is IPv4.
#[inline(always)]
pub fn answer<F: Family, P: Packet, T: Tables>(packet: &mut P, tables: &T) -> Reason {
    const ARP: u16 = EtherType::Arp as u16;
    let mut answered = || {
        let link = parse::link(packet)?;
        if F::INNER_PROTOCOL == V4::INNER_PROTOCOL && link.ethertype.raw() == ARP {
            return answer::arp(packet, tables, &link);
        }
        let ip = F::parse(packet, link.end)?;
        answer::control::<F, P, T>(packet, tables, &link, &ip)
    };
    match answered() {
        Ok(outcome) => outcome.reason().unwrap_or(Reason::OtherProtocol),
        Err(Stop(reason)) => reason,
    }
}

/// The packet that an error quotes.
#[inline(always)]
pub fn quote<F: Family, P: Packet, T: Tables>(packet: &P, tables: &T) -> Result<Quote, Stop> {
    let link = parse::link(packet)?;
    let ip = F::parse(packet, link.end)?;
    // Known already, but not to the verifier.
    if !control::is_error::<F, P>(packet, &link, &ip) {
        return Err(Stop(Reason::OtherProtocol));
    }
    control::quote::<F, P, T>(packet, tables, &link, &ip)
}

/// Makes a packet that is too big the answer that one of `mtu` bytes would fit; what became of it.
#[inline(always)]
pub fn too_big<F: Family, P: Packet, T: Tables>(packet: &mut P, tables: &T, mtu: u16) -> Reason {
    let mut answered = || {
        let link = parse::link(packet)?;
        let ip = F::parse(packet, link.end)?;
        answer::too_big::<F, P, T>(packet, tables, &link, &ip, mtu)
    };
    answered().err().map_or(Reason::TooBigAnswered, |Stop(reason)| reason)
}

/// Makes a packet the answer that it is refused, for the reason that the number `refusal` stands for.
/// What became of it.
#[inline(always)]
pub fn refuse<F: Family, P: Packet, T: Tables>(packet: &mut P, tables: &T, refusal: u32) -> Reason {
    let mut answered = || {
        let link = parse::link(packet)?;
        let ip = F::parse(packet, link.end)?;
        answer::refuse::<F, P, T>(packet, tables, &link, &ip)
    };
    refusal::reason(refusal, answered().is_ok())
}

/// Whom a frame is for that is not for the Ethernet address by which the interface is found first: none,
/// for us. Of an interface that is not known, nothing is.
#[inline(always)]
pub fn stray<P: Packet, T: Tables>(packet: &P, tables: &T) -> Option<Reason> {
    let destination = parse::link(packet).ok()?.destination;
    if destination.is_group() {
        return Some(Reason::GroupMac);
    }
    let interface = tables.interface(packet.ingress())?;
    let is_ours = interface.mac == destination
        || tables.takes_mac(&MacKey::new(packet.ingress(), destination));
    if is_ours { None } else { Some(Reason::ForeignMac) }
}

/// Where the first fragment of a later one's datagram went.
#[inline(always)]
pub fn fragment_target<F: Family, P: Packet, T: Tables>(packet: &P, tables: &T) -> Option<Target> {
    let link = parse::link(packet).ok()?;
    let ip = F::parse(packet, link.end).ok()?;
    fragment::noted::<F, T>(tables, &ip)
}

/// Notes where a packet goes that is such a part of a datagram, if that is the first.
#[inline(always)]
pub fn note_fragment<F: Family, P: Packet, T: Tables>(
    packet: &P,
    tables: &T,
    target: Target,
    which: u32,
) {
    if which != super::part::FIRST {
        return;
    }
    let noted = || {
        let link = parse::link(packet).ok()?;
        let ip = F::parse(packet, link.end).ok()?;
        fragment::note::<F, T>(tables, &ip, target);
        Some(())
    };
    // Parsed before, by the stage that asks for it.
    let _ = noted();
}

/// A target as one word, 0: there is none.
#[inline(always)]
pub fn pack_target(target: Option<Target>) -> u64 {
    target.map_or(0, |Target { backend, listener, hash }| {
        u64::from(hash) | u64::from(listener) << 32 | u64::from(backend) << 48
    })
}

/// What is in such a word.
#[inline(always)]
pub fn unpack_target(word: u64) -> Option<Target> {
    const ID: u32 = 0xffff;
    let target = Target {
        backend: (word >> 48) as u32,
        listener: (word >> 32) as u32 & ID,
        hash: word as u32,
    };
    (word != 0).then_some(target)
}

/// What is known of the headers of a packet, in plain numbers, so that they need not be walked again.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Offset of the IP header, and 2^16 times that of its payload.
    pub offsets: u32,
    /// Protocol of the payload, and 2^8 times which [part](super::part) it is.
    pub payload: u32,
}

impl Place {
    /// Farther than any header chain that is walked reaches.
    const FARTHEST: u32 = 0xfff;

    /// Of this packet.
    #[inline(always)]
    pub const fn of<A>(link: &Link, ip: &Ip<A>) -> Self {
        Self {
            offsets: link.end as u32 | (ip.payload as u32) << 16,
            payload: ip.protocol as u32 | ip.fragment << 8,
        }
    }

    /// The headers, with only that read again which is at a fixed place.
    #[inline(always)]
    fn headers<F: Family, P: Packet>(self, packet: &P) -> Result<(Link, Ip<F::Addr>), Stop> {
        self.headers_and_error::<F, P>(packet).map(|(link, ip, _)| (link, ip))
    }

    /// The headers, and whether the packet is an error: what is known of one is the flow that it is about, but its header
    /// says what it is.
    #[inline(always)]
    fn headers_and_error<F: Family, P: Packet>(
        self,
        packet: &P,
    ) -> Result<(Link, Ip<F::Addr>, bool), Stop> {
        let link = Link::ending_at(packet, (self.offsets & Self::FARTHEST) as usize)?;
        let mut ip = F::header(packet, link.end)?;
        let is_control = ip.protocol == F::ICMP;
        ip.payload = (self.offsets >> 16 & Self::FARTHEST) as usize;
        (ip.protocol, ip.fragment) = (self.payload as u8, self.payload >> 8);
        let is_error = is_control && !ip.is_later_fragment();
        Ok((link, ip, is_error))
    }
}

/// Translates the answer of a member back.
#[inline(always)]
pub fn reply<F: Family, P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    place: Place,
    endpoint: u32,
) -> Result<Back, NotBack> {
    let (link, ip) = place.headers::<F, P>(packet)?;
    reply::packet::<F, P, T>(packet, tables, &link, &ip, endpoint)
}

/// Notes a packet that passes from or to the endpoint of a member.
#[inline(always)]
pub fn passes<F: Family, P: Packet, T: Tables>(packet: &P, tables: &T, place: Place, how: u32) {
    if let Ok((_, ip)) = place.headers::<F, P>(packet)
        && !ip.is_later_fragment()
    {
        // What is no endpoint's is not noted.
        let _ = exception::passes::<F, P, T>(packet, tables, &ip, how);
    }
}

/// Notes which listener a packet came by to an endpoint that several share.
#[inline(always)]
pub fn shares<F: Family, P: Packet, T: Tables>(
    packet: &P,
    tables: &T,
    place: Place,
    (backend, listener): (u16, u16),
) -> Result<(), Stop> {
    let (_, ip) = place.headers::<F, P>(packet)?;
    if ip.is_later_fragment() || !parse::is_transport(ip.protocol) {
        return Ok(());
    }
    exception::shares::<F, P, T>(packet, tables, &ip, backend, listener)
}

/// Translates an error back that is about a client's packet to a member.
#[inline(always)]
pub fn reply_error<F: Family, P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
) -> Result<Back, NotBack> {
    let link = link(packet)?;
    let ip = F::parse(packet, link.end)?;
    // Known already, but not to the verifier.
    if !control::is_error::<F, P>(packet, &link, &ip) {
        return Err(Stop(Reason::OtherProtocol).into());
    }
    reply::error::<F, P, T>(packet, tables, &link, &ip)
}

/// All that becomes of a packet for no virtual address.
#[inline(always)]
pub fn no_vip<F: Family, P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    place: Place,
    says: u32,
) -> Result<Back, NotBack> {
    let (link, ip) = place.headers::<F, P>(packet)?;
    reply::no_vip::<F, P, T>(packet, tables, &link, &ip, says)
}

/// Whether a packet may be translated for the backend and the listener with these ids.
#[inline(always)]
pub fn may_translate<F: Family, P: Packet, T: Tables>(
    packet: &P,
    tables: &T,
    place: Place,
    ids: (u16, u16),
) -> Result<(), Stop> {
    let (link, mut ip, is_error) = place.headers_and_error::<F, P>(packet)?;
    if is_error {
        ip.protocol = F::ICMP;
    }
    let backend = tables.backend(ids.0).ok_or(Stop(Reason::UnknownBackend))?;
    forward::nat::may_translate::<F, P, T>(packet, tables, &link, &ip, (ids, backend))
}

/// Translates a packet for a backend.
#[inline(always)]
pub fn translate<F: Family, P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    place: Place,
    backend: u16,
) -> Result<(), Stop> {
    let (link, ip, is_error) = place.headers_and_error::<F, P>(packet)?;
    if is_error {
        return tables.translate_error::<F, P>(packet, backend);
    }
    let backend = tables.backend(backend).ok_or(Stop(Reason::UnknownBackend))?;
    forward::nat::rewrite::<F, P>(packet, &link, &ip, backend)
}

/// Translates an error that is about a backend's answer.
#[inline(always)]
pub fn translate_error<F: Family, P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    backend: u16,
) -> Result<(), Stop> {
    let link = link(packet)?;
    let ip = F::parse(packet, link.end)?;
    // Known already, but not to the verifier.
    if !control::is_error::<F, P>(packet, &link, &ip) {
        return Err(Stop(Reason::OtherProtocol));
    }
    let backend = tables.backend(backend).ok_or(Stop(Reason::UnknownBackend))?;
    forward::nat::error::<F, P>(packet, &link, &ip, backend)
}

/// The number of the binding of a packet's flow.
#[inline(always)]
pub fn bind<T: Tables>(tables: &T, passenger: Passenger) -> Result<u32, Stop> {
    bind::number(tables, passenger)
}

/// The number of a binding for a flow that a packet opens.
#[inline(always)]
pub fn open<T: Tables>(tables: &T, bearer: Bearer) -> Result<u32, Stop> {
    bind::open(tables, bearer)
}

/// A number, or a reason, as one word.
#[inline(always)]
pub fn pack_number(number: Result<u32, Stop>) -> u64 {
    match number {
        Ok(number) => u64::from(number) | IS_NUMBER,
        Err(Stop(reason)) => reason as u64,
    }
}

/// What is in such a word.
#[inline(always)]
pub fn unpack_number(word: u64) -> Result<u32, Stop> {
    if word & IS_NUMBER != 0 {
        return Ok(word as u32);
    }
    Err(Stop(Reason::new(word as u8).unwrap_or(Reason::NotOpen)))
}

const IS_NUMBER: u64 = 1 << 32;

/// Translates a packet for a backend that sees the source address and port with this number.
#[inline(always)]
pub fn translate_both<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    place: Place,
    backend: u16,
    number: u32,
) -> Result<(), Stop> {
    let (link, mut ip, is_error) = place.headers_and_error::<V4, P>(packet)?;
    let backend = tables.backend(backend).ok_or(Stop(Reason::UnknownBackend))?;
    // While records are replaced, a listener's may be older than its backend's: then this is the hash of a flow.
    let snat = tables.snat().filter(|snat| snat.holds(snat.address(number)));
    let snat = snat.ok_or(Stop(Reason::NoSourcePort))?;
    let source = (snat.address(number), snat::port(number));
    if is_error {
        ip.protocol = V4::ICMP;
        // Known already, but not to the verifier.
        if !control::is_error::<V4, P>(packet, &link, &ip) {
            return Err(Stop(Reason::OtherProtocol));
        }
        return forward::fullnat::error(packet, &link, &ip, backend, source);
    }
    forward::fullnat::rewrite(packet, &link, &ip, backend, source)
}

/// The answer of a member to the source address and port with this number is translated back.
#[inline(always)]
pub fn reply_bound<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    place: Place,
    number: u32,
) -> Result<Back, NotBack> {
    let (link, mut ip, is_error) = place.headers_and_error::<V4, P>(packet)?;
    if is_error {
        ip.protocol = V4::ICMP;
        if !control::is_error::<V4, P>(packet, &link, &ip) {
            return Err(Stop(Reason::OtherProtocol).into());
        }
        return reply::bound::error(packet, tables, &link, &ip);
    }
    reply::bound::packet(packet, tables, &link, &ip, number)
}

/// What precedes the IP header, of which the verifier does not know how long it is: it would walk the rest once for each
/// number of tags.
#[inline(always)]
fn link<P: Packet>(packet: &P) -> Result<Link, Stop> {
    let end = parse::link(packet)?.end as u64;
    let end = forgotten(end, u64::from(packet.length())) as usize & Place::FARTHEST as usize;
    Link::ending_at(packet, end)
}

/// What became of an answer, as one word: without a listener, it was not translated back.
#[inline(always)]
pub fn pack_back(back: Result<Back, NotBack>) -> u64 {
    match back {
        Ok(Back { ifindex, listener, backend }) => {
            u64::from(ifindex) | u64::from(listener) << 32 | u64::from(backend) << 48
        }
        Err(NotBack { reason, mtu }) => reason as u64 | u64::from(mtu) << 8,
    }
}

/// What is in such a word.
#[inline(always)]
pub fn unpack_back(word: u64) -> Result<Back, NotBack> {
    let (listener, backend) = ((word >> 32) as u16, (word >> 48) as u16);
    if word >> 32 != 0 {
        return Ok(Back { ifindex: word as u32, listener, backend });
    }
    let reason = Reason::new(word as u8).unwrap_or(Reason::NotVip);
    Err(NotBack { reason, mtu: (word >> 8) as u16 })
}

/// Whether the answer of a member to this host answers a probe of a virtual address.
#[inline(always)]
pub fn answers_probe<F: Family, P: Packet, T: Tables>(
    packet: &P,
    tables: &T,
    place: Place,
) -> bool {
    let headers = place.headers::<F, P>(packet).ok().filter(|(_, ip)| !ip.is_later_fragment());
    headers.and_then(|(_, ip)| reply::answers_probe::<F, P, T>(packet, tables, &ip)).is_some()
}

/// A quote as one word, for a function that can return nothing else. Its payload is behind other
/// headers, so no quote is less than 256.
#[inline(always)]
pub fn pack(quote: Result<Quote, Stop>) -> u32 {
    match quote {
        Ok(Quote { payload, protocol }) => payload << 8 | protocol,
        Err(Stop(reason)) => reason as u32,
    }
}

/// The quote in a word.
#[inline(always)]
pub fn unpack(word: u32) -> Result<Quote, Stop> {
    /// Farther than any header chain that is walked reaches.
    const FARTHEST: u32 = 0x1fff;
    if word < 256 {
        return Err(Stop(Reason::new(word as u8).unwrap_or(Reason::OtherProtocol)));
    }
    Ok(Quote { payload: word >> 8 & FARTHEST, protocol: word & 0xff })
}
