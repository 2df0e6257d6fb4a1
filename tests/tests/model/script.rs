//! Scripts: what is wanted of a pool, how that changes, and what else happens.

use std::collections::BTreeMap;
use std::fmt;

use elb_userspace::model::{LbAlgorithm, Protocol};
use proptest::prelude::*;

/// Members are called 1 to this; so ends their address.
pub const MEMBERS: u8 = 4;
/// So are flows, each of a client of its own.
pub const FLOWS: u8 = 4;

/// What is wanted of the pool, and how its members are.
#[derive(Clone, Debug)]
pub struct Pool {
    pub protocol: Protocol,
    pub algorithm: LbAlgorithm,
    /// Its ring has the second size, not the first.
    pub large: bool,
    pub members: BTreeMap<u8, Member>,
    /// Flows of unhealthy members go to others.
    pub rehash: bool,
    /// `connection_drain`, in seconds as the next two.
    pub drain: Option<u32>,
    pub idle: u32,
    pub udp_hold: u32,
}

#[derive(Clone, Copy, Debug)]
pub struct Member {
    pub weight: u32,
    pub sick: bool,
    /// By command.
    pub drained: bool,
}

impl Member {
    pub const NEW: Self = Self { weight: 1, sick: false, drained: false };
}

#[derive(Clone, Copy, Debug)]
pub enum Change {
    Add(u8),
    Remove(u8),
    /// A member gets the address of another.
    Readdress(u8, u8),
    Weigh(u8, u32),
    Fail(u8),
    Recover(u8),
    Drain(u8),
    Undrain(u8),
    Algorithm(LbAlgorithm),
    Large(bool),
    Rehash(bool),
    ConnectionDrain(Option<u32>),
    Idle(u32),
}

#[derive(Clone, Copy, Debug)]
pub enum Step {
    Change(Change),
    /// So many milliseconds pass.
    Wait(u32),
    /// The agent looks which slots may settle and which flows are over.
    Settle,
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
    pub pool: Pool,
    pub steps: Vec<Step>,
}

/// A line for each step, as one writes it in a case.
impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?}", self.pool)?;
        self.steps.iter().try_for_each(|step| writeln!(f, "{step:?},"))
    }
}

impl Pool {
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Add(member) => drop(self.members.entry(member).or_insert(Member::NEW)),
            Change::Remove(member) => drop(self.members.remove(&member)),
            Change::Readdress(from, to) => {
                if let Some(member) = self.members.remove(&from) {
                    self.members.entry(to).or_insert(Member {
                        sick: false,
                        drained: false,
                        ..member
                    });
                }
            }
            Change::Weigh(member, weight) => self.edit(member, |m| m.weight = weight),
            Change::Fail(member) => self.edit(member, |m| m.sick = true),
            Change::Recover(member) => self.edit(member, |m| m.sick = false),
            Change::Drain(member) => self.edit(member, |m| m.drained = true),
            Change::Undrain(member) => self.edit(member, |m| m.drained = false),
            Change::Algorithm(algorithm) => self.algorithm = algorithm,
            Change::Large(large) => self.large = large,
            Change::Rehash(rehash) => self.rehash = rehash,
            Change::ConnectionDrain(drain) => self.drain = drain,
            Change::Idle(idle) => self.idle = idle,
        }
    }

    fn edit(&mut self, member: u8, edit: impl FnOnce(&mut Member)) {
        if let Some(member) = self.members.get_mut(&member) {
            edit(member);
        }
    }
}

pub fn any_script(steps: usize) -> impl Strategy<Value = Script> {
    (any_pool(), prop::collection::vec(any_step(), 1..steps))
        .prop_map(|(pool, steps)| Script { pool, steps })
}

fn any_pool() -> impl Strategy<Value = Pool> {
    let protocol = prop_oneof![2 => Just(Protocol::Tcp), 1 => Just(Protocol::Udp)];
    let udp_hold = prop::sample::select(&[0, 5, 30][..]);
    (protocol, any_algorithm(), 1..=MEMBERS, any::<bool>(), any_drain(), any_idle(), udp_hold)
        .prop_map(|(protocol, algorithm, members, rehash, drain, idle, udp_hold)| Pool {
            protocol,
            algorithm,
            large: false,
            members: (1..=members).map(|member| (member, Member::NEW)).collect(),
            rehash,
            drain,
            idle,
            udp_hold,
        })
}

fn any_step() -> impl Strategy<Value = Step> {
    let wait = prop_oneof![4 => 0u32..4_000, 3 => 8_000u32..14_000, 1 => 14_000u32..70_000];
    let packet = prop_oneof![
        5 => Just(Packet::Data),
        2 => Just(Packet::Opening),
        1 => Just(Packet::Fin),
        1 => Just(Packet::Rst),
    ];
    prop_oneof![
        5 => any_change().prop_map(Step::Change),
        3 => wait.prop_map(Step::Wait),
        3 => Just(Step::Settle),
        1 => Just(Step::Restart),
        9 => (1..=FLOWS, packet).prop_map(|(flow, packet)| Step::Send(flow, packet)),
    ]
}

fn any_change() -> impl Strategy<Value = Change> {
    let member = || 1..=MEMBERS;
    prop_oneof![
        6 => member().prop_map(Change::Add),
        4 => member().prop_map(Change::Remove),
        2 => (member(), member()).prop_map(|(from, to)| Change::Readdress(from, to)),
        3 => (member(), 0u32..3).prop_map(|(member, weight)| Change::Weigh(member, weight)),
        4 => member().prop_map(Change::Fail),
        4 => member().prop_map(Change::Recover),
        2 => member().prop_map(Change::Drain),
        2 => member().prop_map(Change::Undrain),
        2 => any_algorithm().prop_map(Change::Algorithm),
        1 => any::<bool>().prop_map(Change::Large),
        1 => any::<bool>().prop_map(Change::Rehash),
        1 => any_drain().prop_map(Change::ConnectionDrain),
        1 => any_idle().prop_map(Change::Idle),
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

fn any_idle() -> impl Strategy<Value = u32> {
    prop::sample::select(&[10, 20][..])
}
