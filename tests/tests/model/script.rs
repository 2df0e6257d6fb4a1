//! Scripts: what is wanted of two pools and two listeners, how that changes, and what else happens.

use std::collections::BTreeMap;
use std::fmt;

use elb_userspace::model::{Forwarding, LbAlgorithm, Protocol};
use proptest::prelude::*;

/// Members of each pool. They are called 1 to 4 in the first and 5 to 8 in the second; so ends their
/// address.
pub const MEMBERS: u8 = 4;
/// Flows are called 1 to this; the even ones go to the second listener. Each is of a client of its own, but the last two
/// are of one port of the same: a member that serves both listeners at one endpoint could not tell them apart.
pub const FLOWS: u8 = 6;
/// Pools, and listeners.
pub const POOLS: usize = 2;

/// What is wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub protocol: Protocol,
    /// Records that the flow table has room for.
    pub room: u32,
    pub pools: [Pool; POOLS],
    pub listeners: [Listener; POOLS],
}

/// A pool, and how its members are.
#[derive(Clone, Debug)]
pub struct Pool {
    pub algorithm: LbAlgorithm,
    pub forwarding: Forwarding,
    /// It remembers its clients for [`REMEMBERED_FOR`], where it records every flow.
    pub remembers: bool,
    /// Its ring has the second size, not the first.
    pub large: bool,
    /// It has its other name.
    pub renamed: bool,
    pub members: BTreeMap<u8, Member>,
    /// Flows of unhealthy members go to others.
    pub rehash: bool,
    /// Backup members take new flows while fewer of the others can.
    pub backup_below: u32,
    /// `connection_drain`, in seconds as the next.
    pub drain: Option<u32>,
    pub udp_hold: u32,
    /// `slow_start`, where that is possible.
    pub slow_start: u32,
    /// It is in the configuration.
    pub present: bool,
}

#[derive(Clone, Copy, Debug)]
pub struct Member {
    pub weight: u32,
    pub sick: bool,
    /// By command.
    pub drained: bool,
    /// It stands in for the others of its pool.
    pub backup: bool,
    /// Connections that it may have, where its pool counts them; 0: any number.
    pub most: u32,
}

#[derive(Clone, Copy, Debug)]
pub struct Listener {
    /// The pool that serves it.
    pub pool: usize,
    /// Its default pool.
    pub own: usize,
    /// The other pool takes over while fewer members of its own than this take new flows.
    pub fallback_below: Option<u32>,
    /// `keepalive_timeout` in seconds.
    pub idle: u32,
}

impl Member {
    pub const NEW: Self = Self { weight: 1, sick: false, drained: false, backup: false, most: 0 };
}

impl Listener {
    /// Served by its default pool alone.
    pub const fn of(pool: usize, idle: u32) -> Self {
        Self { pool, own: pool, fallback_below: None, idle }
    }

    /// The pool that may take over.
    pub const fn other(&self) -> usize {
        (self.own + 1) % POOLS
    }
}

/// The pool that a member belongs to.
pub fn pool_of(member: u8) -> usize {
    usize::from((member - 1) / MEMBERS)
}

/// Seconds without a packet for which pools remember clients.
pub const REMEMBERED_FOR: u32 = 15;

/// Bits that tell clients apart: each flow has an address of its own.
pub const CLIENT_BITS: u32 = 30;

/// The client of a flow, by these bits.
pub fn client_of(flow: u8) -> u8 {
    flow >> (32 - CLIENT_BITS)
}

/// The listener whose address and port a flow is sent to.
pub fn listener_of(flow: u8) -> usize {
    usize::from(flow + 1) % POOLS
}

/// The flow of the same client's port at the other listener.
pub fn twin_of(flow: u8) -> Option<u8> {
    match flow {
        5 => Some(6),
        6 => Some(5),
        _ => None,
    }
}

#[derive(Clone, Copy, Debug)]
pub enum Change {
    Add(u8),
    Remove(u8),
    /// A member gets the address of another of its pool.
    Readdress(u8, u8),
    Weigh(u8, u32),
    Fail(u8),
    Recover(u8),
    Drain(u8),
    Undrain(u8),
    Backup(u8, bool),
    /// A member may have so many connections.
    Limit(u8, u32),
    BackupBelow(usize, u32),
    SlowStart(usize, u32),
    Algorithm(usize, LbAlgorithm),
    Remember(usize, bool),
    Large(usize, bool),
    /// A pool gets its other name.
    Rename(usize),
    Rehash(usize, bool),
    ConnectionDrain(usize, Option<u32>),
    /// A pool that no listener serves comes or goes.
    Present(usize, bool),
    /// A listener goes to a pool.
    Serve(usize, usize),
    /// The other pool takes a listener over below so many members, or does not.
    Fallback(usize, Option<u32>),
    /// A listener gets another idle timeout.
    Idle(usize, u32),
}

#[derive(Clone, Copy, Debug)]
pub enum Step {
    Change(Change),
    /// So many milliseconds pass.
    Wait(u32),
    /// The agent sweeps.
    Sweep,
    /// Another agent takes over.
    Restart,
    Send(u8, Packet),
}

/// A packet of a flow; the kinds are those of TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet {
    Opening,
    Data,
    Fin,
    Rst,
}

#[derive(Clone)]
pub struct Script {
    pub wanted: Wanted,
    pub steps: Vec<Step>,
}

/// A line for each step, as one writes it in a case.
impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?}", self.wanted)?;
        self.steps.iter().try_for_each(|step| writeln!(f, "{step:?},"))
    }
}

impl Wanted {
    /// Makes a change, if it is one that a configuration allows.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Add(member) => {
                self.pools[pool_of(member)].members.entry(member).or_insert(Member::NEW);
            }
            Change::Remove(member) => drop(self.pools[pool_of(member)].members.remove(&member)),
            Change::Readdress(from, to) => {
                let members = &mut self.pools[pool_of(from)].members;
                if let Some(member) = members.remove(&from) {
                    let fresh = Member { sick: false, drained: false, ..member };
                    members.entry(to).or_insert(fresh);
                }
            }
            Change::Weigh(member, weight) => self.edit(member, |m| m.weight = weight),
            Change::Fail(member) => self.edit(member, |m| m.sick = true),
            Change::Recover(member) => self.edit(member, |m| m.sick = false),
            Change::Drain(member) => self.edit(member, |m| m.drained = true),
            Change::Undrain(member) => self.edit(member, |m| m.drained = false),
            Change::Backup(member, backup) => self.edit(member, |m| m.backup = backup),
            Change::Limit(member, most) => self.edit(member, |m| m.most = most),
            Change::BackupBelow(pool, below) => self.pools[pool].backup_below = below,
            Change::SlowStart(pool, seconds) => self.pools[pool].slow_start = seconds,
            Change::Algorithm(pool, algorithm) => self.pools[pool].algorithm = algorithm,
            Change::Remember(pool, remembers) => self.pools[pool].remembers = remembers,
            Change::Large(pool, large) => self.pools[pool].large = large,
            // One without members would be another pool.
            Change::Rename(pool) => {
                self.pools[pool].renamed ^= !self.pools[pool].members.is_empty();
            }
            Change::Rehash(pool, rehash) => self.pools[pool].rehash = rehash,
            Change::ConnectionDrain(pool, drain) => self.pools[pool].drain = drain,
            Change::Present(pool, present) => {
                let is_served = self
                    .listeners
                    .iter()
                    .any(|one| one.own == pool || one.fallback_below.is_some());
                self.pools[pool].present = present || is_served;
            }
            Change::Serve(listener, pool) => {
                self.listeners[listener].own = pool;
                self.pools[pool].present = true;
            }
            Change::Fallback(listener, below) => {
                self.listeners[listener].fallback_below = below;
                self.pools.iter_mut().for_each(|pool| pool.present |= below.is_some());
            }
            Change::Idle(listener, idle) => self.listeners[listener].idle = idle,
        }
        for listener in 0..POOLS {
            self.listeners[listener].pool = self.serving(self.listeners[listener]);
        }
    }

    /// The pool that serves a listener from now on: where neither can, the one that did.
    fn serving(&self, listener: Listener) -> usize {
        let (own, other) = (listener.own, listener.other());
        let is_short = listener.fallback_below.is_some_and(|below| self.takers(own) < below);
        let neither = self.takers(own) == 0 && self.takers(other) == 0;
        let stays = is_short && neither && listener.pool == other;
        let takes_over = stays || (is_short && self.takers(other) > 0);
        if takes_over { other } else { own }
    }

    /// How many members of a pool take new flows.
    fn takers(&self, pool: usize) -> u32 {
        let pool = &self.pools[pool];
        let may = |one: &&Member| one.weight > 0 && !one.sick && !one.drained;
        let count = |backup| {
            let members = pool.members.values().filter(may).filter(|one| one.backup == backup);
            u32::try_from(members.count()).unwrap_or(u32::MAX)
        };
        let others = count(false);
        if others < pool.backup_below { others + count(true) } else { others }
    }

    fn edit(&mut self, member: u8, edit: impl FnOnce(&mut Member)) {
        if let Some(member) = self.pools[pool_of(member)].members.get_mut(&member) {
            edit(member);
        }
    }

    /// Whether a pool remembers its clients.
    pub fn remembers(&self, pool: usize) -> bool {
        let pool = &self.pools[pool];
        pool.remembers && pool.algorithm.is_tracked() && pool.present
    }

    /// Whether a member's packets are translated.
    pub fn translates(&self, member: u8) -> bool {
        self.pools[pool_of(member)].forwarding.translates()
    }

    /// How many connections a member may have; 0: any number.
    pub fn most(&self, member: u8) -> u32 {
        let counts = self.pools[pool_of(member)].algorithm.is_tracked();
        self.member(member).filter(|_| counts).map_or(0, |member| member.most)
    }

    /// A member, if its pool has it.
    pub fn member(&self, member: u8) -> Option<Member> {
        let pool = &self.pools[pool_of(member)];
        pool.members.get(&member).copied().filter(|_| pool.present)
    }
}

pub fn any_script(steps: usize) -> impl Strategy<Value = Script> {
    (any_wanted(), prop::collection::vec(any_step(), 1..steps))
        .prop_map(|(wanted, steps)| Script { wanted, steps })
}

fn any_wanted() -> impl Strategy<Value = Wanted> {
    let protocol = prop_oneof![2 => Just(Protocol::Tcp), 1 => Just(Protocol::Udp)];
    let room = prop_oneof![4 => Just(1000u32), 1 => 1u32..8];
    let pools = (any_pool(0), any_pool(1)).prop_map(|(one, other)| [one, other]);
    let listener = (0..POOLS, any_idle()).prop_map(|(pool, idle)| Listener::of(pool, idle));
    let listeners = [listener.clone(), listener];
    (protocol, room, pools, listeners).prop_map(|(protocol, room, pools, listeners)| Wanted {
        protocol,
        room,
        pools,
        listeners,
    })
}

fn any_pool(number: u8) -> impl Strategy<Value = Pool> {
    let udp_hold = prop::sample::select(&[0, 5, 30][..]);
    let forwarding = prop_oneof![
        1 => Just(Forwarding::L2),
        1 => Just(Forwarding::Ipip),
        1 => Just(Forwarding::Gue),
        2 => Just(Forwarding::Nat),
    ];
    let first = number * MEMBERS + 1;
    let (remembers, rehash) = (any::<bool>(), any::<bool>());
    let members = (1..=MEMBERS, prop::sample::select(&[0, 0, 1, 2][..]));
    (any_algorithm(), forwarding, members, (remembers, rehash), any_drain(), udp_hold).prop_map(
        move |(algorithm, forwarding, (members, most), (remembers, rehash), drain, udp_hold)| {
            Pool {
                algorithm,
                forwarding,
                remembers,
                large: false,
                renamed: false,
                members: (first..first + members)
                    .map(|member| (member, Member { most, ..Member::NEW }))
                    .collect(),
                rehash,
                backup_below: 1,
                drain,
                udp_hold,
                slow_start: 0,
                present: true,
            }
        },
    )
}

fn any_step() -> impl Strategy<Value = Step> {
    let wait = prop_oneof![4 => 0u32..4_000, 3 => 8_000u32..14_000, 1 => 14_000u32..70_000];
    let packet = prop_oneof![
        5 => Just(Packet::Data),
        2 => Just(Packet::Opening),
        1 => Just(Packet::Fin),
        1 => Just(Packet::Rst),
    ];
    let flow = prop_oneof![2 => 1..=FLOWS, 1 => FLOWS - 1..=FLOWS];
    prop_oneof![
        6 => any_change().prop_map(Step::Change),
        3 => wait.prop_map(Step::Wait),
        3 => Just(Step::Sweep),
        1 => Just(Step::Restart),
        10 => (flow, packet).prop_map(|(flow, packet)| Step::Send(flow, packet)),
    ]
}

fn any_change() -> impl Strategy<Value = Change> {
    let member = || 1..=2 * MEMBERS;
    let pool = || 0..POOLS;
    let neighbors = (member(), 1..=MEMBERS).prop_map(|(from, to)| {
        let first = from - (from - 1) % MEMBERS;
        (from, first + to - 1)
    });
    prop_oneof![
        6 => member().prop_map(Change::Add),
        4 => member().prop_map(Change::Remove),
        2 => neighbors.prop_map(|(from, to)| Change::Readdress(from, to)),
        3 => (member(), 0u32..3).prop_map(|(member, weight)| Change::Weigh(member, weight)),
        4 => member().prop_map(Change::Fail),
        4 => member().prop_map(Change::Recover),
        2 => member().prop_map(Change::Drain),
        2 => member().prop_map(Change::Undrain),
        4 => (member(), any::<bool>()).prop_map(|(member, backup)| Change::Backup(member, backup)),
        4 => (member(), 0u32..3).prop_map(|(member, most)| Change::Limit(member, most)),
        1 => (pool(), 1u32..4).prop_map(|(pool, below)| Change::BackupBelow(pool, below)),
        3 => (pool(), prop::sample::select(&[0, 4, 40][..]))
            .prop_map(|(pool, seconds)| Change::SlowStart(pool, seconds)),
        2 => (pool(), any_algorithm()).prop_map(|(pool, all)| Change::Algorithm(pool, all)),
        1 => (pool(), any::<bool>()).prop_map(|(pool, all)| Change::Remember(pool, all)),
        1 => (pool(), any::<bool>()).prop_map(|(pool, large)| Change::Large(pool, large)),
        1 => pool().prop_map(Change::Rename),
        1 => (pool(), any::<bool>()).prop_map(|(pool, rehash)| Change::Rehash(pool, rehash)),
        1 => (pool(), any_drain()).prop_map(|(pool, drain)| Change::ConnectionDrain(pool, drain)),
        2 => (pool(), any::<bool>()).prop_map(|(pool, present)| Change::Present(pool, present)),
        5 => (pool(), pool()).prop_map(|(listener, pool)| Change::Serve(listener, pool)),
        3 => (pool(), prop::option::of(1u32..4))
            .prop_map(|(listener, below)| Change::Fallback(listener, below)),
        1 => (pool(), any_idle()).prop_map(|(listener, idle)| Change::Idle(listener, idle)),
    ]
}

/// QUIC_CID needs packets of its own.
fn any_algorithm() -> impl Strategy<Value = LbAlgorithm> {
    prop_oneof![
        3 => Just(LbAlgorithm::FiveTupleHash),
        1 => Just(LbAlgorithm::ThreeTupleHash),
        1 => Just(LbAlgorithm::TwoTupleHash),
        1 => Just(LbAlgorithm::SourceIp),
        1 => Just(LbAlgorithm::RoundRobin),
        1 => Just(LbAlgorithm::LeastConnections),
    ]
}

fn any_drain() -> impl Strategy<Value = Option<u32>> {
    prop::sample::select(&[None, Some(10), Some(25)][..])
}

fn any_idle() -> impl Strategy<Value = u32> + Clone {
    prop::sample::select(&[10, 20][..])
}
