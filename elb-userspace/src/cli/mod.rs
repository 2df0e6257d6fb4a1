//! The command line. One file per command.
//!
//! Exit codes: 0 done or healthy, 1 it failed (the reason is on standard error, see `failure`), 2 wrong
//! usage.
//! Commands that answer with a report have their own, see `report`.

mod agent;
mod alone;
mod api;
mod apply;
mod audit;
mod backend;
mod capture;
mod check;
mod completing;
mod detach;
mod diagnose;
mod doctor;
mod drain;
mod drops;
mod duration;
mod events;
mod explain;
mod export;
mod failure;
mod flows;
mod help;
mod import;
mod key;
mod metrics;
mod packets;
mod reload;
mod report;
mod resource;
mod schema;
mod since;
mod socket;
mod status;
mod store;
mod top;
mod trace;
mod written;
mod yaml;

use std::io::{self, Write as _};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, FromArgMatches as _, Parser, Subcommand, ValueEnum};

use self::resource::ResourceCommand;
use crate::source::file::USUAL_FILE;
use crate::source::file::reference::man;

/// A load balancer for Linux hosts: XDP, Maglev hashing, health checks.
#[derive(Debug, Parser)]
#[command(name = "elb", version, max_term_width = 100, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  elb check                                  is /etc/elb/elb.toml right?
  elb doctor                                 can this host be a load balancer?
  elb agent                                  serve it
  elb reload --wait                          serve the changed file, and say what came of it
  elb status                                 who gets what, and who is healthy
  elb top                                    the same while it happens, a second at a time
  elb diagnose web-1                         why is it OFFLINE, and what is to be done?
  elb drain web-1 --wait                     take a member out, and wait until nothing is left
  elb backend up --vip 192.0.2.10 --mode ipip --from 10.0.0.2    on a backend server: get ready
  elb backend inspect --port 80 --from 10.0.0.2  on a backend server: why do probes fail?
  elb explain --src 198.51.100.7 --dst 192.0.2.10:80 --proto tcp    why does it go there?
  elb events -f                              which members turn unhealthy, which recover, and why
  elb metrics                                for Prometheus
  elb drops                                  what is not forwarded, and what to do about it
  elb trace --vip 192.0.2.10                 packets while they pass
  elb flows --cut --client 198.51.100.7      end the recorded connections of a client
  elb lb create web --vip-address 192.0.2.10 make a load balancer (hosts with [api])
  elb api openapi > openapi.json             what the API is, for programs
  elb apply -f elb.toml --dry-run            preview what a file would change
  elb import haproxy haproxy.cfg             the configuration of another load balancer, for elb
  elb detach                                 stop forwarding

Exit codes: 0 done, 1 failed (the reason is on standard error, with -o json as {\"code\", \"message\"}),
2 wrong usage.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a configuration file: probe members, keep the program and its maps in step.
    Agent(agent::AgentArgs),
    /// Say whether a configuration file is right, without applying it.
    Check(check::CheckArgs),
    /// Let the agent read its configuration file again, and say what came of it.
    Reload(reload::ReloadArgs),
    /// Show load balancers, listeners, pools and members, and what was not forwarded.
    Status(status::StatusArgs),
    /// Show what happens each second: traffic, members, drops, events.
    Top(top::TopArgs),
    /// Show which members turned unhealthy or recovered, and why.
    Events(events::EventsArgs),
    /// Say why something does not work, and what to do about it.
    Diagnose(diagnose::DiagnoseArgs),
    /// Say whether this host can be a load balancer, and how to repair what is in the way.
    Doctor(doctor::DoctorArgs),
    /// Say where a packet would go, and why.
    Explain(explain::ExplainArgs),
    /// Show what is not forwarded: how often, why, and what to do about it.
    Drops(drops::DropsArgs),
    /// Print metrics, as monitoring systems scrape them.
    Metrics(metrics::MetricsArgs),
    /// Show which flows are tracked, and cut connections.
    Flows(flows::FlowsArgs),
    /// Show packets while they pass, and what becomes of each.
    Trace(trace::TraceArgs),
    /// Write packets to a file for Wireshark, as they come and as they go.
    Capture(capture::CaptureArgs),
    /// Let a member take no new flows, and wait until nothing goes to it any more.
    Drain(drain::DrainArgs),
    /// Make, show, change and delete load balancers of the API.
    #[command(subcommand)]
    Lb(ResourceCommand<0>),
    /// Make, show, change and delete listeners of the API.
    #[command(subcommand)]
    Listener(ResourceCommand<1>),
    /// Make, show, change and delete pools of the API.
    #[command(subcommand)]
    Pool(ResourceCommand<2>),
    /// Make, show, change and delete members of the API.
    #[command(subcommand)]
    Member(ResourceCommand<3>),
    /// Make, show, change and delete health monitors of the API.
    #[command(subcommand)]
    Healthmonitor(ResourceCommand<4>),
    /// Make, show, change and delete IP groups of the API.
    #[command(subcommand)]
    Ipgroup(ResourceCommand<5>),
    /// Print what the API is, for programs that read its description.
    #[command(subcommand)]
    Api(api::ApiCommand),
    /// Make, show and revoke the keys of the API's clients.
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Show who called the API, what changed, and with what result.
    Audit(audit::AuditArgs),
    /// Bring the store to what a file says, or say what that would change.
    Apply(apply::ApplyArgs),
    /// Print everything that is served as one configuration file, with ids.
    Export(export::ExportArgs),
    /// Copy the store of the API's resources, or put a copy in its place.
    #[command(subcommand)]
    Store(store::StoreCommand),
    /// Stop forwarding: detach the program and remove everything that is pinned.
    Detach(detach::DetachArgs),
    /// Prepare this host as a backend server, or undo it.
    #[command(subcommand)]
    Backend(backend::BackendCommand),
    /// Translate a configuration of keepalived or haproxy.
    Import(import::ImportArgs),
    /// Print what `-o json` of a command prints, as a JSON Schema.
    Schema(schema::SchemaArgs),
    /// Print a completion script for a shell, which asks elb, and for resources of the API its agent.
    #[command(after_help = "Example:\n  elb completions bash > /etc/bash_completion.d/elb")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Write manual pages: one per command into a folder, and elb.toml(5) into man5 next to it.
    #[command(after_help = "\
Where the folder is not called man1, elb.toml(5) is written into it as well.

Example:
  elb man /usr/local/share/man/man1")]
    Man {
        /// The folder; it must exist.
        folder: PathBuf,
    },
}

/// Where the configuration is.
#[derive(Clone, Debug, Args)]
struct ConfigArg {
    /// The configuration file.
    #[arg(
        short,
        long,
        value_name = "FILE",
        default_value = USUAL_FILE,
        env = "ELB_CONFIG"
    )]
    config: PathBuf,
}

/// How output is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

/// Runs the command that the process was started with; says on standard error why it failed.
pub fn main() -> ExitCode {
    completing::answer();
    let matches = help::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    run(cli).unwrap_or_else(|error| {
        failure::report(&error, failure::output_of(&matches));
        ExitCode::FAILURE
    })
}

fn run(cli: Cli) -> Result<ExitCode> {
    match cli.command {
        Command::Agent(args) => agent::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Reload(args) => reload::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Top(args) => top::run(&args),
        Command::Events(args) => events::run(args),
        Command::Diagnose(args) => diagnose::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Explain(args) => explain::run(args),
        Command::Drops(args) => drops::run(&args),
        Command::Metrics(args) => metrics::run(&args),
        Command::Flows(args) => flows::run(&args),
        Command::Trace(args) => trace::run(&args),
        Command::Capture(args) => capture::run(&args),
        Command::Drain(args) => drain::run(&args),
        Command::Detach(args) => detach::run(&args),
        Command::Backend(command) => backend::run(command),
        Command::Lb(command) => resource::run(&command),
        Command::Listener(command) => resource::run(&command),
        Command::Pool(command) => resource::run(&command),
        Command::Member(command) => resource::run(&command),
        Command::Healthmonitor(command) => resource::run(&command),
        Command::Ipgroup(command) => resource::run(&command),
        Command::Api(command) => api::run(&command),
        Command::Key(command) => key::run(&command),
        Command::Audit(args) => audit::run(args),
        Command::Apply(args) => apply::run(args),
        Command::Export(args) => export::run(&args),
        Command::Store(command) => store::run(&command),
        Command::Import(args) => import::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Completions { shell } => {
            completing::print_script(shell)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Man { folder } => {
            clap_mangen::generate_to(help::command(), &folder)?;
            let files =
                if folder.ends_with("man1") { folder.with_file_name("man5") } else { folder };
            std::fs::create_dir_all(&files)?;
            std::fs::write(files.join("elb.toml.5"), man::page())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Prints a value as JSON.
fn print_json(value: &impl serde::Serialize) -> Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let written = serde_json::to_writer_pretty(&mut out, value).map_err(io::Error::from);
    go_on(written.and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush())).map(drop)
}

/// Prints a text, until the reader is gone.
fn print_text(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    go_on(out.write_all(text.as_bytes()).and_then(|()| out.flush())).map(drop)
}

/// Whether to go on after a line of many was written: not if the reader is gone.
fn go_on(wrote: io::Result<()>) -> Result<ControlFlow<()>> {
    match wrote {
        Ok(()) => Ok(ControlFlow::Continue(())),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
        Err(error) => Err(error.into()),
    }
}

/// Runs asynchronous work of a command on this thread.
fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        help::command().debug_assert();
    }

    #[test]
    fn flows_are_cut_by_any_filters_and_not_without_one() {
        let is_right = |words: &str| {
            let words = format!("elb flows --cut {words}");
            Cli::try_parse_from(words.split_whitespace()).is_ok()
        };
        for filters in ["--member a", "--pool a", "--client 10.0.0.1:9", "--listener a"] {
            assert!(is_right(filters), "{filters}");
        }
        assert!(is_right("--member a --pool b --client 10.0.0.0/8 --listener c --dry-run"));
        for wrong in ["", "--yes", "--client web", "--client 10.0.0.1 --limit 9"] {
            assert!(!is_right(wrong), "{wrong}");
        }
    }
}
