//! The maps of what members' endpoints stand for whose answers are translated, and of what came back from there.

use aya::Ebpf;
use aya::maps::{Array, MapData, PerCpuArray};
use elb_common::counter::{Answers, Counter};
use elb_common::listener::{ListenerKeyV4, ListenerKeyV6};
use elb_common::names;
use elb_common::reply::Reply;
use elb_common::vip_bits::VIP_WORDS;

use super::keys::{Key, key_of_v4, key_of_v6, record_key};
use super::reads::total;
use super::writes::reset;
use super::{MapCounters, MapError, MapHash, at, take};
use crate::control::plan::{Image, ListenerKey};
use crate::kernel::bpf::record::Record;

/// `REPLIES_V4`, `REPLIES_V6`, `MEMBER_BITS`, and what is counted of the answers.
pub(super) struct ReplyMaps {
    v4: MapHash<ListenerKeyV4, Reply>,
    v6: MapHash<ListenerKeyV6, Reply>,
    bits: Array<MapData, u64>,
    excepted: Array<MapData, u32>,
    of_listeners: MapCounters,
    of_backends: MapCounters,
    answers_of_listeners: MapAnswers,
    answers_of_backends: MapAnswers,
}

type MapAnswers = PerCpuArray<MapData, Record<Answers>>;

impl ReplyMaps {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, MapError> {
        Ok(Self {
            v4: take(ebpf, names::REPLIES_V4)?,
            v6: take(ebpf, names::REPLIES_V6)?,
            bits: take(ebpf, names::MEMBER_BITS)?,
            excepted: take(ebpf, names::EXCEPTED)?,
            of_listeners: take(ebpf, names::LISTENER_REPLIES)?,
            of_backends: take(ebpf, names::BACKEND_REPLIES)?,
            answers_of_listeners: take(ebpf, names::LISTENER_ANSWERS)?,
            answers_of_backends: take(ebpf, names::BACKEND_ANSWERS)?,
        })
    }

    /// Adds what they hold to an image.
    pub(super) fn read(&self, image: &mut Image) -> Result<(), MapError> {
        for entry in self.v4.iter() {
            let (key, reply) = entry.map_err(at(names::REPLIES_V4))?;
            image.replies.insert(key_of_v4(key.0), reply.0);
        }
        for entry in self.v6.iter() {
            let (key, reply) = entry.map_err(at(names::REPLIES_V6))?;
            image.replies.insert(key_of_v6(key.0), reply.0);
        }
        for index in 0..VIP_WORDS {
            let word = self.bits.get(&index, 0).map_err(at(names::MEMBER_BITS))?;
            if word != 0 {
                image.member_bits.insert(index, word);
            }
        }
        Ok(())
    }

    pub(super) fn put(&mut self, key: &ListenerKey, reply: &Reply) -> Result<(), MapError> {
        let reply = Record(*reply);
        match record_key(key) {
            Key::V4(key) => self.v4.insert(Record(key), reply, 0).map_err(at(names::REPLIES_V4)),
            Key::V6(key) => self.v6.insert(Record(key), reply, 0).map_err(at(names::REPLIES_V6)),
        }
    }

    pub(super) fn remove(&mut self, key: &ListenerKey) -> Result<(), MapError> {
        match record_key(key) {
            Key::V4(key) => self.v4.remove(&Record(key)).map_err(at(names::REPLIES_V4)),
            Key::V6(key) => self.v6.remove(&Record(key)).map_err(at(names::REPLIES_V6)),
        }
    }

    pub(super) fn put_bits(&mut self, index: u32, word: u64) -> Result<(), MapError> {
        self.bits.set(index, word, 0).map_err(at(names::MEMBER_BITS))
    }

    /// What was translated back for a listener.
    pub(super) fn of_listener(&self, id: u16) -> Result<Counter, MapError> {
        total(&self.of_listeners, id.into()).map_err(at(names::LISTENER_REPLIES))
    }

    /// What a backend answered.
    pub(super) fn of_backend(&self, id: u16) -> Result<Counter, MapError> {
        total(&self.of_backends, id.into()).map_err(at(names::BACKEND_REPLIES))
    }

    /// What these said of TCP connections.
    pub(super) fn answers_of_listener(&self, id: u16) -> Result<Answers, MapError> {
        total(&self.answers_of_listeners, id.into()).map_err(at(names::LISTENER_ANSWERS))
    }

    /// The same of a backend.
    pub(super) fn answers_of_backend(&self, id: u16) -> Result<Answers, MapError> {
        total(&self.answers_of_backends, id.into()).map_err(at(names::BACKEND_ANSWERS))
    }

    /// Begins to count anew for a listener.
    pub(super) fn reset_listener(&mut self, id: u16) -> Result<(), MapError> {
        reset(&mut self.of_listeners, id).map_err(at(names::LISTENER_REPLIES))?;
        reset(&mut self.answers_of_listeners, id).map_err(at(names::LISTENER_ANSWERS))
    }

    /// Begins anew for a backend, whose number was another's, which may have had exceptions.
    pub(super) fn reset_backend(&mut self, id: u16) -> Result<(), MapError> {
        reset(&mut self.of_backends, id).map_err(at(names::BACKEND_REPLIES))?;
        reset(&mut self.answers_of_backends, id).map_err(at(names::BACKEND_ANSWERS))?;
        self.excepted.set(id.into(), 0, 0).map_err(at(names::EXCEPTED))
    }
}
