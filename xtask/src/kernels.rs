//! `test --kernels`: whether elb works on other kernels than this machine's, and which.
//!
//! Of all tests, those that depend on the kernel: what the verifier takes, one packet or some through
//! each part of the packet path, some hostile ones, a lab for each forwarding mode, backends with the
//! kernel's own tunnels, and what drivers of cards report.

use anyhow::{Result, bail, ensure};

use crate::guest::{Guests, Kernel, Plan, Step};
use crate::tally::Tally;

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

/// Program runs that together ask the kernel for all that it must do for the packet path. Each
/// loads the program anew, which takes an emulated machine seconds.
const RUNS: [&str; 14] = [
    "budget::",
    "forwarding::every_mode_and_version",
    "admission::a_blacklist_keeps_its_members_from_opening_flows",
    "decap::what_was_wrapped_comes_out_as_it_went_in",
    "excepting::each_listener_of_a_shared_endpoint_gets_its_answers",
    "translating::back_in_both_versions",
    "translating::errors_about_answers_reach_the_member",
    "errors::senders_of_what_does_not_fit_learn_the_size_that_does",
    "fragments::fragments_go_where_the_first_went",
    "fuzz::hostile_packets_while_they_are_reported",
    "moving::tcp_new_flows_go_to_the_new_owner_old_ones_stay",
    "probing::a_probe_goes_to_the_backend_that_is_probed",
    "tracing::by_address",
    "tunnels::gue_in_every_pair_of_versions",
];

/// What two machines do, one after the other.
fn plans() -> [Plan; 2] {
    let steps = vec![
        tests("program runs", "program", &RUNS),
        tests("l2", "lab", &["forwarding::l2_on_one_interface"]),
        tests("ipip", "lab", &["forwarding::ipip_on_one_interface"]),
        tests("gue", "lab", &["forwarding::gue_on_one_interface"]),
        tests("nat", "lab", &["translating::on_one_interface"]),
        tests("the kernel's own tunnels", "devices", &["tunnels::"]),
    ];
    // A card spreads packets over several processors.
    let cards = vec![tests("cards", "devices", &["cards::"])];
    [Plan { processors: 1, steps }, Plan { processors: 2, steps: cards }]
}

/// One test at a time: a machine is slow.
fn tests(name: &'static str, program: &'static str, filters: &[&'static str]) -> Step {
    Step { name, program, arguments: [filters, &["--test-threads=1"]].concat() }
}

/// The version of the kernel, in its own words, and how many tests it passed.
fn run_on(guests: &Guests, kernel: &Kernel) -> Result<(String, Tally)> {
    let (mut version, mut all) = (String::new(), Tally::default());
    for plan in plans() {
        let (its, tally) = run_plan(guests, kernel, &plan)?;
        (version, all) = (its, all.and(&tally));
    }
    Ok((version, all))
}

fn run_plan(guests: &Guests, kernel: &Kernel, plan: &Plan) -> Result<(String, Tally)> {
    let (mut tallies, mut ran) = (Vec::new(), Vec::new());
    let report = guests.run(kernel, plan, |line| {
        println!("{:>5} | {line}", kernel.series);
        tallies.extend(Tally::parse(line));
        ran.extend(line.strip_prefix("test ").map(str::to_owned));
    })?;
    let all_ran = tallies.len() == plan.steps.len() && tallies.iter().all(|tally| tally.ran() > 0);
    ensure!(all_ran, "a step on kernel {} ran no test", kernel.series);
    if let Some(filter) = without_a_test(&plan.steps, &ran) {
        bail!("no test on kernel {} is called {filter:?}: was it renamed?", kernel.series);
    }
    let all = tallies.iter().fold(Tally::default(), |all, one| all.and(one));
    Ok((report.kernel().to_owned(), all))
}

/// A filter that no test matches, which must not pass for a test that passed.
fn without_a_test(steps: &[Step], ran: &[String]) -> Option<&'static str> {
    let filters = steps.iter().flat_map(|step| step.arguments.iter().copied());
    let mut filters = filters.filter(|argument| !argument.starts_with("--"));
    filters.find(|filter| !ran.iter().any(|test| test.contains(filter)))
}

fn describe(result: &Result<(String, Tally)>) -> String {
    match result {
        Ok((version, tally)) => format!("ok      {} ({version})", tally.describe()),
        Err(error) => format!("FAILED  {error:#}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_without_a_test_is_found() {
        let steps = [tests("runs", "program", &["budget::", "tracing::by_address"])];
        let ran = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let both = ran(&["budget::forwarding_program ... ok", "tracing::by_address ... ok"]);
        assert_eq!(without_a_test(&steps, &both), None);
        assert_eq!(without_a_test(&steps, &both[..1]), Some("tracing::by_address"));
    }
}
