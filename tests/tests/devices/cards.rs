//! `elb doctor` and the driver of a card; those of virtual pairs show nothing of RSS.

use std::{fs, process::Command, time::Duration};

use anyhow::{Context as _, Result};
use elb_tests::{environment::elb_bin, process::output};
use elb_userspace::diagnosis::{
    check::Check,
    report::{Finding, Outcome, Report},
};

const LIMIT: Duration = Duration::from_secs(20);
const DRIVER: &str = "vmxnet3";

/// As long as its table is even, the card spreads packets over the processors.
#[test]
fn rss_that_leaves_a_queue_without_packets_is_reported() -> Result<()> {
    let card = card()?;
    run(&format!("ip link set {card} up"))?;
    assert_eq!(queues(&card)?.outcome, Outcome::Pass);

    run(&format!("ethtool -X {card} weight 1 0"))?;
    let finding = queues(&card)?;
    assert_eq!(finding.outcome, Outcome::Warn, "{finding:?}");
    let evidence = format!("{card}: its RSS table sends packets to 1 of 2 receive queues");
    assert_eq!(finding.evidence, evidence);

    run(finding.fix.as_deref().context("a fix")?)?;
    assert_eq!(queues(&card)?.outcome, Outcome::Pass);
    Ok(())
}

/// The machine's card.
fn card() -> Result<String> {
    for interface in fs::read_dir("/sys/class/net")? {
        let interface = interface?;
        let driver = fs::read_link(interface.path().join("device/driver")).unwrap_or_default();
        if driver.ends_with(DRIVER) {
            return Ok(interface.file_name().to_string_lossy().into_owned());
        }
    }
    anyhow::bail!("no interface is driven by {DRIVER}")
}

/// What the doctor says about the card's queues.
fn queues(card: &str) -> Result<Finding> {
    let mut command = Command::new(elb_bin()?);
    command.args(["doctor", "--interface", card, "-o", "json"]);
    let answer = command.output()?;
    let errors = String::from_utf8_lossy(&answer.stderr).into_owned();
    let printed = std::str::from_utf8(&answer.stdout)?;
    let report = elb_tests::printed::value(&["doctor"], printed).context(errors)?;
    let report: Report = serde_json::from_value(report)?;
    report.finding(Check::Queues).cloned().context("every check is there")
}

/// Runs a line without anything that a shell is needed for.
fn run(line: &str) -> Result<String> {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().context("a command")?);
    command.args(words);
    output(command, LIMIT)
}
