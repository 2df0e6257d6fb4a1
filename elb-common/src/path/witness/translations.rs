//! The same of translation.

use super::super::bind::{Bearer, Passenger};
use super::super::reply::{Back, NotBack};
use super::super::subprogram::{self, Place};
use super::super::{Family, Ip, Link, Packet, Stop, Tables, Translations};
use super::{Asked, Note, Witness};
use crate::addr::{Be32, Be128};
use crate::binding::{Binding, Course, Owner};
use crate::client_hop::ClientHop;
use crate::exception::Exception;
use crate::flow::{FlowKeyV4, FlowKeyV6};
use crate::listener::{ListenerEndpoint, ListenerKeyV4, ListenerKeyV6};
use crate::reason::Reason;
use crate::reply::Reply;
use crate::snat::Snat;

impl<'t, T: Tables, N: Note<'t>> Translations for Witness<'t, '_, T, N> {
    #[inline(always)]
    fn may_be_member_v4(&self, address: Be32) -> bool {
        self.noted(self.tables.may_be_member_v4(address), |may| Asked::MayBeMemberV4(address, may))
    }
    #[inline(always)]
    fn may_be_member_v6(&self, address: Be128) -> bool {
        self.noted(self.tables.may_be_member_v6(address), |may| Asked::MayBeMemberV6(address, may))
    }
    #[inline(always)]
    fn reply_v4(&self, key: &ListenerKeyV4) -> Option<&Reply> {
        self.noted(self.tables.reply_v4(key), |answer| Asked::ReplyV4(*key, answer))
    }
    #[inline(always)]
    fn reply_v6(&self, key: &ListenerKeyV6) -> Option<&Reply> {
        self.noted(self.tables.reply_v6(key), |answer| Asked::ReplyV6(*key, answer))
    }
    #[inline(always)]
    fn exception_v4(&self, key: &FlowKeyV4) -> Option<Exception> {
        self.noted(self.tables.exception_v4(key), |found| Asked::ExceptionV4(*key, found))
    }
    #[inline(always)]
    fn exception_v6(&self, key: &FlowKeyV6) -> Option<Exception> {
        self.noted(self.tables.exception_v6(key), |found| Asked::ExceptionV6(*key, found))
    }
    #[inline(always)]
    fn except_v4(&self, key: &FlowKeyV4, exception: Exception) {
        self.tables.except_v4(key, exception);
        self.note.note(Asked::ExceptV4(*key, exception));
    }
    #[inline(always)]
    fn except_v6(&self, key: &FlowKeyV6, exception: Exception) {
        self.tables.except_v6(key, exception);
        self.note.note(Asked::ExceptV6(*key, exception));
    }
    #[inline(always)]
    fn is_excepted(&self, backend: u16) -> bool {
        self.noted(self.tables.is_excepted(backend), |is| Asked::IsExcepted(backend, is))
    }
    #[inline(always)]
    fn note_excepted(&self, backend: u16, now: u32) {
        self.tables.note_excepted(backend, now);
    }
    #[inline(always)]
    fn client_hop_v4(&self, client: Be32) -> Option<&ClientHop> {
        self.noted(self.tables.client_hop_v4(client), |hop| Asked::ClientHopV4(client, hop))
    }
    #[inline(always)]
    fn client_hop_v6(&self, client: Be128) -> Option<&ClientHop> {
        self.noted(self.tables.client_hop_v6(client), |hop| Asked::ClientHopV6(client, hop))
    }
    #[inline(always)]
    fn snat(&self) -> Option<&Snat> {
        self.noted(self.tables.snat(), Asked::Snat)
    }
    #[inline(always)]
    fn endpoint(&self, listener: u16) -> Option<&ListenerEndpoint> {
        self.noted(self.tables.endpoint(listener), |known| Asked::Endpoint(listener, known))
    }
    #[inline(always)]
    fn binding(&self, number: u32) -> Option<Binding> {
        self.noted(self.tables.binding(number), |found| Asked::Binding(number, found))
    }
    #[inline(always)]
    fn set_course(&self, number: u32, course: Course) {
        self.tables.set_course(number, course);
        self.note.note(Asked::SetCourse(number, course));
    }
    #[inline(always)]
    fn claim(&self, number: u32, owner: Owner, binding: Binding) -> bool {
        let is_its = self.tables.claim(number, owner, binding);
        self.noted(is_its, |is_its| Asked::Claim(number, binding, is_its))
    }
    #[inline(always)]
    fn find_owner(&self, bucket: u32, owner: Owner) -> Option<u32> {
        self.tables.find_owner(bucket, owner)
    }
    #[inline(always)]
    fn vacancy(&self, bucket: u32, now: u32) -> u32 {
        self.tables.vacancy(bucket, now)
    }
    #[inline(always)]
    fn bind(&self, passenger: Passenger) -> Result<u32, Stop> {
        if N::SUBPROGRAMS { subprogram::bind(self, passenger) } else { self.tables.bind(passenger) }
    }
    #[inline(always)]
    fn open(&self, bearer: Bearer) -> Result<u32, Stop> {
        if N::SUBPROGRAMS { subprogram::open(self, bearer) } else { self.tables.open(bearer) }
    }
    #[inline(always)]
    fn translate_both<F: Family, P: Packet>(
        &self,
        packet: &mut P,
        link: &Link,
        ip: &Ip<F::Addr>,
        (backend, number): (u16, u32),
    ) -> Result<(), Stop> {
        if N::SUBPROGRAMS {
            let place = Place::of(link, ip);
            subprogram::translate_both::<P, Self>(packet, self, place, backend, number)
        } else {
            self.tables.translate_both::<F, P>(packet, link, ip, (backend, number))
        }
    }
    #[inline(always)]
    fn reply_bound<F: Family, P: Packet>(
        &self,
        packet: &mut P,
        link: &Link,
        ip: &Ip<F::Addr>,
        number: u32,
    ) -> Result<Back, NotBack> {
        if N::SUBPROGRAMS {
            subprogram::reply_bound::<P, Self>(packet, self, Place::of(link, ip), number)
        } else {
            self.tables.reply_bound::<F, P>(packet, link, ip, number)
        }
    }
    #[inline(always)]
    fn sum_datagram<F: Family, P: Packet>(
        &self,
        packet: &mut P,
        link: &Link,
        ip: &Ip<F::Addr>,
    ) -> Result<(), Stop> {
        self.tables.sum_datagram::<F, P>(packet, link, ip)
    }
    #[inline(always)]
    fn translate_46<F: Family, P: Packet>(
        &self,
        packet: &mut P,
        link: &Link,
        ip: &Ip<F::Addr>,
        (backend, listener): (u16, u32),
    ) -> Result<(), Stop> {
        if N::SUBPROGRAMS {
            let place = Place::of(link, ip);
            subprogram::translate_46::<P, Self>(packet, self, place, backend, listener as u16)
        } else {
            self.tables.translate_46::<F, P>(packet, link, ip, (backend, listener))
        }
    }
    #[inline(always)]
    fn translate_46_error<F: Family, P: Packet>(
        &self,
        packet: &mut P,
        (backend, listener): (u16, u32),
    ) -> Result<(), Stop> {
        if N::SUBPROGRAMS {
            subprogram::translate_46_error::<P, Self>(packet, self, backend, listener as u16)
        } else {
            self.tables.translate_46_error::<F, P>(packet, (backend, listener))
        }
    }
    #[inline(always)]
    fn reply_embedded<F: Family, P: Packet>(
        &self,
        packet: &mut P,
        link: &Link,
        ip: &Ip<F::Addr>,
        ids: (u16, u16),
    ) -> Result<Back, NotBack> {
        if N::SUBPROGRAMS {
            subprogram::reply_embedded::<P, Self>(packet, self, Place::of(link, ip), ids)
        } else {
            self.tables.reply_embedded::<F, P>(packet, link, ip, ids)
        }
    }
    #[inline(always)]
    fn reply_embedded_error<F: Family, P: Packet>(
        &self,
        packet: &mut P,
        ids: (u16, u16),
    ) -> Result<Back, NotBack> {
        if N::SUBPROGRAMS {
            subprogram::reply_embedded_error::<P, Self>(packet, self, ids)
        } else {
            self.tables.reply_embedded_error::<F, P>(packet, ids)
        }
    }
    #[inline(always)]
    fn reply<F: Family, P: Packet>(
        &self,
        packet: &mut P,
        link: &Link,
        ip: &Ip<F::Addr>,
        endpoint: u32,
    ) -> Result<Back, NotBack> {
        if N::SUBPROGRAMS {
            subprogram::reply::<F, P, Self>(packet, self, Place::of(link, ip), endpoint)
        } else {
            self.tables.reply::<F, P>(packet, link, ip, endpoint)
        }
    }
    #[inline(always)]
    fn reply_error<F: Family, P: Packet>(&self, packet: &mut P) -> Result<Back, NotBack> {
        if N::SUBPROGRAMS {
            subprogram::reply_error::<F, P, Self>(packet, self)
        } else {
            self.tables.reply_error::<F, P>(packet)
        }
    }
    #[inline(always)]
    fn no_vip<F: Family, P: Packet>(
        &self,
        packet: &mut P,
        link: &Link,
        ip: &Ip<F::Addr>,
        says: u32,
    ) -> Result<Back, NotBack> {
        self.tables.no_vip::<F, P>(packet, link, ip, says)
    }
    #[inline(always)]
    fn may_translate<F: Family, P: Packet>(
        &self,
        packet: &P,
        link: &Link,
        ip: &Ip<F::Addr>,
        ids: (u16, u16),
    ) -> Result<(), Stop> {
        self.tables.may_translate::<F, P>(packet, link, ip, ids)
    }
    #[inline(always)]
    fn translate<F: Family, P: Packet>(
        &self,
        packet: &mut P,
        link: &Link,
        ip: &Ip<F::Addr>,
        backend: u16,
    ) -> Result<(), Stop> {
        self.tables.translate::<F, P>(packet, link, ip, backend)
    }
    #[inline(always)]
    fn turned_back<F: Family, P: Packet>(&self, packet: &mut P, not_back: NotBack) -> Reason {
        if N::SUBPROGRAMS {
            match (not_back.refusal(), not_back) {
                (Some(refusal), _) => subprogram::refuse::<F, P, Self>(packet, self, refusal),
                (None, NotBack { reason, mtu: 0 }) => reason,
                (None, NotBack { mtu, .. }) => subprogram::too_big::<F, P, Self>(packet, self, mtu),
            }
        } else {
            self.tables.turned_back::<F, P>(packet, not_back)
        }
    }
    #[inline(always)]
    fn translate_error<F: Family, P: Packet>(
        &self,
        packet: &mut P,
        backend: u16,
    ) -> Result<(), Stop> {
        if N::SUBPROGRAMS {
            subprogram::translate_error::<F, P, Self>(packet, self, backend)
        } else {
            self.tables.translate_error::<F, P>(packet, backend)
        }
    }
    #[inline(always)]
    fn passes<F: Family, P: Packet>(&self, packet: &P, link: &Link, ip: &Ip<F::Addr>, how: u32) {
        if N::SUBPROGRAMS {
            subprogram::passes::<F, P, Self>(packet, self, Place::of(link, ip), how);
        } else {
            self.tables.passes::<F, P>(packet, link, ip, how);
        }
    }
    #[inline(always)]
    fn shares<F: Family, P: Packet>(
        &self,
        packet: &P,
        link: &Link,
        ip: &Ip<F::Addr>,
        ids: (u16, u16),
    ) -> Result<(), Stop> {
        if N::SUBPROGRAMS {
            subprogram::shares::<F, P, Self>(packet, self, Place::of(link, ip), ids)
        } else {
            self.tables.shares::<F, P>(packet, link, ip, ids)
        }
    }
    #[inline(always)]
    fn answers_probe<F: Family, P: Packet>(
        &self,
        packet: &P,
        link: &Link,
        ip: &Ip<F::Addr>,
    ) -> bool {
        if N::SUBPROGRAMS {
            subprogram::answers_probe::<F, P, Self>(packet, self, Place::of(link, ip))
        } else {
            self.tables.answers_probe::<F, P>(packet, link, ip)
        }
    }
    #[inline(always)]
    fn count_answer(&self, listener: u16, backend: u16, resets: bool) {
        self.tables.count_answer(listener, backend, resets);
        self.note.note(Asked::CountAnswer(listener, backend, resets));
    }
    #[inline(always)]
    fn count_reply(&self, listener: u16, backend: u16, bytes: u64) {
        self.tables.count_reply(listener, backend, bytes);
        self.note.note(Asked::CountReply(listener, backend));
    }
}
