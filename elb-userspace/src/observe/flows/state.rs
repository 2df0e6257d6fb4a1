//! What a record of a flow is worth: whether packets go by it, and whether the flow lives.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;

use elb_common::flow::Flow;
use elb_common::listener::{Listener, ListenerPool, NO_POOL, listener_flags};
use elb_common::path::{Family, V4, V6};
use elb_common::pool::Pool;
use elb_common::ring::Slot;
use elb_common::sweep::{self, Fate, Sweep};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Key;
use crate::control::plan::Image;

/// The state of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FlowState {
    /// Its flow lives.
    Open,
    /// Its slot is settled: packets do not look at it any more, so whether its flow lives is not known.
    Settled,
    /// Its client closed the connection.
    Closed,
    /// An operator cut the connection; its client has not opened another from the same port.
    Cut,
    /// Its member serves no flows any more.
    MemberGone,
    /// It was silent for the idle timeout, or its listener is gone or serves another pool.
    Over,
}

impl FlowState {
    /// Whether its flow is over.
    pub const fn has_ended(self) -> bool {
        !matches!(self, Self::Open | Self::Settled)
    }

    /// For people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Settled => "settled",
            Self::Closed => "closed",
            Self::Cut => "cut",
            Self::MemberGone => "member gone",
            Self::Over => "over",
        }
    }
}

/// How many records are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "the states")]
pub struct FlowCounts {
    pub open: u64,
    pub settled: u64,
    pub closed: u64,
    pub cut: u64,
    pub member_gone: u64,
    pub over: u64,
}

impl FlowCounts {
    /// One more.
    pub const fn add(&mut self, state: FlowState) {
        *match state {
            FlowState::Open => &mut self.open,
            FlowState::Settled => &mut self.settled,
            FlowState::Closed => &mut self.closed,
            FlowState::Cut => &mut self.cut,
            FlowState::MemberGone => &mut self.member_gone,
            FlowState::Over => &mut self.over,
        } += 1;
    }

    /// All of them.
    pub const fn all(&self) -> u64 {
        self.open + self.settled + self.closed + self.cut + self.member_gone + self.over
    }
}

impl AddAssign for FlowCounts {
    fn add_assign(&mut self, other: Self) {
        self.open += other.open;
        self.settled += other.settled;
        self.closed += other.closed;
        self.cut += other.cut;
        self.member_gone += other.member_gone;
        self.over += other.over;
    }
}

/// What decides about records, as the maps have it.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    listeners: BTreeMap<u16, ListenerPool>,
    pools: BTreeMap<u16, Pool>,
    /// Backends that serve flows that they have.
    serving: BTreeSet<u16>,
    /// Listeners whose packets look for a record on settled slots, too.
    recording: BTreeSet<u16>,
}

impl Terms {
    /// Those of the maps.
    pub fn new(image: &Image) -> Self {
        let recording = |listener: &&Listener| {
            const RECORDED: u16 = listener_flags::TRACKED | listener_flags::MOVED;
            let former = image.pools.get(&listener.pool).is_some_and(|pool| pool.former.size != 0);
            listener.flags & RECORDED != 0 || listener.former_pool != NO_POOL || former
        };
        let listeners = image.listeners.values().chain(image.ranges.values());
        let serving = image.backends.iter().filter(|(_, backend)| backend.serves_established());
        Self {
            listeners: image.listener_pools.clone(),
            pools: image.pools.clone(),
            serving: serving.map(|(id, _)| *id).collect(),
            recording: listeners.filter(recording).map(|listener| listener.id).collect(),
        }
    }

    /// Pools of the listeners whose packets look for a record on slots only that are not settled.
    pub fn settling(&self) -> impl Iterator<Item = (u16, &Pool)> {
        let plain = self
            .listeners
            .iter()
            .filter(|(id, listener)| listener.exists() && !self.recording.contains(id));
        plain.filter_map(|(id, listener)| Some((*id, self.pools.get(&listener.pool)?)))
    }

    /// The state of a record at the second `now`.
    pub fn state(
        &self,
        key: &Key,
        flow: &Flow,
        now: u32,
        slot: impl Fn(u32) -> Option<Slot>,
    ) -> FlowState {
        match key {
            Key::V4(key) => self.judge::<V4>(key, flow, now, slot),
            Key::V6(key) => self.judge::<V6>(key, flow, now, slot),
        }
    }

    fn judge<F: Family>(
        &self,
        key: &F::FlowKey,
        flow: &Flow,
        now: u32,
        slot: impl Fn(u32) -> Option<Slot>,
    ) -> FlowState {
        let listener = self.listeners.get(&flow.listener).copied().unwrap_or_default();
        let Some(pool) = self.pools.get(&listener.pool).filter(|_| listener.exists()) else {
            return FlowState::Over;
        };
        let sweep = Sweep { now, closed_for: u32::MAX, ..Sweep::default() };
        let stage = elb_common::flow::Stage::Live;
        if sweep::fate::<F>(&sweep, stage, key, flow, listener, pool) == Fate::Over {
            return FlowState::Over;
        }
        if !self.serving.contains(&flow.backend) {
            return FlowState::MemberGone;
        }
        let is_settled = || slot(sweep::place::<F>(key, &pool.ring)).is_some_and(Slot::is_settled);
        if flow.is_cut() {
            FlowState::Cut
        } else if flow.is_closed() {
            FlowState::Closed
        } else if !self.recording.contains(&flow.listener) && is_settled() {
            FlowState::Settled
        } else {
            FlowState::Open
        }
    }
}

#[cfg(test)]
mod tests {
    use elb_common::backend::{Backend, backend_flags};
    use elb_common::flow::flow_flags;
    use elb_common::listener::listener_pool_flags::EXISTS;
    use elb_common::pool::Ring;

    use super::*;
    use crate::control::plan::ListenerKey;

    const LISTENER: u16 = 4;

    fn terms(flags: u16) -> Terms {
        let mut image = Image::default();
        let ring = Ring { size: 1, ..Ring::default() };
        image.pools.insert(2, Pool { idle_timeout: 300, ring, ..Pool::default() });
        image.listener_pools.insert(LISTENER, ListenerPool { pool: 2, flags: EXISTS });
        let backend = Backend { flags: backend_flags::ESTABLISHED, ..Backend::default() };
        image.backends.extend([(7, backend), (8, Backend::default())]);
        let key = ListenerKey { address: [192, 0, 2, 10].into(), port: 80, protocol: 6 };
        let listener =
            Listener { id: LISTENER, pool: 2, flags, former_pool: NO_POOL, ..Listener::default() };
        image.listeners.insert(key, listener);
        Terms::new(&image)
    }

    fn state(flags: u16, slot: Slot, change: impl FnOnce(&mut Flow)) -> FlowState {
        let mut flow =
            Flow { backend: 7, pool: 2, listener: LISTENER, flags: 0, seen: 990, since: 9 };
        change(&mut flow);
        let [client, vip] = ["198.51.100.7:1", "192.0.2.10:80"].map(|text| text.parse().unwrap());
        terms(flags).state(&Key::new(client, vip, 6), &flow, 1000, |_| Some(slot))
    }

    #[test]
    fn a_record_has_one_state() {
        let moving = Slot::new(7, 8);
        assert_eq!(state(0, moving, |_| {}), FlowState::Open);
        assert_eq!(state(0, moving, |flow| flow.flags = flow_flags::CLOSED), FlowState::Closed);
        let cut = flow_flags::CLOSED | flow_flags::CUT;
        assert_eq!(state(0, moving, |flow| flow.flags = cut), FlowState::Cut);
        assert_eq!(state(0, moving, |flow| flow.backend = 8), FlowState::MemberGone);
        assert_eq!(state(0, moving, |flow| flow.backend = 99), FlowState::MemberGone);
        assert_eq!(state(0, moving, |flow| flow.seen = 600), FlowState::Over);
        assert_eq!(state(0, moving, |flow| flow.listener = 5), FlowState::Over);
        assert_eq!(state(0, moving, |flow| flow.pool = 3), FlowState::Over);
    }

    #[test]
    fn on_a_settled_slot_no_packet_looks_at_a_record_unless_all_are_recorded() {
        let settled = Slot::new(7, 0);
        assert_eq!(state(0, settled, |_| {}), FlowState::Settled);
        assert_eq!(state(listener_flags::TRACKED, settled, |_| {}), FlowState::Open);
        assert_eq!(state(listener_flags::MOVED, settled, |_| {}), FlowState::Open);
        assert_eq!(state(0, Slot::excepting(7), |_| {}), FlowState::Open);
    }

    #[test]
    fn every_state_is_counted() {
        let mut counts = FlowCounts::default();
        let all = [
            FlowState::Open,
            FlowState::Settled,
            FlowState::Closed,
            FlowState::Cut,
            FlowState::MemberGone,
            FlowState::Over,
        ];
        all.into_iter().for_each(|state| counts.add(state));
        assert_eq!(counts.all(), 6);
        counts += counts;
        assert_eq!((counts.cut, counts.all()), (2, 12));
        assert_eq!(all.into_iter().filter(|state| state.has_ended()).count(), 4);
    }
}
