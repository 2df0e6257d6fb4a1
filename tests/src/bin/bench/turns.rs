//! The programs that take turns, and when; see `elb_tests_ebpf::bench`.

use anyhow::{Context as _, Result, ensure};
use aya::maps::xdp::DevMap;
use aya::maps::{Array, ProgramArray};
use aya::programs::{ProgramFd, TestRun as _, TestRunAttrs, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader};
use elb_tests::environment::bpf_dir;
use elb_tests::record::{Record, array, clear, per_cpu};
use elb_tests_ebpf::DEVICE;
use elb_tests_ebpf::bench::{FRAME, NEXT, ROLES, STEPS, TEMPLATES, TIMES, TURN, TURNS, Template};

use crate::cycles::{Cycle, Cycles};

/// Cycles in one call of BPF_PROG_TEST_RUN.
pub const CYCLES: u32 = 128;
/// Frames that the kernel makes before it sends them.
const BATCH: u32 = 64;

/// Templates of the roles, in their order.
pub type Roles = [Template; ROLES as usize];

/// Packets of so many cycles, and one more, which ends the last turn.
pub const fn packets(cycles: u32) -> u32 {
    cycles * ROLES * TURN + 1
}

/// The object `bench-wrapper`.
pub struct Turns {
    object: Ebpf,
}

impl Turns {
    /// Loads some of its programs.
    pub fn load(programs: &[&str]) -> Result<Self> {
        Ok(Self { object: load("bench-wrapper", programs)? })
    }

    /// One of its programs.
    pub fn program(&mut self, name: &str) -> Result<&mut Xdp> {
        Ok(self.object.program_mut(name).context("no such program")?.try_into()?)
    }

    /// Makes `programs` those that templates name. What is named stays loaded, with its maps.
    pub fn name(&mut self, programs: &[ProgramFd]) -> Result<()> {
        let map = self.object.map_mut(NEXT).context("no program array")?;
        let mut next = ProgramArray::try_from(map)?;
        for (index, program) in (0..).zip(programs) {
            next.set(index, program, 0)?;
        }
        Ok(())
    }

    /// Frames leave by an interface of the calling thread's namespace.
    pub fn send_by(&mut self, ifindex: u32) -> Result<()> {
        let map = self.object.map_mut(DEVICE).context("no device map")?;
        Ok(DevMap::try_from(map)?.set(0, ifindex, None, 0)?)
    }

    /// Runs a program; what it answered to the last packet.
    pub fn run(&mut self, program: &str, roles: Roles, packets: u32) -> Result<u32> {
        self.run_with(program, roles, packets, TestRunAttrs::new())
    }

    /// Runs a program on frames that are then sent.
    pub fn send(&mut self, program: &str, roles: Roles, packets: u32) -> Result<()> {
        self.run_with(program, roles, packets, TestRunAttrs::new().xdp_live_frames(BATCH)).map(drop)
    }

    fn run_with(
        &mut self,
        program: &str,
        roles: Roles,
        repeat: u32,
        attrs: TestRunAttrs,
    ) -> Result<u32> {
        clear::<u32>(&mut self.object, STEPS, 1)?;
        let mut templates = array(&mut self.object, TEMPLATES)?;
        for (index, template) in (0..).zip(roles) {
            templates.set(index, Record(template), 0)?;
        }
        let data_in = Some(&[0; FRAME][..]);
        let options = TestRunOptions { data_in, repeat, attrs, ..TestRunOptions::default() };
        Ok(self.program(program)?.test_run(options)?.return_value)
    }

    /// The first `cycles` cycles, at most [`CYCLES`], of the last packets.
    pub fn cycles(&self, cycles: u32) -> Result<Cycles> {
        const { assert!(CYCLES * ROLES < TURNS) };
        let wanted = packets(cycles);
        let taken: u32 = per_cpu(&self.object, STEPS, 1)?.iter().sum();
        ensure!(taken >= wanted, "only {taken} of {wanted} packets took their turns");
        let map: Array<_, u64> = self.object.map(TIMES).context("no TIMES")?.try_into()?;
        let times = (0..=cycles * ROLES).map(|turn| Ok(map.get(&turn, 0)?));
        let times = times.collect::<Result<Vec<u64>>>()?;
        let each = |pair: &[u64]| pair[1].saturating_sub(pair[0]) as f64 / f64::from(TURN);
        Ok(Cycle::of(&times.windows(2).map(each).collect::<Vec<_>>()))
    }
}

/// Loads programs of an object.
pub fn load(object: &str, programs: &[&str]) -> Result<Ebpf> {
    let path = bpf_dir()?.join(object);
    let mut ebpf = EbpfLoader::new()
        .load_file(&path)
        .with_context(|| format!("cannot load {}", path.display()))?;
    for name in programs {
        let program: &mut Xdp = ebpf.program_mut(name).context("no such program")?.try_into()?;
        program.load().with_context(|| format!("the kernel refuses {name}"))?;
    }
    Ok(ebpf)
}

/// A handle of a program of an object.
pub fn handle(object: &Ebpf, program: &str) -> Result<ProgramFd> {
    let program: &Xdp = object.program(program).context("no such program")?.try_into()?;
    Ok(program.fd()?.try_clone()?)
}
