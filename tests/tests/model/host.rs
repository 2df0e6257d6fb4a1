//! Scripts in memory: the packet path as a host runs it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use elb_common::addr::{Be16, Be32};
use elb_common::listener::ListenerKeyV4;
use elb_common::path::{Frame, Memory, Outcome, Written, process};
use elb_common::pool::Pool;
use elb_common::ring::Slot;
use elb_common::room::FlowTable;
use elb_userspace::control::plan::{Command, ListenerKey, Region};
use elb_userspace::control::ring::region::{States, Words};

use crate::script::any_script;
use crate::trial;
use crate::world::{CLOSED_FOR, Census, Datapath, INTERFACE, ROOM};

/// That play scripts at a time.
const THREADS: u32 = 2;

/// The maps in memory. The agent's view of the rings is apart, as it shares words with packets.
pub struct Host {
    memory: Memory,
    slots: Vec<AtomicU32>,
    seen: Vec<AtomicU32>,
    milliseconds: u64,
}

impl Default for Host {
    fn default() -> Self {
        let words = || (0..ROOM.slots).map(|_| AtomicU32::new(0)).collect();
        let memory = Memory { slots: vec![Slot::default(); ROOM.slots as usize], ..<_>::default() };
        let mut host = Self { memory, slots: words(), seen: words(), milliseconds: 0 };
        host.pass(1_000_000);
        host
    }
}

impl Host {
    /// Changes a region, so that packets see it.
    fn ring<T>(&mut self, region: Region, change: impl FnOnce(Words<'_>) -> T) -> T {
        let range = region.base as usize..(region.base + region.size) as usize;
        let words = Words::new(&self.slots[range.clone()], &self.seen[range.clone()]);
        let result = change(words);
        self.memory.slots[range].iter_mut().zip(words.slots()).for_each(|(to, from)| *to = from);
        result
    }
}

impl Datapath for Host {
    fn clock(&self) -> u64 {
        self.milliseconds
    }

    fn pass(&mut self, milliseconds: u32) {
        self.milliseconds += u64::from(milliseconds);
        self.memory.now = self.now();
    }

    fn begin(&mut self, room: u32) {
        let table = FlowTable { room, swept: self.now(), ..FlowTable::default() };
        *self.memory.written.get_mut() = Written { tables: [table; 2], ..Written::default() };
    }

    fn execute(&mut self, command: &Command) {
        let now = self.now();
        let memory = &mut self.memory;
        match command {
            Command::PutBackend(id, backend) => drop(memory.backends.insert(*id, *backend)),
            Command::PutPool(id, pool) => {
                if *pool == Pool::default() {
                    memory.written.get_mut().turns.remove(id); // so that scripts repeat themselves
                }
                memory.pools.insert(*id, *pool);
            }
            Command::PutListenerPool(id, pool) => drop(memory.listener_pools.insert(*id, *pool)),
            Command::PutListener(key, listener) => {
                memory.listeners_v4.insert(listener_key(key), *listener);
            }
            Command::RemoveListener(key) => drop(memory.listeners_v4.remove(&listener_key(key))),
            Command::PutInterface(index, value) => drop(memory.interfaces.insert(*index, *value)),
            Command::RemoveInterface(index) => drop(memory.interfaces.remove(index)),
            Command::ResetBackendCounter(id) => {
                memory.written.get_mut().backend_states.remove(id);
            }
            Command::ResetListenerCounter(id) => {
                memory.written.get_mut().listener_states.remove(id);
            }
            Command::WriteRing(ring) => {
                let size = u32::try_from(ring.owners.len()).unwrap();
                self.ring(Region { base: ring.base, size }, |words| words.write(ring, now));
            }
            Command::ClearRing(region) => self.ring(*region, |words| words.clear()),
            Command::PutReply(key, reply) => {
                memory.replies_v4.insert(listener_key(key), *reply);
            }
            Command::RemoveReply(key) => drop(memory.replies_v4.remove(&listener_key(key))),
            Command::PutClientDefault(version, hop) => {
                memory.client_defaults[*version as usize] = *hop;
            }
            // Frames leave by the interface that they came by, and nothing asks for the address.
            Command::PutMac(_)
            | Command::RemoveMac(_)
            | Command::PutDevice(_)
            | Command::RemoveDevice(_)
            | Command::PutClientRoute(..)
            | Command::RemoveClientRoute(_)
            | Command::PutClientBits(..)
            | Command::PutVipBits(..)
            | Command::PutMemberBits(..)
            | Command::PutVip(..)
            | Command::RemoveVip(_) => {}
            Command::PutServer(..)
            | Command::RemoveServer(_)
            | Command::AddToGroup(..)
            | Command::RemoveFromGroup(..)
            | Command::PutRange(..)
            | Command::RemoveRange(_)
            | Command::ClearBindings
            | Command::PutSnat(_)
            | Command::PutEndpoint(..) => {
                unreachable!("the pools of scripts have no {command:?}")
            }
        }
    }

    fn sweep(&mut self) -> (Census, u32) {
        self.memory.sweep(CLOSED_FOR);
        let written = self.memory.written.get_mut();
        for (index, seen) in written.seen.drain() {
            self.seen[index as usize].store(seen, Ordering::Relaxed);
        }
        let flows = written.backend_census.iter().map(|(id, census)| (*id, census.flows));
        let moved = written.listener_census.iter().map(|(id, census)| (*id, census.moved));
        (Census { flows: flows.collect(), moved: moved.collect() }, self.memory.now)
    }

    fn settle(&mut self, region: Region, swept: u32) {
        self.ring(region, |words| words.settle(swept));
    }

    fn convert(&mut self, region: Region, refused: u32, idle: u32) {
        let now = self.now();
        self.ring(region, |words| words.convert(now, refused, idle));
    }

    fn states(&self, region: Region) -> States {
        let range = region.base as usize..(region.base + region.size) as usize;
        Words::new(&self.slots[range.clone()], &self.seen[range]).states()
    }

    fn named(&self, region: Region) -> BTreeSet<u16> {
        let slots = self.memory.slots.iter().skip(region.base as usize);
        let slots = slots.take(region.size as usize);
        slots.flat_map(|slot| [slot.cur(), slot.prev()]).collect()
    }

    fn refused(&self) -> u64 {
        self.memory.written.borrow().listener_states.values().map(|state| state.refused).sum()
    }

    fn last_refused(&self, pool: u16) -> u32 {
        self.memory.written.borrow().refused.get(&pool).copied().unwrap_or(0)
    }

    fn last_refused_at(&self, pool: u16) -> u32 {
        self.last_refused(pool)
    }

    fn owners(&self, region: Region) -> Vec<u16> {
        let slots = self.memory.slots.iter().skip(region.base as usize);
        slots.take(region.size as usize).map(|slot| slot.cur()).collect()
    }

    fn run(&mut self, frame: &[u8]) -> Option<Vec<u8>> {
        let mut buffer = [0; 256];
        let mut frame = Frame::new(&mut buffer, frame, INTERFACE).unwrap();
        let outcome = process(&mut frame, &self.memory);
        (outcome == Outcome::Transmit).then(|| frame.bytes().to_vec())
    }
}

fn listener_key(key: &ListenerKey) -> ListenerKeyV4 {
    let IpAddr::V4(address) = key.address else { unreachable!("the VIP and members are of IPv4") };
    let address: Be32 = bytemuck::cast(address.octets());
    ListenerKeyV4::new(address, Be16::new(key.port), key.protocol)
}

#[test]
fn no_flow_that_policy_protects_moves() {
    let cases = std::env::var("ELB_MODEL_CASES").map_or(100_000, |cases| cases.parse().unwrap());
    std::thread::scope(|scope| {
        (0..THREADS).for_each(|n| drop(scope.spawn(move || play(cases / THREADS, n))));
    });
}

/// Plays histories, others for each thread.
fn play(cases: u32, thread: u32) {
    let hosts = RefCell::new((Host::default(), Host::default()));
    let result = trial::histories(cases, thread).run(&any_script(40), |script| {
        let (host, other) = &mut *hosts.borrow_mut();
        trial::run(host, other, &script)
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
}
