//! `elb agent`: serve a configuration file.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::ConfigArg;
use crate::agent::log_format::JsonLines;
use crate::agent::logged::LogCounts;
use crate::agent::logging;

#[derive(Debug, Args)]
#[command(after_help = "\
Signals: HUP reloads the file (a wrong one changes nothing), TERM and INT stop the agent. What a file has
wrong at a start is served as it was in the last good configuration. Neither
stopping nor killing the agent stops the traffic: the program stays attached, a new agent takes it
over. `elb detach` stops forwarding.

Capabilities: CAP_BPF and CAP_PERFMON load the program, CAP_NET_ADMIN attaches it, resolves next hops
and routes health probes, CAP_NET_RAW announces virtual addresses, receives what size fits a path, and asks
members of UDP pools for an echo. Health checks by a command (type COMMAND) also take CAP_SETUID,
CAP_SETGID and CAP_KILL, which the unit does not have (docs/operating.md). Nothing else is needed of root, but write access to pin_dir, to
state_dir and to the folder of the socket.

Examples:
  elb agent --config /etc/elb/elb.toml
  ELB_LOG=debug elb agent --log-format json")]
pub(super) struct AgentArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// What is logged to standard error: error, warn, info, debug, trace, or filters by module.
    #[arg(long, value_name = "FILTER", default_value = "info", env = "ELB_LOG")]
    log: String,
    /// How it is logged.
    #[arg(long, value_enum, default_value_t)]
    log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum LogFormat {
    /// One line for people.
    #[default]
    Text,
    /// One JSON object a line: time, level, event_id where it has one, message, target, fields.
    Json,
}

pub(super) fn run(args: &AgentArgs) -> Result<ExitCode> {
    let filter = EnvFilter::builder().parse(&args.log)?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(logging::start()?);
    match args.log_format {
        LogFormat::Text => {
            let log = log.with_ansi(std::io::stderr().is_terminal()).with_target(false);
            log.finish().with(LogCounts).init();
        }
        LogFormat::Json => log.event_format(JsonLines).finish().with(LogCounts).init(),
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let served = runtime.block_on(crate::agent::run(&args.config.config));
    // Threads that still read for clients that are gone are left behind.
    runtime.shutdown_background();
    logging::flush();
    served.map(|()| ExitCode::SUCCESS)
}
