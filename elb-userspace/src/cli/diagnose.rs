//! `elb diagnose`: why does something not work, and what is to be done about it?

mod inspection;

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Args;

use self::inspection::InspectionArgs;
use super::socket::SocketArg;
use super::{Output, block_on, print_text, report};
use crate::api::client;
use crate::api::shape::diagnose::{DiagnoseRequest, Diagnosis};

#[derive(Debug, Args)]
#[command(after_help = "\
The agent looks at each member that does not work: it runs the health check, opens connections, asks
for echoes, and concludes from what comes back, and from whom, what may be wrong. The likely cause comes
first, with what to do; then every check: pass, FAIL, warn, unknown (with what would be needed to
know), or - where there is nothing to check.

What only the member's host knows (its firewall, its routes, its load) it can be asked for:
  elb diagnose web/b1 --ssh b1         runs `ssh b1 elb backend inspect … -o json`
  elb diagnose web/b1 --inspect FILE   reads what that printed, - for standard input
  elb diagnose web/b1 --print-inspect  prints the command to run there
ELB_SSH names another program than ssh; it gets the host and the words of the command.

Anything is named by its name or id; a listener also as LB/LISTENER; a member also as POOL/MEMBER, by its
address, or by its address and port. Where that is more than one thing: lb:, listener:, pool: or member:
before it. Without a name, everything is diagnosed.

Examples:
  elb diagnose
  elb diagnose pool:web
  elb diagnose 10.0.0.11:80 -o json | jq -r '.reports[0].cause'
  elb diagnose web/b1 --ssh root@10.0.0.11

Exit codes: 0 healthy, 1 a cause was found, 2 something is wrong and what it is cannot be known from
here, 3 there is no diagnosis (the reason is on standard error).")]
pub(super) struct DiagnoseArgs {
    /// A load balancer, listener, pool or member.
    #[arg(value_name = "LB|LISTENER|POOL|MEMBER")]
    target: Option<String>,
    #[command(flatten)]
    inspection: InspectionArgs,
    #[command(flatten)]
    agent: SocketArg,
    /// How to write it.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// How long nothing is said of what goes on.
const PATIENCE: Duration = Duration::from_secs(2);
/// Healthy members that are listed.
const SHOWN: usize = 20;

pub(super) fn run(args: &DiagnoseArgs) -> Result<ExitCode> {
    if let (true, Some(target)) = (args.inspection.print_inspect, &args.target) {
        print_text(&block_on(inspection::command(&args.agent.path()?, target))?)?;
        return Ok(ExitCode::SUCCESS);
    }
    report::show_as(block_on(diagnose(args)), args.output, text, |shown| shown.conclusion)
}

async fn diagnose(args: &DiagnoseArgs) -> Result<Diagnosis> {
    let socket = args.agent.path()?;
    let target = args.target.clone();
    let inspection = args.inspection.read(&socket, target.as_deref()).await?;
    let request = DiagnoseRequest { target, inspection };
    let mut asked = std::pin::pin!(client::diagnose(&socket, &request));
    tokio::select! {
        answer = &mut asked => return answer,
        () = tokio::time::sleep(PATIENCE) => eprintln!("the agent looks at members that do not answer …"),
    }
    asked.await
}

fn text(diagnosis: &Diagnosis) -> String {
    let Diagnosis { reports, healthy, left_out, .. } = diagnosis;
    let reports: Vec<String> = reports.iter().map(report::text).collect();
    let mut out = reports.join("\n");
    if !out.is_empty() && !healthy.is_empty() {
        out.push('\n');
    }
    for member in healthy.iter().take(SHOWN) {
        let _ = writeln!(out, "{}: healthy", report::printable(member));
    }
    if healthy.len() > SHOWN {
        let _ = writeln!(out, "and {} more healthy members", healthy.len() - SHOWN);
    }
    if *left_out > 0 {
        let _ = writeln!(out, "{left_out} more members do not work: `elb diagnose POOL/MEMBER`");
    }
    if out.is_empty() {
        out.push_str("there are no members\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::report::Report;

    #[test]
    fn reports_come_first_and_the_healthy_have_a_line_each() {
        let sick = Report::new("web/b1", false, Vec::new());
        let names = |count: usize| (0..count).map(|n| format!("web/h{n}")).collect::<Vec<_>>();
        let shown = text(&Diagnosis::new(vec![sick], names(22), 3));
        assert!(shown.starts_with("web/b1: undecided\n\n"), "{shown}");
        assert!(shown.contains("\nweb/h0: healthy\n") && !shown.contains("web/h20"), "{shown}");
        let end =
            "and 2 more healthy members\n3 more members do not work: `elb diagnose POOL/MEMBER`\n";
        assert!(shown.ends_with(end), "{shown}");
        assert_eq!(text(&Diagnosis::new(Vec::new(), Vec::new(), 0)), "there are no members\n");
        assert_eq!(text(&Diagnosis::new(Vec::new(), names(1), 0)), "web/h0: healthy\n");
    }
}
