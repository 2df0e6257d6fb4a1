//! The same of translation.

use super::super::Translations;
use super::{Memory, longest};
use crate::addr::{Be32, Be128};
use crate::binding::{Binding, Course, Owner};
use crate::client_hop::ClientHop;
use crate::exception::Exception;
use crate::flow::{FlowKeyV4, FlowKeyV6};
use crate::limits::EXCEPTION_LIFETIME;
use crate::listener::{ListenerEndpoint, ListenerKeyV4, ListenerKeyV6};
use crate::reply::Reply;
use crate::snat::Snat;
use crate::vip_bits::VipBit;

impl Translations for Memory {
    fn may_be_member_v4(&self, address: Be32) -> bool {
        let bit = |key: &ListenerKeyV4| VipBit::v4(key.address());
        self.replies_v4.keys().any(|key| bit(key) == VipBit::v4(address))
    }
    fn may_be_member_v6(&self, address: Be128) -> bool {
        let bit = |key: &ListenerKeyV6| VipBit::v6(key.address());
        self.replies_v6.keys().any(|key| bit(key) == VipBit::v6(address))
    }
    fn reply_v4(&self, key: &ListenerKeyV4) -> Option<&Reply> {
        self.replies_v4.get(key)
    }
    fn reply_v6(&self, key: &ListenerKeyV6) -> Option<&Reply> {
        self.replies_v6.get(key)
    }
    fn exception_v4(&self, key: &FlowKeyV4) -> Option<Exception> {
        self.written.borrow().exceptions_v4.get(key).copied()
    }
    fn exception_v6(&self, key: &FlowKeyV6) -> Option<Exception> {
        self.written.borrow().exceptions_v6.get(key).copied()
    }
    fn except_v4(&self, key: &FlowKeyV4, exception: Exception) {
        self.written.borrow_mut().exceptions_v4.insert(*key, exception);
    }
    fn except_v6(&self, key: &FlowKeyV6, exception: Exception) {
        self.written.borrow_mut().exceptions_v6.insert(*key, exception);
    }
    fn is_excepted(&self, backend: u16) -> bool {
        self.written.borrow().excepted.get(&backend).is_some_and(|until| self.now < *until)
    }
    fn note_excepted(&self, backend: u16, now: u32) {
        self.written.borrow_mut().excepted.insert(backend, now + EXCEPTION_LIFETIME);
    }
    fn client_hop_v4(&self, client: Be32) -> Option<&ClientHop> {
        longest(&self.client_routes_v4, &client).or(self.client_defaults.first())
    }
    fn client_hop_v6(&self, client: Be128) -> Option<&ClientHop> {
        longest(&self.client_routes_v6, &client).or(self.client_defaults.last())
    }
    fn snat(&self) -> Option<&Snat> {
        self.snat.as_ref()
    }
    fn endpoint(&self, listener: u16) -> Option<&ListenerEndpoint> {
        self.endpoints.get(&listener)
    }
    fn binding(&self, number: u32) -> Option<Binding> {
        let snat = self.snat.filter(|snat| number >> 16 < snat.addresses)?;
        debug_assert!(snat.holds(snat.address(number)));
        Some(self.written.borrow().bindings.get(&number).copied().unwrap_or_default())
    }
    fn set_course(&self, number: u32, course: Course) {
        self.written.borrow_mut().bindings.entry(number).or_default().course = course;
    }
    fn claim(&self, number: u32, owner: Owner, binding: Binding) -> bool {
        let mut written = self.written.borrow_mut();
        let place = written.bindings.entry(number).or_default();
        let is_its = place.owner == owner;
        if is_its {
            *place = binding;
        }
        is_its
    }
    fn count_answer(&self, listener: u16, backend: u16, resets: bool) {
        let mut written = self.written.borrow_mut();
        written.listener_answers.entry(listener).or_default().add(resets);
        written.backend_answers.entry(backend).or_default().add(resets);
    }
    fn count_reply(&self, listener: u16, backend: u16, bytes: u64) {
        let mut written = self.written.borrow_mut();
        written.listener_replies.entry(listener).or_default().add(bytes);
        written.backend_replies.entry(backend).or_default().add(bytes);
    }
}
