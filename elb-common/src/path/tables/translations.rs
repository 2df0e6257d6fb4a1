//! What the packet path asks where packets are translated.

use super::super::bind::{self, Bearer, Passenger};
use super::super::reply::{Back, NotBack};
use super::super::subprogram::{self, Place};
use super::super::{Family, Ip, Link, Packet, Stop};
use super::Tables;
use crate::addr::{Be32, Be128};
use crate::binding::{Binding, Course, Owner};
use crate::client_hop::ClientHop;
use crate::exception::Exception;
use crate::flow::{FlowKeyV4, FlowKeyV6};
use crate::listener::{ListenerEndpoint, ListenerKeyV4, ListenerKeyV6};
use crate::reason::Reason;
use crate::reply::Reply;
use crate::snat::{Snat, WAYS};

/// What the maps know of members whose packets are translated, and of their clients. The last methods are steps, as
/// those of [`Tables`] are.
pub trait Translations: Sized {
    /// Whether the address may be that of a member whose answers are translated, see [`crate::vip_bits`].
    fn may_be_member_v4(&self, address: Be32) -> bool;
    /// As for IPv4.
    fn may_be_member_v6(&self, address: Be128) -> bool;
    /// What a member's endpoint stands for whose answers are translated.
    fn reply_v4(&self, key: &ListenerKeyV4) -> Option<&Reply>;
    /// As for IPv4.
    fn reply_v6(&self, key: &ListenerKeyV6) -> Option<&Reply>;
    /// What is noted of a flow at a member's endpoint.
    fn exception_v4(&self, key: &FlowKeyV4) -> Option<Exception>;
    /// As for IPv4.
    fn exception_v6(&self, key: &FlowKeyV6) -> Option<Exception>;
    /// Notes it.
    fn except_v4(&self, key: &FlowKeyV4, exception: Exception);
    /// As for IPv4.
    fn except_v6(&self, key: &FlowKeyV6, exception: Exception);
    /// Whether a backend may have such flows besides those of shared endpoints.
    fn is_excepted(&self, backend: u16) -> bool;
    /// Notes that it has one.
    fn note_excepted(&self, backend: u16, now: u32);
    /// The way back to a client.
    fn client_hop_v4(&self, client: Be32) -> Option<&ClientHop>;
    /// As for IPv4.
    fn client_hop_v6(&self, client: Be128) -> Option<&ClientHop>;
    /// Counts an answer that accepts a TCP connection, or resets one.
    fn count_answer(&self, listener: u16, backend: u16, resets: bool);
    /// Counts an answer that was translated back.
    fn count_reply(&self, listener: u16, backend: u16, bytes: u64);

    /// The source addresses, if there are any.
    fn snat(&self) -> Option<&Snat>;
    /// What clients know a listener by.
    fn endpoint(&self, listener: u16) -> Option<&ListenerEndpoint>;
    /// The binding with this number.
    fn binding(&self, number: u32) -> Option<Binding>;
    /// Writes what is known of a flow.
    fn set_course(&self, number: u32, course: Course);
    /// Replaces a binding, if it is still its owner's.
    fn claim(&self, number: u32, owner: Owner, binding: Binding) -> bool;
    /// Which one of a bucket's bindings is its owner's.
    fn find_owner(&self, bucket: u32, owner: Owner) -> Option<u32> {
        let at = |way| self.binding(bucket * WAYS + way).unwrap_or_default().owner;
        bind::find_owner(at, owner)
    }
    /// What is vacant in a bucket, see [`bind::vacancy`].
    fn vacancy(&self, bucket: u32, now: u32) -> u32 {
        let at = |way| self.binding(bucket * WAYS + way).unwrap_or_default();
        bind::vacancy(at, now)
    }
    /// The number of the binding of a packet's flow, see [`subprogram::bind`].
    fn bind(&self, passenger: Passenger) -> Result<u32, Stop>
    where
        Self: Tables,
    {
        subprogram::bind(self, passenger)
    }
    /// The number of a binding for a flow that a packet opens, see [`subprogram::open`].
    fn open(&self, bearer: Bearer) -> Result<u32, Stop>
    where
        Self: Tables,
    {
        subprogram::open(self, bearer)
    }
    /// Translates a packet for a backend that sees the source address and port with this number, see
    /// [`subprogram::translate_both`].
    fn translate_both<F: Family, P: Packet>(
        &self,
        packet: &mut P,
        link: &Link,
        ip: &Ip<F::Addr>,
        (backend, number): (u16, u32),
    ) -> Result<(), Stop>
    where
        Self: Tables,
    {
        let place = Place::of(link, ip);
        subprogram::translate_both::<P, Self>(packet, self, place, backend, number)
    }
    /// The answer of a member to the source address and port with this number is translated back, see
    /// [`subprogram::reply_bound`].
    fn reply_bound<F: Family, P: Packet>(
        &self,
        packet: &mut P,
        link: &Link,
        ip: &Ip<F::Addr>,
        number: u32,
    ) -> Result<Back, NotBack>
    where
        Self: Tables,
    {
        subprogram::reply_bound::<P, Self>(packet, self, Place::of(link, ip), number)
    }
    /// Gives a datagram of IPv4 the checksum that it lacks, see [`subprogram::sum_datagram`].
    fn sum_datagram<F: Family, P: Packet>(
        &self,
        packet: &mut P,
        link: &Link,
        ip: &Ip<F::Addr>,
    ) -> Result<(), Stop> {
        subprogram::sum_datagram(packet, Place::of(link, ip))
    }
    /// Translates a packet for a backend with IPv6, see [`subprogram::translate_46`].
    fn translate_46<F: Family, P: Packet>(
        &self,
        packet: &mut P,
        link: &Link,
        ip: &Ip<F::Addr>,
        (backend, listener): (u16, u32),
    ) -> Result<(), Stop>
    where
        Self: Tables,
    {
        let place = Place::of(link, ip);
        subprogram::translate_46::<P, Self>(packet, self, place, backend, listener as u16)
    }
    /// An error about an answer of such a backend is translated, see [`subprogram::translate_46_error`].
    fn translate_46_error<F: Family, P: Packet>(
        &self,
        packet: &mut P,
        (backend, listener): (u16, u32),
    ) -> Result<(), Stop>
    where
        Self: Tables,
    {
        subprogram::translate_46_error::<P, Self>(packet, self, backend, listener as u16)
    }
    /// The answer of a member with IPv6 to a client with IPv4 is translated back, see [`subprogram::reply_embedded`].
    fn reply_embedded<F: Family, P: Packet>(
        &self,
        packet: &mut P,
        link: &Link,
        ip: &Ip<F::Addr>,
        ids: (u16, u16),
    ) -> Result<Back, NotBack>
    where
        Self: Tables,
    {
        subprogram::reply_embedded::<P, Self>(packet, self, Place::of(link, ip), ids)
    }
    /// The same of an error about what such a client sent, see [`subprogram::reply_embedded_error`].
    fn reply_embedded_error<F: Family, P: Packet>(
        &self,
        packet: &mut P,
        ids: (u16, u16),
    ) -> Result<Back, NotBack>
    where
        Self: Tables,
    {
        subprogram::reply_embedded_error::<P, Self>(packet, self, ids)
    }

    /// The answer of a member is translated back, see [`subprogram::reply`].
    fn reply<F: Family, P: Packet>(
        &self,
        packet: &mut P,
        link: &Link,
        ip: &Ip<F::Addr>,
        endpoint: u32,
    ) -> Result<Back, NotBack>
    where
        Self: Tables,
    {
        subprogram::reply::<F, P, Self>(packet, self, Place::of(link, ip), endpoint)
    }
    /// An error about a client's packet to a member is translated back, see [`subprogram::reply_error`].
    fn reply_error<F: Family, P: Packet>(&self, packet: &mut P) -> Result<Back, NotBack>
    where
        Self: Tables,
    {
        subprogram::reply_error::<F, P, Self>(packet, self)
    }
    /// An error about a backend's answer is translated, see [`subprogram::translate_error`].
    fn translate_error<F: Family, P: Packet>(
        &self,
        packet: &mut P,
        backend: u16,
    ) -> Result<(), Stop>
    where
        Self: Tables,
    {
        subprogram::translate_error::<F, P, Self>(packet, self, backend)
    }
    /// Notes a packet that passes from or to a member's endpoint, see [`subprogram::passes`].
    fn passes<F: Family, P: Packet>(&self, packet: &P, link: &Link, ip: &Ip<F::Addr>, how: u32)
    where
        Self: Tables,
    {
        subprogram::passes::<F, P, Self>(packet, self, Place::of(link, ip), how);
    }
    /// Notes which listener a packet came by to a shared endpoint, see [`subprogram::shares`].
    fn shares<F: Family, P: Packet>(
        &self,
        packet: &P,
        link: &Link,
        ip: &Ip<F::Addr>,
        (backend, listener): (u16, u16),
    ) -> Result<(), Stop>
    where
        Self: Tables,
    {
        subprogram::shares::<F, P, Self>(packet, self, Place::of(link, ip), (backend, listener))
    }
    /// All that becomes of a packet for no virtual address, see [`subprogram::no_vip`].
    fn no_vip<F: Family, P: Packet>(
        &self,
        packet: &mut P,
        link: &Link,
        ip: &Ip<F::Addr>,
        says: u32,
    ) -> Result<Back, NotBack>
    where
        Self: Tables,
    {
        subprogram::no_vip::<F, P, Self>(packet, self, Place::of(link, ip), says)
    }
    /// Whether a packet may be translated for backend and listener, see [`subprogram::may_translate`].
    fn may_translate<F: Family, P: Packet>(
        &self,
        packet: &P,
        link: &Link,
        ip: &Ip<F::Addr>,
        ids: (u16, u16),
    ) -> Result<(), Stop>
    where
        Self: Tables,
    {
        subprogram::may_translate::<F, P, Self>(packet, self, Place::of(link, ip), ids)
    }
    /// Translates a packet for a backend, see [`subprogram::translate`].
    fn translate<F: Family, P: Packet>(
        &self,
        packet: &mut P,
        link: &Link,
        ip: &Ip<F::Addr>,
        backend: u16,
    ) -> Result<(), Stop>
    where
        Self: Tables,
    {
        subprogram::translate::<F, P, Self>(packet, self, Place::of(link, ip), backend)
    }
    /// What becomes of an answer that is not translated back. What members send is not in the flow log.
    fn turned_back<F: Family, P: Packet>(&self, packet: &mut P, not_back: NotBack) -> Reason
    where
        Self: Tables,
    {
        match (not_back.refusal(), not_back) {
            (Some(refusal), _) => self.refuse::<F, P>(packet, refusal),
            (None, NotBack { reason, mtu: 0 }) => reason,
            (None, NotBack { mtu, .. }) => self.too_big::<F, P>(packet, mtu),
        }
    }
    /// Whether an answer to this host answers a probe, see [`subprogram::answers_probe`].
    fn answers_probe<F: Family, P: Packet>(&self, packet: &P, link: &Link, ip: &Ip<F::Addr>) -> bool
    where
        Self: Tables,
    {
        subprogram::answers_probe::<F, P, Self>(packet, self, Place::of(link, ip))
    }
}
