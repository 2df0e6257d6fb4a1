//! `elb drops`: what is not forwarded, how often, why, and what to do about it.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;

use super::duration::duration;
use super::socket::SocketArg;
use super::{Output, block_on, print_json, print_text};
use crate::api::client;
use crate::api::shape::drops::{Drops, rates};
use crate::api::shape::status::{self, Status};

#[derive(Debug, Args)]
#[command(after_help = "\
Every packet that is not forwarded has one reason and is counted under it. Dropped: no host got it.
Passed: this host's network stack got it, as if elb were not there. Answered: elb answered it itself.
Totals count since the maps were made; rates are what happened between two looks.

Examples:
  elb drops
  elb drops --interval 10s
  elb drops -o json | jq '.[] | select(.fate == \"dropped\")'
  elb trace --reason no_backend                  which packets")]
pub(super) struct DropsArgs {
    /// Time between the two looks; 0s: one look, no rates.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    interval: Duration,
    #[command(flatten)]
    agent: SocketArg,
    /// How to write it.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

pub(super) fn run(args: &DropsArgs) -> Result<ExitCode> {
    let drops = block_on(look_twice(args))?;
    match args.output {
        Output::Json => print_json(&drops)?,
        Output::Table => {
            let status = block_on(status(args))?;
            print_text(&(text(&drops) + &unrecorded(&status)))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn status(args: &DropsArgs) -> Result<Status> {
    client::status(&args.agent.path()?, &status::StatusRequest::default()).await
}

/// Listeners with flows that found no room for a record, whether they were served or not.
fn unrecorded(status: &Status) -> String {
    let listeners = status
        .load_balancers
        .iter()
        .flat_map(|lb| lb.listeners.iter().map(move |listener| (&lb.name, listener)));
    let refused = listeners.filter(|(_, listener)| listener.refused_records > 0);
    let rows: String = refused
        .map(|(lb, listener)| {
            format!("{:>12} of {lb}/{}\n", listener.refused_records, listener.name)
        })
        .collect();
    if rows.is_empty() {
        return rows;
    }
    format!("\nFlows that found no room for a record (raise [agent] max_flows):\n{rows}")
}

async fn look_twice(args: &DropsArgs) -> Result<Vec<Drops>> {
    let socket = args.agent.path()?;
    let (before, since) = (client::drops(&socket).await?, Instant::now());
    if args.interval.is_zero() {
        return Ok(rates(&before, before.clone(), Duration::ZERO));
    }
    tokio::time::sleep(args.interval).await;
    let after = client::drops(&socket).await?;
    Ok(rates(&before, after, since.elapsed()))
}

fn text(drops: &[Drops]) -> String {
    if drops.is_empty() {
        return "every packet was forwarded\n".to_owned();
    }
    let rows = drops.iter().map(|drops| {
        let Drops { total, packets_per_second, .. } = drops;
        let fix = match total.fix.as_str() {
            "" => String::new(),
            fix => format!("{:40}→ {fix}\n", ""),
        };
        let rate = format!("{packets_per_second:.1}/s");
        let line = format!("{:<9}{:>12} {rate:>12}", total.fate, total.packets);
        format!("{line}      {:<18} {}\n{fix}", total.reason, total.meaning)
    });
    let header =
        format!("{:<9}{:>12} {:>12}      {:<18} MEANING\n", "FATE", "PACKETS", "RATE", "REASON");
    header + &rows.collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::shape::status::Reason;

    #[test]
    fn a_drop_with_its_fix() {
        let total = Reason {
            reason: "no_backend".to_owned(),
            fate: "dropped".to_owned(),
            packets: 120,
            bytes: 7_200,
            meaning: "no member takes it".to_owned(),
            fix: "see `elb status`".to_owned(),
        };
        let drops = Drops { total, packets_per_second: 2.5, bytes_per_second: 150.0 };
        let text = text(&[drops]);
        let words: Vec<Vec<_>> = text.lines().map(|l| l.split_whitespace().collect()).collect();
        assert_eq!(words[0], ["FATE", "PACKETS", "RATE", "REASON", "MEANING"]);
        assert_eq!(
            words[1],
            ["dropped", "120", "2.5/s", "no_backend", "no", "member", "takes", "it"]
        );
        assert_eq!(words[2], ["→", "see", "`elb", "status`"]);
        assert_eq!(super::text(&[]), "every packet was forwarded\n");
    }
}
