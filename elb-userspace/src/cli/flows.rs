//! `elb flows`: which flows are tracked.

use std::io::{self, BufWriter, Write as _};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use comfy_table::{Table, presets};

use super::socket::SocketArg;
use super::{Output, block_on, go_on};
use crate::api::client;
use crate::observe::flows::{Identity, Line, Request, Summary, TrackedFlow};

#[derive(Debug, Args)]
#[command(after_help = "\
Only flows on slots that change their owner are tracked: on a settled ring there are none, however
many connections there are. Rows stay after a flow has ended, until newer flows need their room.

First how many flows each member has, then the flows themselves. The agent walks over the tables
twice, without holding packets up: a million flows take it less than a second. What changes
meanwhile is counted or not.

Examples:
  elb flows
  elb flows --member 10.0.0.11 --limit 1000
  elb flows --pool web --limit 0                 how many, not which
  elb flows --limit 1000000 -o json | jq -c '.flows[]'")]
pub(super) struct FlowsArgs {
    /// Only those of this member: its name, its address, or address and port.
    #[arg(long, value_name = "MEMBER")]
    member: Option<String>,
    /// Only those of members of this pool.
    #[arg(long, value_name = "NAME")]
    pool: Option<String>,
    /// List at most so many.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u64,
    #[command(flatten)]
    agent: SocketArg,
    /// How to write it.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

pub(super) fn run(args: FlowsArgs) -> Result<ExitCode> {
    let FlowsArgs { member, pool, limit, agent, output } = args;
    let request = Request { member, pool, limit };
    let mut out = BufWriter::new(io::stdout().lock());
    let mut listed = 0u64;
    let print = |line: Line| {
        let text = match (line, output) {
            (Line::Failed(error), _) => bail!("{error}"),
            (Line::Summary(summary), Output::Table) => table(&summary),
            (Line::Flow(flow), Output::Table) => {
                let gap = if listed == 0 { "\n" } else { "" };
                listed += 1;
                format!("{gap}{}\n", row(&flow))
            }
            // One object, written as it comes: it may be longer than memory.
            (Line::Summary(summary), Output::Json) => {
                format!("{{\"summary\":{},\"flows\":[\n", serde_json::to_string(&summary)?)
            }
            (Line::Flow(flow), Output::Json) => {
                let comma = if listed == 0 { "" } else { "," };
                listed += 1;
                format!("{comma}{}\n", serde_json::to_string(&flow)?)
            }
        };
        go_on(out.write_all(text.as_bytes()))
    };
    block_on(client::lines(&agent.path()?, "/flows", &request, || Ok(()), print))?;
    if output == Output::Json {
        let _ = go_on(out.write_all(b"]}\n"))?;
    }
    let _ = go_on(out.flush())?;
    Ok(ExitCode::SUCCESS)
}

fn table(summary: &Summary) -> String {
    let Summary { flows, room, .. } = summary;
    let title = format!("{flows} tracked flows; room for {room} of each IP version\n");
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["MEMBER", "ADDRESS", "POOL", "FLOWS"]);
    for one in &summary.members {
        let member = &one.member;
        let address = member.address.map(|address| address.to_string()).unwrap_or_default();
        table.add_row([&member.name, &address, &member.pool, &one.flows.to_string()]);
    }
    if summary.members.is_empty() {
        return title;
    }
    let lines = table.lines().map(|line| format!("{}\n", line.trim_end()));
    title + "\n" + &lines.collect::<String>()
}

fn row(flow: &TrackedFlow) -> String {
    let TrackedFlow { identity, member, idle } = flow;
    let what = match identity {
        Identity::FiveTuple { protocol, source, destination } => {
            format!("{protocol:<4} {source} → {destination}")
        }
        Identity::Connection { protocol, listener, connection } => {
            format!("{protocol:<4} connection {connection} of listener {listener}")
        }
    };
    format!("{what}  {} ({})  last packet {idle} s ago", member.name, member.pool)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::flows::MemberFlows;
    use crate::observe::names::Member;

    #[test]
    fn members_in_a_table() {
        let member = Member {
            id: 3,
            name: "web-1".to_owned(),
            pool: "web".to_owned(),
            address: Some("10.0.0.11:80".parse().unwrap()),
            removed: false,
        };
        let members = vec![MemberFlows { member, flows: 12 }];
        let text = table(&Summary { members, flows: 12, room: 1024 });
        assert!(
            text.starts_with("12 tracked flows; room for 1024 of each IP version\n\n"),
            "{text}"
        );
        let words: Vec<_> = text.lines().last().unwrap().split_whitespace().collect();
        assert_eq!(words, ["web-1", "10.0.0.11:80", "web", "12"]);
        let none = table(&Summary { members: vec![], flows: 0, room: 1024 });
        assert_eq!(none.lines().count(), 1);
    }
}
