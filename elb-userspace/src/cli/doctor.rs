//! `elb doctor`: can this host be a load balancer?

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use tokio::time::timeout;

use super::{ConfigArg, Output, block_on, report};
use crate::agent::lock_path;
use crate::agent::saved::Folder;
use crate::agent::usable::{expected_agent, unusable_commands};
use crate::api::client;
use crate::api::shape::status::StatusRequest;
use crate::diagnosis::doctor::{self, Duty, Running};
use crate::diagnosis::report::Report;
use crate::source::file;

/// How long an agent may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
#[command(after_help = "\
No agent is needed: best run before the first. Nothing is attached and nothing is changed; each
finding comes with a command that repairs it. As root it sees everything; what others cannot see is
reported as unknown.

Examples:
  elb doctor
  elb doctor --config new.toml -o json | jq '.findings[] | select(.outcome == \"fail\")'
  elb doctor --interface eth0 --interface eth1     without a configuration

Exit codes: 0 nothing is wrong (there may be warnings), 1 a cause was found, 2 undecided or wrong
usage, 3 the host could not be examined.")]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// The interface that traffic will arrive on, instead of a configuration; may be given more
    /// than once.
    #[arg(long, value_name = "NAME")]
    interface: Vec<String>,
    /// How to write the report.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

pub(super) fn run(args: &DoctorArgs) -> Result<ExitCode> {
    report::show(examine(args), args.output)
}

fn examine(args: &DoctorArgs) -> Result<Report> {
    let (mut duty, socket) = duty(args)?;
    let facts = block_on(async {
        if let Some(socket) = &socket {
            duty.agent = running(socket).await;
        }
        Ok(doctor::gather(&duty).await?)
    })?;
    Ok(doctor::judge(&duty, &facts))
}

/// What the agent says; `None`: it does not answer.
async fn running(socket: &Path) -> Option<Running> {
    let answer = timeout(PATIENCE, client::status(socket, &StatusRequest::default())).await;
    let agent = answer.ok()?.ok()?.agent;
    let missing = agent.kept.into_iter().filter(|one| !one.in_place);
    Some(Running {
        missing: missing.map(|one| (one.object, one.reason.unwrap_or_default())).collect(),
        probes_by_vip: agent.no_vip_probes.is_none(),
    })
}

/// What the host is to do, and where its agent would answer.
fn duty(args: &DoctorArgs) -> Result<(Duty, Option<PathBuf>)> {
    if !args.interface.is_empty() {
        return Ok((Duty::on(args.interface.clone()), None));
    }
    let file = &args.config.config;
    let config = file::load(file).with_context(|| {
        format!("{} says what the host is to do; without it, use --interface", file.display())
    })?;
    let (agent, folder) = (&config.agent, Folder::of(&config.agent));
    let state_dir = folder.path().to_owned();
    let duty = Duty {
        locked: vec![
            ("pin_dir", agent.pin_dir.clone()),
            ("state_dir", state_dir.clone()),
            ("socket", lock_path(&agent.socket)),
        ],
        state_dir: Some(state_dir),
        socket: Some(agent.socket.clone()),
        unusable: unusable_commands(&config.model, expected_agent(&agent.socket))
            .into_iter()
            .map(|(pool, why)| (format!("pool {pool:?}: {}", why.what), why.fix))
            .collect(),
        ..Duty::of(&config)
    };
    Ok((duty, Some(agent.socket.clone())))
}
