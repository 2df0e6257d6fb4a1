//! Scripts in the kernel: the agent's own writes into its maps, and its program.
//!
//! The program reads the kernel's clock. So that time passes, everything that it compares with that
//! clock gets older: what the maps hold, while the agent's clock is ahead by as much. A time before
//! the machine started stays its start; that is long ago, too.

use std::cell::RefCell;
use std::collections::BTreeMap;

use aya::maps::{Array, HashMap, Map, MapData};
use aya::programs::{TestRun as _, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader};
use elb_common::flow::{Flow, FlowKeyV4};
use elb_common::names;
use elb_common::pool::Pool;
use elb_common::ring::{CHUNK, Chunk};
use elb_tests::environment::bpf_dir;
use elb_tests::host::PinDir;
use elb_tests::record::Record;
use elb_userspace::kernel::{Capacity, Maps, Object};
use elb_userspace::publish::{Command, Region, Store as _};
use nix::time::{ClockId, clock_gettime};
use proptest::test_runner::{Config, TestRunner};

use crate::host::Host;
use crate::script::any_script;
use crate::trial;
use crate::world::{Datapath, ROOM};

struct Kernel {
    maps: Maps,
    /// The program again, over the same maps.
    program: Ebpf,
    flows: HashMap<MapData, Record<FlowKeyV4>, Record<Flow>>,
    seen: Array<MapData, Record<Chunk>>,
    /// First slot and size of the rings.
    rings: BTreeMap<u32, u32>,
    /// Records of pools by the agent's clock.
    pools: BTreeMap<u16, Pool>,
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
        let capacity = Capacity { chunks, flows: 4096, backends, listeners };
        let mut object = Object::load(pins.path(), capacity).expect("this test needs root");
        let maps = Maps::new(&mut object, capacity).unwrap();
        let mut loader = EbpfLoader::new();
        for name in names::MAPS {
            loader.map_pin_path(name, object.directory.join(name));
        }
        let mut program = loader.load_file(bpf_dir().unwrap().join("elb-xdp")).unwrap();
        let xdp: &mut Xdp = program.program_mut(names::PROGRAM).unwrap().try_into().unwrap();
        xdp.load().unwrap();
        let pinned = |name| MapData::from_pin(object.directory.join(name)).unwrap();
        Self {
            maps,
            program,
            flows: Map::LruHashMap(pinned(names::FLOWS_V4)).try_into().unwrap(),
            seen: Map::Array(pinned(names::RINGS_SEEN)).try_into().unwrap(),
            rings: BTreeMap::new(),
            pools: BTreeMap::new(),
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
        let flows: Vec<_> = self.flows.iter().map(Result::unwrap).collect();
        for (key, Record(flow)) in flows {
            let older = Flow { seen: flow.seen.saturating_sub(seconds), ..flow };
            self.flows.insert(key, Record(older), 0).unwrap();
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
        for (id, pool) in self.pools.clone() {
            self.put_pool(id, pool);
        }
    }

    fn execute(&mut self, command: &Command) {
        if let Command::PutPool(id, pool) = command {
            self.pools.insert(*id, *pool);
            self.put_pool(*id, *pool);
            return;
        }
        if let Command::WriteRing(ring) = command {
            self.rings.insert(ring.base, u32::try_from(ring.owners.len()).unwrap());
        }
        if let Command::ClearRing(region) = command {
            self.rings.remove(&region.base);
        }
        self.maps.execute(command).unwrap();
    }

    fn settle(&mut self, region: Region, idle: u32, together: bool) -> u32 {
        self.maps.settle(region, idle, together)
    }

    fn owners(&self, region: Region) -> Vec<u16> {
        self.maps.owners(region)
    }

    fn flow(&self, key: &FlowKeyV4) -> Option<Flow> {
        let Record(flow) = self.flows.get(&Record(*key), 0).ok()?;
        Some(Flow { seen: flow.seen + self.ahead, ..flow })
    }

    fn remove_flow(&mut self, key: &FlowKeyV4) {
        let _ = self.flows.remove(&Record(*key)); // there may be none
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
    let config = Config { failure_persistence: None, ..Config::with_cases(2_000) };
    let result = TestRunner::new(config).run(&any_script(40), |script| {
        let (kernel, host) = &mut *datapaths.borrow_mut();
        trial::run(kernel, host, &script)
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
}
