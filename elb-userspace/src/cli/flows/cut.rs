//! `elb flows --cut`: asks where it is about many, cuts, and says what could not be cut, and what to do.

use std::io::{self, BufRead, Write as _};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::FlowsArgs;
use crate::api::client;
use crate::api::shape::flows::{CutLine, CutReport, FlowsLine};
use crate::cli::{Output, block_on, print_json, print_text};
use crate::observe::flows::FlowsRequest;
use crate::observe::flows::cut::Reach;

/// So many are cut without asking.
const FEW: u64 = 100;
/// After so long progress is shown.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn run(args: &FlowsArgs) -> Result<ExitCode> {
    let socket = args.agent.path()?;
    let request = args.request();
    let found = block_on(find(&socket, &request))?;
    let wants = !args.dry_run && found.connections > 0;
    if wants && found.connections > FEW && !args.yes {
        confirm(found.connections, &mut io::stdin().lock())?;
    }
    let cut = if wants { block_on(cut(&socket, &request))? } else { 0 };
    let report = CutReport { dry_run: args.dry_run, cut, found };
    match args.output {
        Output::Json => print_json(&report)?,
        Output::Table => print_text(&text(&report))?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn find(socket: &Path, request: &FlowsRequest) -> Result<Reach> {
    let mut found = None;
    let take = |line| {
        match line {
            FlowsLine::Summary(summary) => found = summary.cutting,
            FlowsLine::Failed(error) => return Err(error.into()),
            FlowsLine::Flow(_) => {}
        }
        Ok(ControlFlow::Continue(()))
    };
    client::lines(socket, "/flows", request, || Ok(()), take).await?;
    found.context("the agent does not know how to cut: it is older than this elb, restart it")
}

async fn cut(socket: &Path, request: &FlowsRequest) -> Result<u64> {
    let begun = Instant::now();
    let mut cut = None;
    let take = |line| {
        match line {
            CutLine::Progress(so_far) if begun.elapsed() >= PATIENCE => {
                eprintln!("elb: {so_far} connections are cut so far");
            }
            CutLine::Progress(_) => {}
            CutLine::Done(all) => cut = Some(all),
            CutLine::Failed(error) => return Err(error.into()),
        }
        Ok(ControlFlow::Continue(()))
    };
    client::cut(socket, request, take).await?;
    cut.context("the agent ended before all connections were cut: run the command again")
}

/// Whether the number was typed.
fn confirm(connections: u64, answer: &mut impl BufRead) -> Result<()> {
    eprint!("This cuts {connections} connections. Type their number to cut them: ");
    io::stderr().flush()?;
    let mut line = String::new();
    answer.read_line(&mut line)?;
    if line.trim().parse() == Ok(connections) {
        return Ok(());
    }
    bail!(
        "nothing was cut: {:?} is not {connections}; type the number, or use --yes to cut without being \
         asked",
        line.trim()
    )
}

fn text(report: &CutReport) -> String {
    let CutReport { dry_run, cut, found } = *report;
    let mut text = if dry_run {
        format!("{} would be cut; nothing was, this is a dry run\n", connections(found.connections))
    } else if cut == 0 {
        "no recorded connection matches: nothing was cut\n".to_owned()
    } else {
        format!("{} cut; each client is reset when it next sends\n", connections(cut))
    };
    for why in left(&found) {
        text += &format!("not cut: {why}\n");
    }
    if left(&found).next().is_some() {
        text += "To end these, too: put the client into an IP group, let the listener's ipgroup be a black list \
                 of it with cut = true, and run `elb reload`; its new connections are refused as well\n";
    }
    text
}

fn connections(count: u64) -> String {
    if count == 1 { "1 connection".to_owned() } else { format!("{count} connections") }
}

/// What cannot be cut.
fn left(found: &Reach) -> impl Iterator<Item = String> {
    let Reach { datagrams, settled, slots, settled_slots, .. } = *found;
    let unrecorded = (settled_slots > 0).then(|| {
        format!(
            "connections on settled slots, which are not recorded and so not known: {settled_slots} of \
             {slots} slots are settled"
        )
    });
    let settled = (settled > 0).then(|| {
        format!(
            "{settled} recorded flows whose slots have settled: no packet looks at their records"
        )
    });
    let datagrams =
        (datagrams > 0).then(|| format!("{datagrams} flows of datagrams, which no reset ends"));
    [datagrams, settled, unrecorded].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOUND: Reach =
        Reach { connections: 3, datagrams: 0, settled: 0, slots: 0, settled_slots: 0 };

    #[test]
    fn what_was_cut_and_what_was_not() {
        let report = CutReport { dry_run: false, cut: 3, found: FOUND };
        assert_eq!(text(&report), "3 connections cut; each client is reset when it next sends\n");
        let said = text(&CutReport { dry_run: true, cut: 0, ..report });
        assert_eq!(said, "3 connections would be cut; nothing was, this is a dry run\n");
        let found = Reach { connections: 1, datagrams: 2, settled: 4, slots: 10, settled_slots: 9 };
        let said = text(&CutReport { cut: 1, found, ..report });
        for words in [
            "1 connection cut;",
            "not cut: 2 flows of datagrams",
            "not cut: 4 recorded flows whose slots have settled",
            "not cut: connections on settled slots, which are not recorded and so not known: 9 of 10 slots",
            "black list of it with cut = true",
        ] {
            assert!(said.contains(words), "{words}: {said}");
        }
        let said = text(&CutReport { cut: 0, found: Reach { connections: 0, ..FOUND }, ..report });
        assert_eq!(said, "no recorded connection matches: nothing was cut\n");
    }

    #[test]
    fn many_are_cut_after_their_number_was_typed() {
        let mut right = &b"250\n"[..];
        assert!(confirm(250, &mut right).is_ok());
        for mut wrong in [&b"25\n"[..], b"y\n", b""] {
            let said = confirm(250, &mut wrong).unwrap_err().to_string();
            assert!(said.contains("nothing was cut") && said.contains("--yes"), "{said}");
        }
    }
}
