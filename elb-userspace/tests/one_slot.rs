//! One slot through its life: the agent's rules and the packet path together, in time.
//!
//! Owners come and go as a pool's members do, the slot settles when it may, and clients use the
//! same ports again and again. Packets are real ones, decided on by the packet path; slots are
//! changed and settled by the rules of the agent.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use elb_common::addr::{Be16, Be32, Mac};
use elb_common::backend::{Backend, backend_flags, mode};
use elb_common::listener::{Listener, ListenerKeyV4, ListenerPool, listener_pool_flags};
use elb_common::path::{Frame, Memory, Outcome, process};
use elb_common::pool::{Pool, Ring};
use elb_common::ring::Slot;
use elb_userspace::control::plan::RingWrite;
use elb_userspace::control::ring::region::Words;
use elb_userspace::control::ring::slots::RingKind;
use proptest::prelude::*;

/// Seconds for which an idle flow is protected.
const IDLE: u32 = 10;
/// Seconds for which the record of a closed connection is kept.
const CLOSED_FOR: u32 = 3;
const MEMBERS: u16 = 3;
const TCP: u8 = 6;
const PORT: u16 = 80;
const VIP: [u8; 4] = [192, 0, 2, 10];
const INTERFACE: u32 = 1;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

use Step::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// So many milliseconds pass.
    Wait(u32),
    /// The table gives the slot to a member, or to none (0); not to one that is down.
    Own(u16),
    /// A member fails: its flows are over, and its slot goes to one that is up, if there is one.
    Fail(u16),
    /// It is up again.
    Recover(u16),
    /// The agent looks whether the slot may settle.
    Settle,
    /// A client opens a connection from a port.
    Open(u16),
    /// It goes on with it.
    Talk(u16),
}

struct Connection {
    member: u16,
    /// When it last spoke, in milliseconds.
    spoke: u32,
}

struct World {
    memory: Memory,
    milliseconds: u32,
    down: Vec<u16>,
    connections: BTreeMap<u16, Connection>,
}

impl World {
    fn new() -> Self {
        let mut memory = Memory { slots: vec![Slot::default()], ..Memory::with_room(1000, 0) };
        let key = ListenerKeyV4::new(bytemuck::cast::<_, Be32>(VIP), Be16::new(PORT), TCP);
        let listener = Listener { ring_size: 1, ..Listener::default() };
        memory.listeners_v4.insert(key, listener);
        let ring = Ring { size: 1, ..Ring::default() };
        memory.pools.insert(0, Pool { idle_timeout: IDLE, ring, ..Pool::default() });
        let flags = listener_pool_flags::EXISTS;
        memory.listener_pools.insert(0, ListenerPool { pool: 0, flags });
        memory.backends.extend((1..=MEMBERS).map(|id| (id, backend(id))));
        Self { memory, milliseconds: 0, down: Vec::new(), connections: BTreeMap::new() }
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Wait(milliseconds) => {
                self.milliseconds += milliseconds;
                self.memory.now = self.milliseconds / 1000;
            }
            Own(member) if !self.down.contains(&member) => self.change(member),
            Own(_) => {}
            Fail(member) => self.fail(member),
            Recover(member) => {
                self.down.retain(|one| *one != member);
                let flags = backend_flags::ESTABLISHED | backend_flags::NEW;
                self.flags(member, backend_flags::REACHABLE | flags);
            }
            Settle => self.settle(),
            Open(port) => self.open(port)?,
            Talk(port) => self.talk(port)?,
        }
        Ok(())
    }

    fn fail(&mut self, member: u16) {
        self.down.push(member);
        self.flags(member, backend_flags::REACHABLE);
        self.connections.retain(|_, connection| connection.member != member);
        let cur = self.memory.slots[0].cur();
        let up = (1..=MEMBERS).find(|one| !self.down.contains(one)).unwrap_or(0);
        self.change(if cur == member { up } else { cur });
    }

    fn flags(&mut self, member: u16, flags: u8) {
        self.memory.backends.get_mut(&member).expect("it is a member").flags = flags;
    }

    /// As the agent writes a ring.
    fn change(&mut self, owner: u16) {
        let (gone, kind) = (self.down.iter().copied().collect(), RingKind::default());
        let ring = RingWrite { base: 0, owners: vec![owner], gone, kind };
        self.words(|words, now| words.write(&ring, now));
    }

    /// As the agent sweeps.
    fn settle(&mut self) {
        self.memory.sweep(CLOSED_FOR);
        self.words(|words, now| {
            words.settle(now);
            words.convert(now, 0, IDLE);
        });
    }

    fn words(&mut self, change: impl FnOnce(Words<'_>, u32)) {
        let slots = [AtomicU32::new(self.memory.slots[0].0)];
        let seen = self.memory.written.get_mut().seen.entry(0).or_default();
        let times = [AtomicU32::new(*seen)];
        change(Words::new(&slots, &times), self.memory.now);
        self.memory.slots[0] = Slot(slots[0].load(Ordering::Relaxed));
        *seen = times[0].load(Ordering::Relaxed);
    }

    fn open(&mut self, port: u16) -> Result<(), TestCaseError> {
        self.connections.remove(&port);
        if let Some(member) = self.send(port, SYN) {
            prop_assert!(!self.down.contains(&member), "a new connection reaches {member}");
            let spoke = self.milliseconds;
            self.connections.insert(port, Connection { member, spoke });
        }
        Ok(())
    }

    fn talk(&mut self, port: u16) -> Result<(), TestCaseError> {
        let Some(connection) = self.connections.remove(&port) else { return Ok(()) };
        if self.milliseconds - connection.spoke > IDLE * 1000 {
            return Ok(()); // it was idle for too long: nothing is promised
        }
        let reached = self.send(port, ACK);
        let member = connection.member;
        prop_assert_eq!(reached, Some(member), "the connection from port {}", port);
        let spoke = self.milliseconds;
        self.connections.insert(port, Connection { member, spoke });
        Ok(())
    }

    /// The member that a segment is sent to.
    fn send(&self, port: u16, flags: u8) -> Option<u16> {
        let mut buffer = [0; 256];
        let mut frame = Frame::new(&mut buffer, &segment(port, flags), INTERFACE).expect("it fits");
        let outcome = process(&mut frame, &self.memory);
        (outcome == Outcome::Transmit).then(|| frame.bytes()[5].into())
    }
}

/// A member whose last byte of the Ethernet address is its id.
fn backend(id: u16) -> Backend {
    let [last, _] = id.to_le_bytes();
    let next_hop: [u8; 6] = [2, 0, 0, 0, 0, last];
    Backend {
        next_hop: bytemuck::cast::<_, Mac>(next_hop),
        mode: mode::L2,
        flags: backend_flags::REACHABLE | backend_flags::ESTABLISHED | backend_flags::NEW,
        largest: 1500,
        ifindex: INTERFACE,
        ..Backend::default()
    }
}

/// A TCP segment without data from `port` of a client.
fn segment(port: u16, flags: u8) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 100, 2, 0, 0, 0, 0, 200, 8, 0];
    frame.extend([0x45, 0, 0, 40, 0, 0, 0, 0, 64, TCP, 0, 0, 198, 51, 100, 7]);
    frame.extend(VIP);
    frame.extend(port.to_be_bytes());
    frame.extend(PORT.to_be_bytes());
    frame.extend([0; 8]);
    frame.extend([5 << 4, flags, 1, 0, 0, 0, 0, 0]);
    frame
}

fn any_step() -> impl Strategy<Value = Step> {
    let member = 1..=MEMBERS;
    let port = 1u16..=2;
    prop_oneof![
        3 => (0u32..6000).prop_map(Wait),
        3 => (0..=MEMBERS).prop_map(Own),
        1 => member.clone().prop_map(Fail),
        1 => member.prop_map(Recover),
        3 => Just(Settle),
        3 => port.clone().prop_map(Open),
        4 => port.prop_map(Talk),
    ]
}

fn run(steps: &[Step]) -> Result<(), TestCaseError> {
    let mut world = World::new();
    steps.iter().try_for_each(|step| world.step(*step))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// A connection that is never idle for longer than the timeout stays with its member for as
    /// long as that serves it, whatever the slot and other connections do.
    #[test]
    fn an_active_connection_stays_with_its_member(
        steps in prop::collection::vec(any_step(), 1..60)
    ) {
        run(&steps)?;
    }
}

/// The port was used before, by a connection to member 1. Its record must not count any more when
/// the slot, which has settled meanwhile, moves again.
#[test]
fn a_record_of_an_earlier_connection_does_not_move_a_later_one() -> Result<(), TestCaseError> {
    run(&[Own(2), Own(1), Open(7), Own(2), Wait(15_000), Settle, Open(7), Own(3), Talk(7)])
}

/// As before, but no flow had to wait: the slot had no flow left to protect.
#[test]
fn a_record_with_a_member_that_recovers_does_not_move_a_later_connection()
-> Result<(), TestCaseError> {
    run(&[
        Own(2),
        Own(1),
        Open(7),
        Wait(9_000),
        Talk(7),
        Wait(3_000),
        Settle,
        Fail(1),
        Open(7),
        Recover(1),
        Own(1),
        Talk(7),
    ])
}

/// As before, but it is the client's vain attempt to open a connection, while no member took it, that
/// made the record look as if it were in use.
#[test]
fn an_opening_that_no_member_takes_does_not_keep_an_earlier_record() -> Result<(), TestCaseError> {
    run(&[
        Own(2),
        Own(1),
        Open(7),
        Own(0),
        Wait(8_000),
        Open(7),
        Wait(4_000),
        Settle,
        Own(3),
        Open(7),
        Own(2),
        Talk(7),
    ])
}

/// Clocks are read in whole seconds: 9.2 seconds of silence may look like ten.
#[test]
fn a_connection_may_be_silent_for_all_of_the_timeout() -> Result<(), TestCaseError> {
    run(&[Own(1), Wait(900), Open(7), Own(2), Talk(7), Wait(9_200), Settle, Talk(7)])
}
