//! A world in the kernel and on the host: each packet runs in both, which must agree.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use elb_common::addr::Be16;
use elb_common::admission::{ListenerState, Opened};
use elb_common::client::{Client, ClientKey};
use elb_common::flow::{Flow, FlowKeyV4, FlowKeyV6};
use elb_common::listener::{Listener, ListenerKeyV4, ListenerKeyV6};
use elb_common::names;
use elb_common::path::{Frame, Memory, process};
use elb_common::reason::Reason;

use crate::cases::Then::{self, Because, To};
use crate::kernel::{Kernel, now};
use crate::world::*;

/// The world of all tests, in the kernel and on the host.
pub struct Both {
    pub kernel: Kernel,
    pub memory: Memory,
}

impl Both {
    /// The world, changed.
    pub fn with(change: impl FnOnce(&mut Memory)) -> Self {
        let mut memory = world(now()).memory();
        change(&mut memory);
        Self { kernel: Kernel::new(&memory), memory }
    }

    /// Changes what is in the maps; what was there stays.
    pub fn add(&mut self, change: impl FnOnce(&mut Memory)) {
        change(&mut self.memory);
        self.kernel.fill(&self.memory);
    }

    /// A listener opened so many connections in a second.
    pub fn opened(&mut self, listener: u16, count: u32, second: u32) {
        let opened = Opened::first(second).0 + u64::from(count) - 1;
        let mut written = self.memory.written.borrow_mut();
        let state = written.listener_states.entry(listener).or_default();
        state.opened = opened;
        self.kernel.set(names::LISTENER_STATES, u32::from(listener), *state);
    }

    /// The flow tables were last swept so many seconds ago.
    pub fn swept(&mut self, seconds: u32) {
        let swept = now() - seconds;
        self.kernel.set_swept(swept);
        self.memory.written.get_mut().tables.iter_mut().for_each(|table| table.swept = swept);
    }

    /// What becomes of a packet.
    #[track_caller]
    pub fn run(&mut self, name: &str, frame: &[u8]) -> Then {
        self.memory.now = now();
        let in_kernel = self.in_kernel(frame);
        assert_eq!(self.on_host(frame), in_kernel, "{name}: the host and the kernel");
        in_kernel
    }

    /// What becomes of packets that all come in one second: `None` if they did not, because the
    /// machine is busy elsewhere.
    fn in_one_second(&mut self, frames: &[Vec<u8>]) -> Option<Vec<Then>> {
        let second = wait_for_second();
        let in_kernel: Vec<Then> = frames.iter().map(|frame| self.in_kernel(frame)).collect();
        if now() != second {
            return None;
        }
        self.memory.now = second;
        let on_host: Vec<Then> = frames.iter().map(|frame| self.on_host(frame)).collect();
        assert_eq!(on_host, in_kernel, "the host and the kernel");
        Some(in_kernel)
    }

    fn in_kernel(&mut self, frame: &[u8]) -> Then {
        let before = self.counters();
        self.kernel.run(frame);
        let after = self.counters();
        let moved = (0..after.len()).filter(|index| after[*index] != before[*index]);
        let moved: Vec<usize> = moved.collect();
        let [moved] = moved[..] else { panic!("counters that moved: {moved:?}") };
        match Reason::ALL.get(moved) {
            Some(reason) => Because(*reason),
            None => To((moved - Reason::ALL.len()) as u16),
        }
    }

    /// What becomes of a packet on the host alone, at the second that its memory has.
    pub fn on_host(&self, frame: &[u8]) -> Then {
        let before = self.memory.written.borrow().backends.clone();
        let mut buffer = [0u16; 2048];
        let mut host = Frame::new(&mut buffer, frame, INGRESS).expect("a small frame");
        let outcome = process(&mut host, &self.memory);
        let after = self.memory.written.borrow().backends.clone();
        let got = after.iter().find(|(id, counter)| before.get(id) != Some(counter));
        match (outcome.reason(), got) {
            (Some(reason), None) => Because(reason),
            (None, Some((id, _))) => To(*id),
            other => panic!("undecided: {other:?}"),
        }
    }

    /// Packets by reason, then by backend.
    fn counters(&self) -> Vec<u64> {
        let reasons = self.kernel.reasons().into_iter().map(|counter| counter.packets);
        let backend = |id| self.kernel.counter(names::BACKEND_COUNTERS, id).packets;
        reasons.chain((0..16).map(backend)).collect()
    }

    /// As [`Self::run`], for each.
    #[track_caller]
    pub fn all(&mut self, frames: impl IntoIterator<Item = Vec<u8>>) -> Vec<Then> {
        frames.into_iter().map(|frame| self.run("one of many", &frame)).collect()
    }

    /// What is recorded and counted is the same in the kernel and on the host.
    #[track_caller]
    pub fn check_records(&self) {
        let written = self.memory.written.borrow();
        let (v4, v6) = (&written.flows_v4, &written.flows_v6);
        let host = |v4: &HashMap<FlowKeyV4, Flow>, v6: &HashMap<FlowKeyV6, Flow>| {
            let v4 = v4.iter().map(|(key, flow)| (bytemuck::bytes_of(key).to_vec(), *flow));
            let v6 = v6.iter().map(|(key, flow)| (bytemuck::bytes_of(key).to_vec(), *flow));
            let all = v4.chain(v6).map(without_time);
            all.collect::<BTreeMap<_, _>>()
        };
        let kernel = |found: Vec<_>| found.into_iter().map(without_time).collect();
        let openings: BTreeMap<_, _> = kernel(self.kernel.openings());
        assert_eq!(openings, host(&v4.openings, &v6.openings), "openings");
        let flows: BTreeMap<_, _> = kernel(self.kernel.flows());
        assert_eq!(flows, host(&v4.live, &v6.live), "flows");
        let clients = |all: Vec<(ClientKey, Client)>| {
            let without_time = |(key, one)| (key, Client { seen: 0, ..one });
            all.into_iter().map(without_time).collect::<HashMap<_, _>>()
        };
        for (name, host) in [
            (names::CLIENT_OPENINGS, &written.clients.openings),
            (names::CLIENTS, &written.clients.live),
        ] {
            let host = host.iter().map(|(key, client)| (*key, *client)).collect();
            assert_eq!(clients(self.kernel.entries(name)), clients(host), "{name}");
        }
        for (id, state) in &written.listener_states {
            let found = self.kernel.listener_state(*id);
            let counts = |s: ListenerState| (s.connections, s.records, s.strays, s.refused);
            assert_eq!(counts(found), counts(*state), "listener {id}");
        }
        for (id, state) in &written.backend_states {
            let found = self.kernel.backend_state(*id).connections;
            assert_eq!(found, state.connections, "backend {id}");
        }
        for (version, table) in written.tables.iter().enumerate() {
            assert_eq!(self.kernel.table(version), *table);
        }
    }

    #[track_caller]
    pub fn check(&mut self, cases: Vec<(&str, Vec<u8>, Then)>) {
        for (name, frame, then) in cases {
            assert_eq!(self.run(name, &frame), then, "{name}");
        }
    }
}

/// The record of a listener of the world.
pub fn listener(memory: &mut Memory, vip: IpAddr, port: u16, protocol: u8) -> &mut Listener {
    let port = Be16::new(port);
    let found = match vip {
        IpAddr::V4(a) => memory.listeners_v4.get_mut(&ListenerKeyV4::new(be32(a), port, protocol)),
        IpAddr::V6(a) => memory.listeners_v6.get_mut(&ListenerKeyV6::new(be128(a), port, protocol)),
    };
    found.expect("a listener of the world")
}

/// All listeners on a port, with both versions and protocols.
pub fn everywhere(memory: &mut Memory, port: u16, change: impl Fn(&mut Listener)) {
    for (vip, protocol) in [(vip4(), TCP), (vip6(), TCP), (vip4(), UDP), (vip6(), UDP)] {
        change(listener(memory, vip, port, protocol));
    }
}

/// A record whose times do not matter: the two clocks are read one after the other.
fn without_time<K>((key, flow): (K, Flow)) -> (K, Flow) {
    (key, Flow { seen: 0, since: 0, ..flow })
}

/// Waits for a second to begin, and returns which.
pub fn wait_for_second() -> u32 {
    let before = now();
    while now() == before {
        std::thread::yield_now();
    }
    now()
}

/// What becomes of packets in one second, in a world of their own, which is then reported too.
pub fn in_one_second(world: impl Fn() -> Both, frames: &[Vec<u8>]) -> (Both, Vec<Then>) {
    let attempt = |_| {
        let mut both = world();
        both.in_one_second(frames).map(|thens| (both, thens))
    };
    (0..10).find_map(attempt).expect("a second in ten is enough for a hundred packets")
}
