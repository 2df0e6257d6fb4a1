//! `bench insns`: instructions a packet, counted exactly, against those of a committed baseline.
//!
//! The clock of our virtual machines counts instructions, so the bench's nanoseconds are
//! instructions there. They say nothing about caches: the bench on a real processor does that.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::guest::{Guests, Kernel, Plan, REPORT_PORT, Step};
use crate::setup::Toolchain;
use crate::workspace::root;

/// Growth that fails, as a share of the baseline.
const TOLERANCE: f64 = 0.02;
/// What a quotient of two counts may be off by.
const ROUNDING: f64 = 1e-9;

/// Instructions a packet of each case.
type Cases = BTreeMap<String, f64>;

/// What was counted once.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct Baseline {
    /// What the programs were built with: others build them otherwise.
    toolchain: String,
    /// The cases on each kernel, by its series.
    kernels: BTreeMap<String, Cases>,
}

/// Counts on all kernels at once, programs that `toolchain` built, and compares; or, to `update`,
/// writes the baseline. Says why if there is nothing to compare with.
pub(crate) fn run(guests: &Guests, toolchain: &Toolchain, update: bool) -> Result<Option<String>> {
    let mut known = read_baseline()?;
    let mut now = Baseline { toolchain: toolchain.versions(), ..Baseline::default() };
    if !update && known.toolchain != now.toolchain {
        let (known, now) = (known.toolchain, now.toolchain);
        return Ok(Some(format!("instructions: their baseline is of {known}; this is {now}")));
    }
    let mut faults = Vec::new();
    for (kernel, counted) in guests.on_each(|kernel| count(guests, kernel)) {
        let counted = counted?;
        let known = known.kernels.entry(kernel.series.to_owned()).or_default();
        println!("\nkernel {:<48}{:>10}{:>10}", kernel.series, "baseline", "now");
        for line in compare(known, &counted) {
            println!("{}", line.text());
            faults.extend(line.fault().map(|fault| format!("kernel {}: {fault}", kernel.series)));
        }
        now.kernels.insert(kernel.series.to_owned(), counted);
    }
    if update {
        return write_baseline(&now).map(|()| None);
    }
    let accept = "if all of that is meant, run: cargo xtask bench insns --update";
    ensure!(faults.is_empty(), "{}\n{accept}", faults.join("\n"));
    Ok(None)
}

fn count(guests: &Guests, kernel: &Kernel) -> Result<Cases> {
    let arguments = vec!["--instructions", "--json", REPORT_PORT];
    let step = Step { name: "instructions", program: "bench", arguments };
    let plan = Plan { processors: 1, steps: vec![step] };
    let mut said = Vec::new();
    let report = guests.run(kernel, &plan, |line| said.push(line.to_owned()));
    let report = report.with_context(|| said.join("\n"))?;
    let cases: Cases = report.figures().filter_map(instructions).collect();
    ensure!(!cases.is_empty(), "the bench on kernel {} reported nothing", kernel.series);
    Ok(cases)
}

/// In tenths: what is beyond is the share of a clock's tick.
fn instructions(figure: &Value) -> Option<(String, f64)> {
    let count = (figure["net_ns"].as_f64()? * 10.0).round() / 10.0;
    Some((figure["case"].as_str()?.to_owned(), count))
}

/// What became of a case.
struct Line<'a> {
    case: &'a str,
    before: Option<f64>,
    now: Option<f64>,
}

fn compare<'a>(known: &'a Cases, counted: &'a Cases) -> Vec<Line<'a>> {
    let gone = known.keys().filter(|case| !counted.contains_key(*case));
    let all = counted.keys().chain(gone);
    let get = |cases: &Cases, case: &str| cases.get(case).copied();
    all.map(|case| Line { case, before: get(known, case), now: get(counted, case) }).collect()
}

impl Line<'_> {
    fn growth(&self) -> Option<f64> {
        Some(self.now? / self.before? - 1.0)
    }

    fn text(&self) -> String {
        let number =
            |count: Option<f64>| count.map_or("-".to_owned(), |count| format!("{count:.1}"));
        let growth =
            self.growth().map_or(String::new(), |growth| format!("{:+.1} %", growth * 100.0));
        let Self { case, before, now } = self;
        format!("{case:<55}{:>10}{:>10}  {growth}", number(*before), number(*now))
    }

    fn fault(&self) -> Option<String> {
        let case = self.case;
        match (self.growth(), self.now) {
            (Some(growth), _) if growth > TOLERANCE + ROUNDING => {
                Some(format!("\"{case}\" takes {:.1} % more instructions", growth * 100.0))
            }
            (Some(_), _) => None,
            (None, Some(_)) => Some(format!("\"{case}\" is not in the baseline")),
            (None, None) => Some(format!("\"{case}\" is in the baseline alone")),
        }
    }
}

fn baseline_file() -> PathBuf {
    root().join("tests/insns.json")
}

fn read_baseline() -> Result<Baseline> {
    let file = baseline_file();
    let text =
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no baseline", file.display()))
}

fn write_baseline(baseline: &Baseline) -> Result<()> {
    let file = baseline_file();
    let text = serde_json::to_string_pretty(baseline)?;
    fs::write(&file, text + "\n").with_context(|| format!("cannot write {}", file.display()))?;
    println!("\nwrote {}", file.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cases(of: &[(&str, f64)]) -> Cases {
        of.iter().map(|(case, count)| ((*case).to_owned(), *count)).collect()
    }

    fn faults(known: &[(&str, f64)], counted: &[(&str, f64)]) -> Vec<String> {
        let (known, counted) = (cases(known), cases(counted));
        compare(&known, &counted).iter().filter_map(Line::fault).collect()
    }

    #[test]
    fn only_growth_beyond_the_tolerance_is_a_fault() {
        let known = [("a", 100.0), ("b", 100.0)];
        assert!(faults(&known, &[("a", 102.0), ("b", 50.0)]).is_empty());
        let grown = faults(&known, &[("a", 102.1), ("b", 100.0)]);
        assert_eq!(grown, ["\"a\" takes 2.1 % more instructions"]);
    }

    #[test]
    fn the_baseline_has_the_cases_that_are_counted_and_no_others() {
        assert_eq!(faults(&[], &[("a", 1.0)]), ["\"a\" is not in the baseline"]);
        assert_eq!(faults(&[("a", 1.0)], &[]), ["\"a\" is in the baseline alone"]);
    }

    #[test]
    fn the_committed_baseline_is_readable() {
        let baseline = read_baseline().unwrap();
        assert!(!baseline.kernels.is_empty(), "{baseline:?}");
        assert!(baseline.kernels.values().all(|cases| !cases.is_empty()), "{baseline:?}");
    }
}
