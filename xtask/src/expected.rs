//! The stages of runs, and how long each usually takes on two processors with nothing else to do.

use std::fmt;

/// A part of a run.
#[derive(Clone, Copy)]
pub(crate) struct Stage {
    pub(crate) name: &'static str,
    /// Seconds where nothing of it is built yet.
    first: u32,
    /// Seconds where everything is.
    again: u32,
}

pub(crate) const SETUP: Stage = stage("setup", 10, 1);
pub(crate) const BPF: Stage = stage("BPF programs", 60, 2);

pub(crate) const DEMO_BUILD: Stage = stage("elb and the demo", 150, 2);
pub(crate) const DEMO: Stage = stage("demo", 30, 30);
pub(crate) const BENCH_BUILD: Stage = stage("elb and the bench, optimised", 420, 2);
pub(crate) const BENCH: Stage = stage("bench", 600, 600);
pub(crate) const ELB_RELEASE: Stage = stage("the elb binary, optimised", 240, 2);

pub(crate) const ELB_DIST: Stage = stage("the elb binary, to be packed", 420, 2);
pub(crate) const PACKING: Stage = stage("packing", 60, 60);

pub(crate) const FORMAT: Stage = stage("format", 2, 2);
pub(crate) const CLIPPY_HOST: Stage = stage("clippy, host", 90, 2);
pub(crate) const CLIPPY_BPF: Stage = stage("clippy, BPF", 30, 2);
pub(crate) const PORTABLE: Stage = stage("another processor and C library", 60, 2);
pub(crate) const DEPENDENCIES: Stage = stage("dependencies", 10, 10);
pub(crate) const DOCUMENTATION: Stage = stage("documentation", 60, 5);

pub(crate) const HOST_TESTS: Stage = stage("host tests", 240, 30);
pub(crate) const FUZZING: Stage = stage("hostile input", 60, 10);
pub(crate) const LAB_PROGRAMS: Stage = stage("elb and the labs' programs", 60, 2);
pub(crate) const LAB_PACKAGES: Stage = stage("packages that labs install", 10, 10);
pub(crate) const PROGRAM_RUNS: Stage = stage("program runs", 200, 180);
pub(crate) const NAMED_HOST_TESTS: Stage = stage("host tests of that name", 200, 15);
pub(crate) const NAMED_LABS: Stage = stage("runs and labs of that name", 60, 15);
pub(crate) const LABS: Stage = stage("program runs and labs", 1650, 1560);
pub(crate) const HISTORIES: Stage = stage("random histories", 450, 150);

pub(crate) const OTHER_KERNELS: Stage = stage("other kernels", 20, 1);
pub(crate) const GUEST_PROGRAMS: Stage = stage("programs for them", 60, 2);
pub(crate) const GUEST_TESTS: Stage = stage("tests on other kernels", 300, 300);
pub(crate) const INSTRUCTIONS: Stage = stage("instructions a packet", 30, 30);

/// All of what a run does, as its beginning says.
pub(crate) fn describe(plan: &[Stage]) -> String {
    let sum = |seconds: fn(&Stage) -> u32| minutes(plan.iter().map(seconds).sum());
    let each: Vec<_> = plan.iter().map(|stage| format!("  {:<28} {stage}", stage.name)).collect();
    format!(
        "{}\n  on two processors with nothing else to do: {} the first time, {} when all is built",
        each.join("\n"),
        sum(|stage| stage.first),
        sum(|stage| stage.again)
    )
}

const fn stage(name: &'static str, first: u32, again: u32) -> Stage {
    Stage { name, first, again }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, again) = (minutes(self.first), minutes(self.again));
        if first == again {
            return write!(f, "{first}");
        }
        write!(f, "{first} the first time, then {again}")
    }
}

/// To half a minute.
fn minutes(seconds: u32) -> String {
    let halves = (seconds + 15) / 30;
    match (halves / 2, halves % 2) {
        (0, 0) => "seconds".to_owned(),
        (0, _) => "½ min".to_owned(),
        (whole, 0) => format!("{whole} min"),
        (whole, _) => format!("{whole}½ min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_to_half_a_minute() {
        let said = [2, 15, 60, 100, 1020].map(minutes);
        assert_eq!(said, ["seconds", "½ min", "1 min", "1½ min", "17 min"]);
    }

    #[test]
    fn a_plan_names_its_stages_and_their_sum() {
        let plan = [stage("building", 100, 2), stage("running", 50, 50)];
        assert_eq!(
            describe(&plan),
            "  building                     1½ min the first time, then seconds\n\
             \x20 running                      1 min\n\
             \x20 on two processors with nothing else to do: 2½ min the first time, 1 min when all \
             is built"
        );
    }
}
