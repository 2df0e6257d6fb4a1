//! Scripts in the kernel: the agent's own writes into its maps, and its programs.
//!
//! The program reads the kernel's clock. So that time passes, everything that it compares with that
//! clock gets older: what the maps hold, while the agent's clock is ahead by as much. A time before
//! the machine started stays its start; that is long ago, too.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use aya::maps::{Array, HashMap, Map, MapData};
use aya::programs::{TestRun as _, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader};
use elb_common::client::{Client, ClientKey};
use elb_common::exception::Exception;
use elb_common::flow::{Flow, FlowKeyV4};
use elb_common::listener::Listener;
use elb_common::names;
use elb_common::pool::{Pool, PoolState};
use elb_common::ring::{CHUNK, Chunk};
use elb_common::room::FlowTable;
use elb_tests::environment::bpf_dir;
use elb_tests::host::PinDir;
use elb_tests::record::Record;
use elb_userspace::control::plan::{Command, ListenerKey, MapStore as _, Region};
use elb_userspace::control::ring::region::States;
use elb_userspace::kernel::bpf::{Capacity, LoadedObject, Maps, Sweeper, coarse_seconds};
use nix::time::{ClockId, clock_gettime};

use crate::host::Host;
use crate::script::any_script;
use crate::trial;
use crate::world::{Census, Datapath, ROOM};

type Flows = HashMap<MapData, Record<FlowKeyV4>, Record<Flow>>;
type Clients = HashMap<MapData, Record<ClientKey>, Record<Client>>;

type Exceptions = HashMap<MapData, Record<FlowKeyV4>, Record<Exception>>;

struct Kernel {
    maps: Maps,
    sweeper: Sweeper,
    /// The program again, over the same maps.
    program: Ebpf,
    flows: [Flows; 2],
    clients: [Clients; 2],
    exceptions: Exceptions,
    excepted: Array<MapData, u32>,
    seen: Array<MapData, Record<Chunk>>,
    pool_states: Array<MapData, Record<PoolState>>,
    tables: Array<MapData, Record<FlowTable>>,
    /// First slot and size of the rings.
    rings: BTreeMap<u32, u32>,
    /// Records by the agent's clock.
    pools: BTreeMap<u16, Pool>,
    listeners: BTreeMap<ListenerKey, Listener>,
    /// Seconds by which the agent's clock is ahead.
    ahead: u32,
    /// Milliseconds that are still to pass.
    rest: u32,
    out: Vec<u8>,
    _pins: PinDir,
}

impl Kernel {
    fn new() -> Self {
        let pins = PinDir::create().expect("this test needs root");
        let chunks = ROOM.slots.div_ceil(CHUNK);
        let (backends, listeners) = (ROOM.backends, ROOM.listeners);
        let capacity =
            Capacity { chunks, flows: 4096, backends, listeners, clients: 64, bindings: 1 };
        let mut object = LoadedObject::load(pins.path(), capacity).expect("this test needs root");
        let maps = Maps::new(&mut object, capacity).unwrap();
        let sweeper = Sweeper::new(&mut object, capacity).unwrap();
        let mut loader = EbpfLoader::new();
        for name in names::MAPS {
            loader.map_pin_path(name, object.directory.join(name));
        }
        let mut program = loader.load_file(bpf_dir().unwrap().join("elb-xdp")).unwrap();
        let xdp: &mut Xdp = program.program_mut(names::PROGRAM).unwrap().try_into().unwrap();
        xdp.load().unwrap();
        let pinned = |name| MapData::from_pin(object.directory.join(name)).unwrap();
        let flows = [names::OPENINGS_V4, names::FLOWS_V4]
            .map(|name| Map::LruHashMap(pinned(name)).try_into().unwrap());
        let clients = [names::CLIENT_OPENINGS, names::CLIENTS]
            .map(|name| Map::LruHashMap(pinned(name)).try_into().unwrap());
        Self {
            maps,
            sweeper,
            program,
            flows,
            clients,
            exceptions: Map::LruHashMap(pinned(names::EXCEPTIONS_V4)).try_into().unwrap(),
            excepted: Map::Array(pinned(names::EXCEPTED)).try_into().unwrap(),
            seen: Map::Array(pinned(names::RINGS_SEEN)).try_into().unwrap(),
            pool_states: Map::Array(pinned(names::POOL_STATES)).try_into().unwrap(),
            tables: Map::Array(pinned(names::FLOW_TABLES)).try_into().unwrap(),
            rings: BTreeMap::new(),
            pools: BTreeMap::new(),
            listeners: BTreeMap::new(),
            ahead: 0,
            rest: 0,
            out: vec![0; 256],
            _pins: pins,
        }
    }

    fn put_pool(&mut self, id: u16, pool: Pool) {
        let older = |time: u32| time.saturating_sub(self.ahead);
        let (udp_hold_until, flows_since) = (older(pool.udp_hold_until), older(pool.flows_since));
        let pool = Pool { udp_hold_until, flows_since, ..pool };
        self.maps.execute(&Command::PutPool(id, pool)).unwrap();
    }

    fn put_listener(&mut self, key: ListenerKey, listener: Listener) {
        let former_hold_until = listener.former_hold_until.saturating_sub(self.ahead);
        let listener = Listener { former_hold_until, ..listener };
        self.maps.execute(&Command::PutListener(key, listener)).unwrap();
    }

    fn age_rings(&mut self, seconds: u32) {
        for (base, size) in &self.rings {
            for index in base / CHUNK..(base + size).div_ceil(CHUNK) {
                let chunk = self.seen.get(&index, 0).unwrap().0;
                if chunk != Chunk::default() {
                    let older = chunk.map(|seen| seen.saturating_sub(seconds));
                    self.seen.set(index, Record(older), 0).unwrap();
                }
            }
        }
    }

    fn age_flows(&mut self, seconds: u32) {
        for flows in &mut self.flows {
            let all: Vec<_> = flows.iter().map(Result::unwrap).collect();
            for (key, Record(flow)) in all {
                let older = Flow { seen: flow.seen.saturating_sub(seconds), ..flow };
                flows.insert(key, Record(older), 0).unwrap();
            }
        }
    }

    fn age_clients(&mut self, seconds: u32) {
        for clients in &mut self.clients {
            let all: Vec<_> = clients.iter().map(Result::unwrap).collect();
            for (key, Record(client)) in all {
                let older = Client { seen: client.seen.saturating_sub(seconds), ..client };
                clients.insert(key, Record(older), 0).unwrap();
            }
        }
    }

    fn age_exceptions(&mut self, seconds: u32) {
        let all: Vec<_> = self.exceptions.iter().map(Result::unwrap).collect();
        for (key, Record(exception)) in all {
            let older = Exception { seen: exception.seen.saturating_sub(seconds), ..exception };
            self.exceptions.insert(key, Record(older), 0).unwrap();
        }
        for id in 0..ROOM.backends {
            let until = self.excepted.get(&id, 0).unwrap();
            self.excepted.set(id, until.saturating_sub(seconds), 0).unwrap();
        }
    }

    fn age_refusals(&mut self, seconds: u32) {
        for id in 0..ROOM.pools {
            let Record(state) = self.pool_states.get(&id, 0).unwrap();
            if state.refused > 0 {
                let refused = state.refused.saturating_sub(seconds).max(1);
                self.pool_states.set(id, Record(PoolState { refused, ..state }), 0).unwrap();
            }
        }
    }
}

impl Datapath for Kernel {
    fn clock(&self) -> u64 {
        let time = clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE).unwrap();
        let milliseconds = time.tv_sec() * 1000 + time.tv_nsec() / 1_000_000;
        u64::try_from(milliseconds).unwrap() + u64::from(self.ahead) * 1000
    }

    fn pass(&mut self, milliseconds: u32) {
        let all = self.rest + milliseconds;
        let seconds = all / 1000;
        self.rest = all % 1000;
        self.ahead += seconds;
        self.age_rings(seconds);
        self.age_flows(seconds);
        self.age_clients(seconds);
        self.age_exceptions(seconds);
        self.age_refusals(seconds);
        for (id, pool) in self.pools.clone() {
            self.put_pool(id, pool);
        }
        for (key, listener) in self.listeners.clone() {
            self.put_listener(key, listener);
        }
    }

    fn begin(&mut self, room: u32) {
        for flows in &mut self.flows {
            let keys: Vec<_> = flows.keys().map(Result::unwrap).collect();
            keys.iter().for_each(|key| flows.remove(key).unwrap());
        }
        for clients in &mut self.clients {
            let keys: Vec<_> = clients.keys().map(Result::unwrap).collect();
            keys.iter().for_each(|key| clients.remove(key).unwrap());
        }
        let keys: Vec<_> = self.exceptions.keys().map(Result::unwrap).collect();
        keys.iter().for_each(|key| self.exceptions.remove(key).unwrap());
        (0..ROOM.backends).for_each(|id| self.excepted.set(id, 0, 0).unwrap());
        let table = FlowTable { room, swept: coarse_seconds(), ..FlowTable::default() };
        (0..2).for_each(|index| self.tables.set(index, Record(table), 0).unwrap());
        for id in 0..ROOM.pools {
            self.pool_states.set(id, Record(PoolState::default()), 0).unwrap();
        }
        for id in 0..u16::try_from(ROOM.listeners).unwrap() {
            self.maps.execute(&Command::ResetListenerCounter(id)).unwrap();
        }
        for id in 0..u16::try_from(ROOM.backends).unwrap() {
            self.maps.execute(&Command::ResetBackendCounter(id)).unwrap();
        }
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "the maps know them all")]
    fn execute(&mut self, command: &Command) {
        match command {
            Command::PutPool(id, pool) => {
                self.pools.insert(*id, *pool);
                return self.put_pool(*id, *pool);
            }
            Command::PutListener(key, listener) => {
                self.listeners.insert(*key, *listener);
                return self.put_listener(*key, *listener);
            }
            Command::RemoveListener(key) => drop(self.listeners.remove(key)),
            Command::WriteRing(ring) => {
                self.rings.insert(ring.base, u32::try_from(ring.owners.len()).unwrap());
            }
            Command::ClearRing(region) => drop(self.rings.remove(&region.base)),
            _ => {}
        }
        self.maps.execute(command).unwrap();
    }

    fn sweep(&mut self) -> (Census, u32) {
        let found = self.sweeper.sweep().unwrap();
        let flows = (0..).zip(&found.backends).map(|(id, census)| (id, census.flows));
        let moved = (0..).zip(&found.listeners).map(|(id, census)| (id, census.moved));
        (Census { flows: flows.collect(), moved: moved.collect() }, found.swept)
    }

    fn settle(&mut self, region: Region, swept: u32) {
        self.maps.settle(region, swept);
    }

    fn convert(&mut self, region: Region, refused: u32, idle: u32) {
        self.maps.convert(region, refused, idle);
    }

    fn states(&self, region: Region) -> States {
        self.maps.states(region)
    }

    fn named(&self, region: Region) -> BTreeSet<u16> {
        self.maps.named(region)
    }

    fn owners(&self, region: Region) -> Vec<u16> {
        self.maps.owners(region)
    }

    fn refused(&self) -> u64 {
        let ids = 0..u16::try_from(ROOM.listeners).unwrap();
        ids.map(|id| self.maps.listener_state(id).unwrap().refused).sum()
    }

    fn last_refused(&self, pool: u16) -> u32 {
        self.maps.last_refused(pool).unwrap()
    }

    fn last_refused_at(&self, pool: u16) -> u32 {
        let refused = self.last_refused(pool);
        if refused > 0 { refused + self.ahead } else { 0 }
    }

    fn run(&mut self, frame: &[u8]) -> Option<Vec<u8>> {
        const XDP_TX: u32 = 3;
        let program: &Xdp = self.program.program(names::PROGRAM).unwrap().try_into().unwrap();
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut self.out),
            ..TestRunOptions::default()
        };
        let result = program.test_run(options).unwrap();
        let length = result.data_size_out as usize;
        (result.return_value == XDP_TX).then(|| self.out[..length].to_vec())
    }
}

#[test]
fn no_flow_that_policy_protects_moves() {
    let datapaths = RefCell::new((Kernel::new(), Host::default()));
    let result = trial::histories(2_000, 0).run(&any_script(40), |script| {
        let (kernel, host) = &mut *datapaths.borrow_mut();
        trial::run(kernel, host, &script)
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
}
