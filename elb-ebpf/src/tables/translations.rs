//! The same of translation.

use elb_common::addr::{Be32, Be128};
use elb_common::binding::{Binding, Course, Owner};
use elb_common::client_hop::{ClientBit, ClientHop};
use elb_common::exception::Exception;
use elb_common::flow::{FlowKeyV4, FlowKeyV6};
use elb_common::limits::EXCEPTION_LIFETIME;
use elb_common::listener::{ListenerEndpoint, ListenerKeyV4, ListenerKeyV6};
use elb_common::path::bind::{Bearer, Passenger};
use elb_common::path::reply::{Back, NotBack};
use elb_common::path::subprogram::{EMBEDDED, EMBEDDED_ERROR, Place};
use elb_common::path::{Family, Ip, Link, Packet, Stop, Tables, Translations};
use elb_common::reply::Reply;
use elb_common::snat::{Snat, WAYS};
use elb_common::vip_bits::VipBit;

use super::Prefix;
use crate::binding;
use crate::handle::Maps;
use crate::maps::*;
use crate::shared::{count, note};
use crate::subprogram;

impl Translations for Maps<'_> {
    #[inline(always)]
    fn may_be_member_v4(&self, address: Be32) -> bool {
        let bit = VipBit::v4(address);
        MEMBER_BITS.get(bit.word()).is_some_and(|word| bit.is_in(*word))
    }

    #[inline(always)]
    fn may_be_member_v6(&self, address: Be128) -> bool {
        let bit = VipBit::v6(address);
        MEMBER_BITS.get(bit.word()).is_some_and(|word| bit.is_in(*word))
    }

    #[inline(always)]
    fn reply_v4(&self, key: &ListenerKeyV4) -> Option<&Reply> {
        // SAFETY: as in `listener_v4`.
        unsafe { REPLIES_V4.get(key) }
    }

    #[inline(always)]
    fn reply_v6(&self, key: &ListenerKeyV6) -> Option<&Reply> {
        // SAFETY: as in `listener_v4`.
        unsafe { REPLIES_V6.get(key) }
    }

    #[inline(always)]
    fn exception_v4(&self, key: &FlowKeyV4) -> Option<Exception> {
        // SAFETY: copied at once; an element that is recycled meanwhile yields another flow's for one packet.
        unsafe { EXCEPTIONS_V4.get(key) }.copied()
    }

    #[inline(always)]
    fn exception_v6(&self, key: &FlowKeyV6) -> Option<Exception> {
        // SAFETY: as for IPv4.
        unsafe { EXCEPTIONS_V6.get(key) }.copied()
    }

    #[inline(always)]
    fn except_v4(&self, key: &FlowKeyV4, exception: Exception) {
        // The next packet of the flow tries again.
        let _ = EXCEPTIONS_V4.insert(key, exception, 0);
    }

    #[inline(always)]
    fn except_v6(&self, key: &FlowKeyV6, exception: Exception) {
        // As for IPv4.
        let _ = EXCEPTIONS_V6.insert(key, exception, 0);
    }

    #[inline(always)]
    fn is_excepted(&self, backend: u16) -> bool {
        // Mostly it was never noted: no clock is read.
        EXCEPTED.get(u32::from(backend)).is_some_and(|until| *until != 0 && self.now() < *until)
    }

    #[inline(always)]
    fn note_excepted(&self, backend: u16, now: u32) {
        let Some(until) = EXCEPTED.get_ptr_mut(u32::from(backend)) else { return };
        // SAFETY: as in `note_named`.
        unsafe { note(until, now.wrapping_add(EXCEPTION_LIFETIME)) }
    }

    #[inline(always)]
    fn client_hop_v4(&self, client: Be32) -> Option<&ClientHop> {
        let other = if may_differ(ClientBit::v4(client)) {
            CLIENT_ROUTES_V4.get(Prefix::new(32, client.raw()).key())
        } else {
            None
        };
        other.or_else(|| CLIENT_DEFAULTS.get(0))
    }

    #[inline(always)]
    fn client_hop_v6(&self, client: Be128) -> Option<&ClientHop> {
        let other = if may_differ(ClientBit::v6(client)) {
            CLIENT_ROUTES_V6.get(Prefix::new(128, client.words()).key())
        } else {
            None
        };
        other.or_else(|| CLIENT_DEFAULTS.get(1))
    }

    #[inline(always)]
    fn snat(&self) -> Option<&Snat> {
        SNAT.get(0).filter(|snat| snat.addresses != 0)
    }

    #[inline(always)]
    fn endpoint(&self, listener: u16) -> Option<&ListenerEndpoint> {
        LISTENER_ENDPOINTS.get(u32::from(listener))
    }

    #[inline(always)]
    fn binding(&self, number: u32) -> Option<Binding> {
        place_of(number).map(binding::read)
    }

    #[inline(always)]
    fn set_course(&self, number: u32, course: Course) {
        if let Some(place) = place_of(number) {
            binding::set_course(place, course);
        }
    }

    #[inline(always)]
    fn claim(&self, number: u32, owner: Owner, wanted: Binding) -> bool {
        place_of(number).is_some_and(|place| binding::claim(place, owner, wanted))
    }

    #[inline(always)]
    fn find_owner(&self, bucket: u32, owner: Owner) -> Option<u32> {
        binding::find(BINDINGS_V4.get_ptr(bucket)?, owner)
    }

    #[inline(always)]
    fn vacancy(&self, bucket: u32, now: u32) -> u32 {
        subprogram::vacancy(bucket, now)
    }

    #[inline(always)]
    fn bind(&self, passenger: Passenger) -> Result<u32, Stop> {
        subprogram::bind(passenger)
    }

    #[inline(always)]
    fn open(&self, bearer: Bearer) -> Result<u32, Stop> {
        subprogram::open(bearer)
    }

    #[inline(always)]
    fn translate_both<F: Family, P: Packet>(
        &self,
        _: &mut P,
        link: &Link,
        ip: &Ip<F::Addr>,
        (backend, number): (u16, u32),
    ) -> Result<(), Stop> {
        subprogram::translate_both(self.context, Place::of(link, ip), backend, number)
    }

    #[inline(always)]
    fn reply_bound<F: Family, P: Packet>(
        &self,
        _: &mut P,
        link: &Link,
        ip: &Ip<F::Addr>,
        number: u32,
    ) -> Result<Back, NotBack> {
        subprogram::reply_bound(self.context, Place::of(link, ip), number)
    }

    #[inline(always)]
    fn sum_datagram<F: Family, P: Packet>(
        &self,
        _: &mut P,
        link: &Link,
        ip: &Ip<F::Addr>,
    ) -> Result<(), Stop> {
        subprogram::sum_datagram(self.context, Place::of(link, ip))
    }

    #[inline(always)]
    fn translate_46<F: Family, P: Packet>(
        &self,
        _: &mut P,
        link: &Link,
        ip: &Ip<F::Addr>,
        (backend, listener): (u16, u32),
    ) -> Result<(), Stop> {
        subprogram::translate_46(self.context, Place::of(link, ip), (backend, listener as u16))
    }

    #[inline(always)]
    fn translate_46_error<F: Family, P: Packet>(
        &self,
        _: &mut P,
        (backend, listener): (u16, u32),
    ) -> Result<(), Stop> {
        subprogram::translate_46_error(self.context, (backend, listener as u16))
    }

    #[inline(always)]
    fn reply_embedded<F: Family, P: Packet>(
        &self,
        _: &mut P,
        _: &Link,
        _: &Ip<F::Addr>,
        (listener, backend): (u16, u16),
    ) -> Result<Back, NotBack> {
        // By the program itself, see `subprogram::back`.
        Ok(Back { ifindex: EMBEDDED, listener, backend })
    }

    #[inline(always)]
    fn reply_embedded_error<F: Family, P: Packet>(
        &self,
        _: &mut P,
        (listener, backend): (u16, u16),
    ) -> Result<Back, NotBack> {
        Ok(Back { ifindex: EMBEDDED_ERROR, listener, backend })
    }

    #[inline(always)]
    fn count_answer(&self, listener: u16, backend: u16, resets: bool) {
        let listener = LISTENER_ANSWERS.get_ptr_mut(u32::from(listener));
        let backend = BACKEND_ANSWERS.get_ptr_mut(u32::from(backend));
        for answers in [listener, backend].into_iter().flatten() {
            // SAFETY: the element belongs to this CPU, and XDP programs are not preempted by each other on one CPU.
            unsafe { (*answers).add(resets) };
        }
    }

    #[inline(always)]
    fn count_reply(&self, listener: u16, backend: u16, bytes: u64) {
        count(&LISTENER_REPLIES, u32::from(listener), bytes);
        count(&BACKEND_REPLIES, u32::from(backend), bytes);
    }

    #[inline(always)]
    fn reply<F: Family, P: Packet>(
        &self,
        _: &mut P,
        link: &Link,
        ip: &Ip<F::Addr>,
        endpoint: u32,
    ) -> Result<Back, NotBack> {
        subprogram::reply::<F>(self.context, Place::of(link, ip), endpoint)
    }

    #[inline(always)]
    fn reply_error<F: Family, P: Packet>(&self, _: &mut P) -> Result<Back, NotBack> {
        subprogram::reply_error::<F>(self.context)
    }

    #[inline(always)]
    fn no_vip<F: Family, P: Packet>(
        &self,
        _: &mut P,
        link: &Link,
        ip: &Ip<F::Addr>,
        says: u32,
    ) -> Result<Back, NotBack> {
        subprogram::no_vip::<F>(self.context, Place::of(link, ip), says)
    }

    #[inline(always)]
    fn may_translate<F: Family, P: Packet>(
        &self,
        _: &P,
        link: &Link,
        ip: &Ip<F::Addr>,
        ids: (u16, u16),
    ) -> Result<(), Stop> {
        subprogram::may_translate::<F>(self.context, Place::of(link, ip), ids)
    }

    #[inline(always)]
    fn translate<F: Family, P: Packet>(
        &self,
        _: &mut P,
        link: &Link,
        ip: &Ip<F::Addr>,
        backend: u16,
    ) -> Result<(), Stop> {
        subprogram::translate::<F>(self.context, Place::of(link, ip), backend)
    }

    #[inline(always)]
    fn translate_error<F: Family, P: Packet>(&self, _: &mut P, backend: u16) -> Result<(), Stop> {
        subprogram::translate_error::<F>(self.context, backend)
    }

    #[inline(always)]
    fn passes<F: Family, P: Packet>(&self, _: &P, link: &Link, ip: &Ip<F::Addr>, how: u32) {
        subprogram::passes::<F>(self.context, Place::of(link, ip), how);
    }

    #[inline(always)]
    fn shares<F: Family, P: Packet>(
        &self,
        _: &P,
        link: &Link,
        ip: &Ip<F::Addr>,
        ids: (u16, u16),
    ) -> Result<(), Stop> {
        subprogram::shares::<F>(self.context, Place::of(link, ip), ids)
    }

    #[inline(always)]
    fn answers_probe<F: Family, P: Packet>(&self, _: &P, link: &Link, ip: &Ip<F::Addr>) -> bool {
        subprogram::answers_probe::<F>(self.context, Place::of(link, ip))
    }
}

#[inline(always)]
fn may_differ(bit: ClientBit) -> bool {
    CLIENT_ROUTE_BITS.get(bit.word()).is_some_and(|word| bit.is_in(*word))
}

/// Where the binding with this number lies.
#[inline(always)]
fn place_of(number: u32) -> Option<*mut Binding> {
    let bucket = BINDINGS_V4.get_ptr_mut(number / WAYS)?;
    // SAFETY: the remainder is less than the bindings of a bucket.
    Some(unsafe { (&raw mut (*bucket)).cast::<Binding>().add((number % WAYS) as usize) })
}
