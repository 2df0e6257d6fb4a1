//! `elb flows`: which flows are tracked, and connections that are cut.

mod cut;

use std::io::{self, BufWriter, Write as _};
use std::process::ExitCode;

use anyhow::Result;
use clap::{ArgGroup, Args};
use comfy_table::{Table, presets};

use super::socket::SocketArg;
use super::{Output, block_on, go_on};
use crate::api::client;
use crate::api::shape::flows::FlowsLine;
use crate::observe::flows::{Clients, FlowCounts, FlowsRequest, Identity, Summary, TrackedFlow};

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("filter").multiple(true), after_help = "\
Only flows on slots that change their owner are tracked, and all of pools with ROUND_ROBIN or
LEAST_CONNECTIONS: on a settled ring there are none, however many connections there are. Of pools with
fullnat there are all, each with the source address and port that its member knows it by.

First how many flows each member has, then the flows themselves, those that have ended last:
  open         its packets go by the record
  settled      its slot is settled: no packet looks at the record, and it may be over
  closed       its client closed the connection, and may still get the rest of it
  cut          an operator cut the connection (--cut)
  member gone  its member serves no flows any more
  over         it was silent for the idle timeout, or its listener is gone or serves another pool
What has ended is removed within seconds while the agent sweeps the tables. It walks over them
without holding packets up: a million flows take it a second. What changes meanwhile is counted
or not.

--cut ends TCP connections that are recorded. Each client is reset when it next sends, and what it
sends is refused (reasons cut_answered and cut in `elb drops`) until it opens a new connection,
which is served. The member learns of it when it sends: the client's host answers with a reset.
More than 100 are cut after you typed their number.

Connections on settled slots have no record, nor have those of fullnat, and datagrams no reset: they
cannot be cut like this.
For them, put the client into an IP group, let the listener's ipgroup be a black list of it with
cut = true, and run `elb reload`: that refuses its new connections, too.

Examples:
  elb flows
  elb flows --member 10.0.0.11 --limit 1000
  elb flows --pool web --limit 0                 how many, not which
  elb flows --limit 1000000 -o json | jq -c '.flows[]'
  elb flows --cut --client 198.51.100.7 --dry-run
  elb flows --cut --client 198.51.100.0/24 --listener https --yes")]
pub(super) struct FlowsArgs {
    /// Only those of this member: its name, POOL/MEMBER, its id, its address, or address and port.
    #[arg(long, value_name = "MEMBER", group = "filter")]
    member: Option<String>,
    /// Only those of members of this pool: its name or id.
    #[arg(long, value_name = "POOL", group = "filter")]
    pool: Option<String>,
    /// Only those from this address, network, or address and port.
    #[arg(long, value_name = "ADDRESS|CIDR|ADDRESS:PORT", group = "filter")]
    client: Option<Clients>,
    /// Only those of this listener: its name, LB/LISTENER, or its id.
    #[arg(long, value_name = "LISTENER", group = "filter")]
    listener: Option<String>,
    /// List at most so many.
    #[arg(long, value_name = "N", default_value_t = 50, conflicts_with = "cut")]
    limit: u64,
    /// Cut the TCP connections among them, instead of listing; of some member, pool, client or listener.
    #[arg(long, requires = "filter")]
    cut: bool,
    /// Say what would be cut, and cut nothing.
    #[arg(long, requires = "cut")]
    dry_run: bool,
    /// Cut more than 100 without asking.
    #[arg(long, requires = "cut", conflicts_with = "dry_run")]
    yes: bool,
    #[command(flatten)]
    agent: SocketArg,
    /// How to write it.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

impl FlowsArgs {
    fn request(&self) -> FlowsRequest {
        let Self { client, limit, cut, .. } = *self;
        let limit = if cut { 0 } else { limit };
        let [member, pool, listener] = [&self.member, &self.pool, &self.listener].map(Clone::clone);
        FlowsRequest { member, pool, client, listener, limit, cut }
    }
}

pub(super) fn run(args: &FlowsArgs) -> Result<ExitCode> {
    if args.cut {
        return cut::run(args);
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let (mut listed, mut ended) = (0u64, 0u64);
    let print = |line: FlowsLine| {
        let text = match (line, args.output) {
            (FlowsLine::Failed(error), _) => return Err(error.into()),
            (FlowsLine::Summary(summary), Output::Table) => table(&summary),
            (FlowsLine::Flow(flow), Output::Table) => {
                let has_ended = flow.state.has_ended();
                let heading = match (has_ended, listed, ended) {
                    (true, _, 0) => "\nEnded:\n",
                    (false, 0, _) => "\n",
                    _ => "",
                };
                listed += 1;
                ended += u64::from(has_ended);
                format!("{heading}{}\n", row(&flow))
            }
            // One object, written as it comes: it may be longer than memory.
            (FlowsLine::Summary(summary), Output::Json) => {
                format!("{{\"summary\":{},\"flows\":[\n", serde_json::to_string(&summary)?)
            }
            (FlowsLine::Flow(flow), Output::Json) => {
                let comma = if listed == 0 { "" } else { "," };
                listed += 1;
                format!("{comma}{}\n", serde_json::to_string(&flow)?)
            }
        };
        go_on(out.write_all(text.as_bytes()))
    };
    block_on(client::lines(&args.agent.path()?, "/flows", &args.request(), || Ok(()), print))?;
    if args.output == Output::Json {
        let _ = go_on(out.write_all(b"]}\n"))?;
    }
    let _ = go_on(out.flush())?;
    Ok(ExitCode::SUCCESS)
}

fn table(summary: &Summary) -> String {
    let Summary { flows, room, counts, .. } = summary;
    let title = format!(
        "{flows} tracked flows;{} room for {room} of each IP version\n",
        states(counts).map(|states| format!(" {states};")).unwrap_or_default()
    );
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["MEMBER", "ADDRESS", "POOL", "OPEN", "SETTLED", "CLOSED", "CUT", "OVER"]);
    for one in &summary.members {
        let member = &one.member;
        let address = member.socket().map(|address| address.to_string()).unwrap_or_default();
        let FlowCounts { open, settled, closed, cut, member_gone, over } = one.counts;
        let counts =
            [open, settled, closed, cut, member_gone + over].map(|count| count.to_string());
        let names = [member.name(), address, member.pool().to_owned()];
        table.add_row(names.into_iter().chain(counts));
    }
    if summary.members.is_empty() {
        return title;
    }
    let lines = table.lines().map(|line| format!("{}\n", line.trim_end()));
    title + "\n" + &lines.collect::<String>()
}

/// How many are in which state; `None` if all are open.
fn states(counts: &FlowCounts) -> Option<String> {
    let FlowCounts { open, settled, closed, cut, member_gone, over } = *counts;
    let states = [
        (open, "open"),
        (settled, "on settled slots"),
        (closed, "closed by their clients"),
        (cut, "cut"),
        (member_gone, "of members that are gone"),
        (over, "over"),
    ];
    let words = states.iter().filter(|(count, _)| *count > 0);
    let words: Vec<_> = words.map(|(count, word)| format!("{count} {word}")).collect();
    (open != counts.all()).then(|| words.join(", "))
}

fn row(flow: &TrackedFlow) -> String {
    let TrackedFlow { identity, member, state, idle, as_source } = flow;
    let what = match identity {
        Identity::FiveTuple { protocol, source, destination } => {
            let by = as_source.map(|source| format!(" → as {source}")).unwrap_or_default();
            format!("{protocol:<4} {source} → {destination}{by}")
        }
        Identity::Connection { protocol, listener, connection } => {
            format!("{protocol:<4} connection {connection} of listener {listener}")
        }
    };
    let state = state.word();
    format!("{what}  {} ({})  {state}, last packet {idle} s ago", member.name(), member.pool())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MemberRef;
    use crate::observe::flows::{FlowState, MemberFlows};
    use crate::observe::names::BackendMember;

    #[test]
    fn members_in_a_table() {
        let member = BackendMember {
            number: 3,
            member: Some(MemberRef::new(
                (None, "web"),
                None,
                Some("web-1"),
                ([10, 0, 0, 11], 80).into(),
            )),
            removed: false,
            backup: false,
        };
        let counts = FlowCounts { open: 9, closed: 1, member_gone: 2, ..FlowCounts::default() };
        let members = vec![MemberFlows { member: member.clone(), flows: 12, counts }];
        let summary = Summary { members, flows: 12, counts, cutting: None, room: 1024 };
        let text = table(&summary);
        assert!(
            text.starts_with(
                "12 tracked flows; 9 open, 1 closed by their clients, 2 of members that are gone; room for \
                 1024 of each IP version\n\n"
            ),
            "{text}"
        );
        let words: Vec<_> = text.lines().last().unwrap().split_whitespace().collect();
        assert_eq!(words, ["web-1", "10.0.0.11:80", "web", "9", "0", "1", "0", "2"]);
        let counts = FlowCounts { open: 12, ..FlowCounts::default() };
        let open = table(&Summary { counts, ..summary.clone() });
        assert!(
            open.starts_with("12 tracked flows; room for 1024 of each IP version\n\n"),
            "{open}"
        );
        let counts = FlowCounts::default();
        let none = table(&Summary { members: vec![], flows: 0, counts, ..summary });
        assert_eq!(none.lines().count(), 1);
        let [source, destination] =
            ["198.51.100.7:1", "192.0.2.10:80"].map(|text| text.parse().unwrap());
        let protocol = "tcp".to_owned();
        let identity = Identity::FiveTuple { protocol, source, destination };
        let flow =
            TrackedFlow { identity, member, state: FlowState::Cut, idle: 3, as_source: None };
        assert_eq!(
            row(&flow),
            "tcp  198.51.100.7:1 → 192.0.2.10:80  web-1 (web)  cut, last packet 3 s ago"
        );
    }
}
