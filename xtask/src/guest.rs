//! Virtual machines with other kernels: where all that they need comes from, and how one is run.
//!
//! They are emulated (QEMU's TCG), which works wherever a program runs. The clock of one with a single
//! processor counts instructions: one a nanosecond, and time without work passes at once. So a host
//! under load makes no test in it late, and what a packet costs can be counted.

mod emulator;
mod initramfs;
mod kernel;
mod machine;
mod programs;

use std::env::consts::ARCH;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};

use self::emulator::Emulator;
pub(crate) use self::kernel::Kernel;
pub(crate) use self::machine::{Plan, REPORT_PORT, Report, Step};
use self::programs::Programs;
use crate::expected::{self, Stage};
use crate::stages::Stages;
use crate::workspace::Workspace;

/// All that machines are made of.
pub(crate) struct Guests {
    emulator: Emulator,
    kernels: Vec<Kernel>,
    programs: Programs,
    folder: PathBuf,
}

impl Guests {
    /// The stages of [`Guests::prepare`].
    pub(crate) const PREPARATION: [Stage; 2] = [expected::OTHER_KERNELS, expected::GUEST_PROGRAMS];

    /// Prepares them as stages of a run; the BPF programs must be built. What cannot be had here is
    /// skipped: some kernels, or all machines.
    pub(crate) fn prepare(stages: &mut Stages, workspace: &Workspace) -> Result<Option<Self>> {
        let folder = workspace.kernels_dir();
        let found = stages.run(expected::OTHER_KERNELS, || Ok(find_or_fetch(&folder)))?;
        let (emulator, kernels) = match found {
            Ok(Found { emulator, kernels, missing }) => {
                missing.into_iter().for_each(|why| stages.skip(why));
                (emulator, kernels)
            }
            Err(why) => {
                stages.skip(format!("virtual machines: {why:#}"));
                return Ok(None);
            }
        };
        if kernels.is_empty() {
            return Ok(None);
        }
        let programs = stages.run(expected::GUEST_PROGRAMS, || Programs::build(workspace))?;
        Ok(Some(Self { emulator, kernels, programs, folder }))
    }

    /// Does `work` with all kernels at once.
    pub(crate) fn on_each<T: Send>(
        &self,
        work: impl Fn(&Kernel) -> Result<T> + Sync,
    ) -> Vec<(&Kernel, Result<T>)> {
        thread::scope(|scope| {
            let work = &work;
            let start = |kernel| (kernel, scope.spawn(move || work(kernel)));
            let started: Vec<_> = self.kernels.iter().map(start).collect();
            let panicked = || anyhow!("it panicked, see above");
            let end = |(kernel, thread): (_, thread::ScopedJoinHandle<'_, _>)| {
                (kernel, thread.join().unwrap_or_else(|_| Err(panicked())))
            };
            started.into_iter().map(end).collect()
        })
    }

    /// Runs a machine with `kernel`, and gives each line it prints to `say`.
    pub(crate) fn run(
        &self,
        kernel: &Kernel,
        plan: &Plan,
        say: impl FnMut(&str),
    ) -> Result<Report> {
        let folder = self.folder.join(format!("{}.run", kernel.series));
        machine::run(&self.emulator, kernel, &self.programs, plan, &folder, say)
            .with_context(|| format!("the machine with kernel {}", kernel.series))
    }
}

struct Found {
    emulator: Emulator,
    kernels: Vec<Kernel>,
    /// A line about each kernel that cannot be had.
    missing: Vec<String>,
}

/// Finds or fetches the emulator and the kernels, and says so.
pub(crate) fn set_up(workspace: &Workspace) -> Result<()> {
    let found = find_or_fetch(&workspace.kernels_dir())?;
    ensure!(found.missing.is_empty(), "{}", found.missing.join("; "));
    Ok(())
}

fn find_or_fetch(folder: &Path) -> Result<Found> {
    ensure!(ARCH == "x86_64", "they are for x86_64, this is {ARCH}");
    let emulator = Emulator::find_or_fetch(folder)?;
    println!("  found    {}", emulator.describe());
    let (mut kernels, mut missing) = (Vec::new(), Vec::new());
    for series in kernel::SERIES {
        match Kernel::find_or_fetch(series, folder) {
            Ok(kernel) => {
                println!("  found    {}", kernel.describe());
                kernels.push(kernel);
            }
            Err(why) => missing.push(format!("{why:#}")),
        }
    }
    Ok(Found { emulator, kernels, missing })
}
