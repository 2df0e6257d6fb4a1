//! `elb metrics`: what a monitoring system scrapes.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, ValueEnum};

use super::socket::SocketArg;
use super::{block_on, print_text};
use crate::api::client;
use crate::observe::metrics::{Format, Scope};

#[derive(Debug, Args)]
#[command(after_help = "\
Names, types and labels of all metrics: docs/metrics.md. The same is served by GET /metrics on the agent's
socket, and over TCP where [metrics] listen says so, next to /healthz (the agent's loop runs) and
/readyz (it serves).

Examples:
  elb metrics
  elb metrics --scope agent,pool
  elb metrics --scope member | grep ^elb_member_healthy
  elb metrics > /var/lib/prometheus/node-exporter/elb.prom      for node_exporter's textfile collector
  curl --unix-socket /run/elb/elb.sock http://elb/readyz")]
pub(super) struct MetricsArgs {
    /// What the metrics are about, several with commas: agent, listener, pool, member; by default all.
    #[arg(long, value_name = "SCOPE", value_delimiter = ',')]
    scope: Vec<Scope>,
    /// How they are written.
    #[arg(long, value_enum, default_value_t)]
    format: MetricsFormat,
    #[command(flatten)]
    agent: SocketArg,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum MetricsFormat {
    /// Prometheus' text format 0.0.4.
    #[default]
    Text,
    /// OpenMetrics 1.0.
    Openmetrics,
}

pub(super) fn run(args: &MetricsArgs) -> Result<ExitCode> {
    let format = match args.format {
        MetricsFormat::Text => Format::Text,
        MetricsFormat::Openmetrics => Format::OpenMetrics,
    };
    let text = block_on(async { client::metrics(&args.agent.path()?, &args.scope, format).await })?;
    print_text(&text)?;
    Ok(ExitCode::SUCCESS)
}
