//! `test --kernels`: whether elb works on other kernels than this machine's, and which.
//!
//! Of all tests, those that depend on the kernel: the program on named packets and some hostile
//! ones, a lab for each forwarding mode, and backends with the kernel's own tunnels.

use anyhow::{Result, ensure};

use crate::guest::{Guests, Kernel, Step};
use crate::test::Tally;

/// Runs them on all kernels at once, and prints which work.
pub(crate) fn run(guests: &Guests) -> Result<Tally> {
    let results = guests.on_each(|kernel| run_on(guests, kernel));
    println!();
    for (kernel, result) in &results {
        println!("  kernel {:<5} {}", kernel.series, describe(result));
    }
    let tallies = results.into_iter().map(|(_, result)| result.map(|(_, tally)| tally));
    Ok(tallies.collect::<Result<Vec<_>>>()?.iter().fold(Tally::default(), |all, one| all.and(one)))
}

fn steps() -> Vec<Step> {
    vec![
        tests("program runs", "program", &[]),
        tests("l2", "lab", &["forwarding::l2_on_one_interface"]),
        tests("ipip", "lab", &["forwarding::ipip_on_one_interface"]),
        tests("gue", "lab", &["forwarding::gue_on_one_interface"]),
        tests("the kernel's own tunnels", "devices", &[]),
    ]
}

/// One test at a time: a machine has one processor.
fn tests(name: &'static str, program: &'static str, filters: &[&'static str]) -> Step {
    Step { name, program, arguments: [filters, &["--test-threads=1"]].concat() }
}

/// The version of the kernel, in its own words, and how many tests it passed.
fn run_on(guests: &Guests, kernel: &Kernel) -> Result<(String, Tally)> {
    let (steps, mut tallies) = (steps(), Vec::new());
    let report = guests.run(kernel, &steps, |line| {
        println!("{:>5} | {line}", kernel.series);
        tallies.extend(Tally::parse(line));
    })?;
    // A filter that no test matches must not pass for a test that passed.
    let all_ran = tallies.len() == steps.len() && tallies.iter().all(|tally| tally.ran() > 0);
    ensure!(all_ran, "a step on kernel {} ran no test", kernel.series);
    let all = tallies.iter().fold(Tally::default(), |all, one| all.and(one));
    Ok((report.kernel().to_owned(), all))
}

fn describe(result: &Result<(String, Tally)>) -> String {
    match result {
        Ok((version, tally)) => format!("ok      {} ({version})", tally.describe()),
        Err(error) => format!("FAILED  {error:#}"),
    }
}
