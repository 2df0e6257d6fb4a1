//! The same of translation.

use aya::maps::lpm_trie::Key;
use elb_common::addr::{Be32, Be128};
use elb_common::binding::{Binding, Course, Owner};
use elb_common::client_hop::ClientHop;
use elb_common::exception::Exception;
use elb_common::flow::{FlowKeyV4, FlowKeyV6};
use elb_common::listener::{ListenerEndpoint, ListenerKeyV4, ListenerKeyV6};
use elb_common::names;
use elb_common::path::Translations;
use elb_common::reply::Reply;
use elb_common::snat::{Snat, WAYS};
use elb_common::vip_bits::VipBit;

use super::super::Record;
use super::Live;

impl Translations for Live<'_> {
    fn may_be_member_v4(&self, address: Be32) -> bool {
        self.is_member(VipBit::v4(address))
    }
    fn may_be_member_v6(&self, address: Be128) -> bool {
        self.is_member(VipBit::v6(address))
    }
    fn reply_v4(&self, key: &ListenerKeyV4) -> Option<&Reply> {
        let found = self.maps.lookups.replies_v4.get(&Record(*key), 0);
        self.read(names::REPLIES_V4, found).map(|found| self.replies.keep(found.0))
    }
    fn reply_v6(&self, key: &ListenerKeyV6) -> Option<&Reply> {
        let found = self.maps.lookups.replies_v6.get(&Record(*key), 0);
        self.read(names::REPLIES_V6, found).map(|found| self.replies.keep(found.0))
    }
    fn exception_v4(&self, key: &FlowKeyV4) -> Option<Exception> {
        let found = self.maps.lookups.exceptions_v4.get(&Record(*key), 0);
        let found = self.read(names::EXCEPTIONS_V4, found).map(|found| found.0);
        self.bring(|written| &mut written.exceptions_v4, *key, found);
        self.scratch.exception_v4(key)
    }
    fn exception_v6(&self, key: &FlowKeyV6) -> Option<Exception> {
        let found = self.maps.lookups.exceptions_v6.get(&Record(*key), 0);
        let found = self.read(names::EXCEPTIONS_V6, found).map(|found| found.0);
        self.bring(|written| &mut written.exceptions_v6, *key, found);
        self.scratch.exception_v6(key)
    }
    fn except_v4(&self, key: &FlowKeyV4, exception: Exception) {
        self.scratch.except_v4(key, exception);
    }
    fn except_v6(&self, key: &FlowKeyV6, exception: Exception) {
        self.scratch.except_v6(key, exception);
    }
    fn is_excepted(&self, backend: u16) -> bool {
        let found = self.maps.lookups.excepted.get(&u32::from(backend), 0);
        let found = self.read(names::EXCEPTED, found);
        self.bring(|written| &mut written.excepted, backend, found);
        self.scratch.is_excepted(backend)
    }
    fn note_excepted(&self, backend: u16, now: u32) {
        self.scratch.note_excepted(backend, now);
    }
    // The bits of `CLIENT_ROUTE_BITS` only save looks: the tries answer the same without them.
    fn client_hop_v4(&self, client: Be32) -> Option<&ClientHop> {
        let key = Key::new(32, Record(client.raw()));
        let found = self.maps.lookups.client_routes_v4.get(&key, 0);
        let other = self.read(names::CLIENT_ROUTES_V4, found);
        other.map(|found| self.hops.keep(found.0)).or_else(|| self.client_default(0))
    }
    fn client_hop_v6(&self, client: Be128) -> Option<&ClientHop> {
        let key = Key::new(128, Record(client.words()));
        let found = self.maps.lookups.client_routes_v6.get(&key, 0);
        let other = self.read(names::CLIENT_ROUTES_V6, found);
        other.map(|found| self.hops.keep(found.0)).or_else(|| self.client_default(1))
    }
    fn snat(&self) -> Option<&Snat> {
        let found = self.read(names::SNAT, self.maps.lookups.snat.get(&0, 0))?.0;
        (found.addresses != 0).then(|| self.snat.keep(found))
    }
    fn endpoint(&self, listener: u16) -> Option<&ListenerEndpoint> {
        let found = self.maps.lookups.endpoints.get(&u32::from(listener), 0);
        self.read(names::LISTENER_ENDPOINTS, found).map(|found| self.endpoints.keep(found.0))
    }
    fn binding(&self, number: u32) -> Option<Binding> {
        let found = self.maps.lookups.bindings_v4.get(&(number / WAYS), 0);
        let found = self.read(names::BINDINGS_V4, found)?.0[(number % WAYS) as usize];
        self.bring(|written| &mut written.bindings, number, Some(found));
        self.scratch.written.borrow().bindings.get(&number).copied()
    }
    fn set_course(&self, number: u32, course: Course) {
        self.scratch.set_course(number, course);
    }
    fn claim(&self, number: u32, owner: Owner, binding: Binding) -> bool {
        self.scratch.claim(number, owner, binding)
    }
    fn count_answer(&self, listener: u16, backend: u16, resets: bool) {
        self.scratch.count_answer(listener, backend, resets);
    }
    fn count_reply(&self, listener: u16, backend: u16, bytes: u64) {
        self.scratch.count_reply(listener, backend, bytes);
    }
}
