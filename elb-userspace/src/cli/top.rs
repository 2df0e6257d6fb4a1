//! `elb top`: what happens each second, for people at a terminal and for scripts.

mod batch;
mod cell;
mod draw;
mod header;
mod keys;
mod live;
mod looking;
mod order;
mod pace;
mod rates;
mod screen;
mod sheet;
mod state;
mod view;

#[cfg(test)]
mod fixture;

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;

use self::view::View;
use super::duration::duration;
use super::socket::SocketArg;
use super::{Output, block_on};

#[derive(Debug, Args)]
#[command(after_help = "\
Five views: 1 listeners, 2 pools, 3 members (the part of new flows that is due to each, and the
part that it really got), 4 drops, 5 events. Rates are of the time between two looks at the agent;
NEW/S and GOT are of up to a minute. A rate that is not known is `-`.

Keys: 1-5 and Tab views; up, down, PgUp, PgDn rows; left, right sort by another column; r reverse;
/ filter; Enter a member's health, last probes and events; p pause; + - interval; h help; q quit.

With -b it prints text, or with -o json an object a line, and needs no terminal. The first block
comes after one interval. Exit codes of -b: 0 printed, 1 the agent did not answer, at one of the
looks at least. NO_COLOR=1 turns colours off.

Examples:
  elb top
  elb top --view members
  elb top -b -n 3
  elb top -b -n 1 -d 10s --view members -o json | jq '.members[] | [.name, .packets_per_second]'")]
pub(super) struct TopArgs {
    /// Print, and need no terminal.
    #[arg(short, long)]
    batch: bool,
    /// End after so many blocks; otherwise it goes on until Ctrl-C.
    #[arg(short = 'n', long, value_name = "COUNT", requires = "batch")]
    count: Option<u64>,
    /// Time between two looks at the agent; 1s by default, and more in a terminal where so many looks would
    /// take over 1 % of a core.
    #[arg(short = 'd', long, value_name = "TIME", value_parser = interval)]
    interval: Option<Duration>,
    /// The view to begin with; with -b, the only one that is printed.
    #[arg(long, value_enum)]
    view: Option<View>,
    #[command(flatten)]
    agent: SocketArg,
    /// How to write it; JSON is one object a line, with -b only.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Looks in shorter succession would show little but themselves.
const SHORTEST: Duration = Duration::from_millis(100);

fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    if interval < SHORTEST {
        return Err(format!("{text:?} is too short; write 100ms or more"));
    }
    Ok(interval)
}

pub(super) fn run(args: &TopArgs) -> Result<ExitCode> {
    if args.batch {
        let TopArgs { count, view, output, .. } = *args;
        let interval = args.interval.unwrap_or(pace::INTERVAL);
        let wanted = batch::Wanted { count, interval, view, output };
        return block_on(batch::run(&args.agent.path()?, &wanted));
    }
    if args.output == Output::Json {
        bail!("-o json is for batch mode: add -b, as in `elb top -b -n 1 -o json`");
    }
    if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
        bail!(
            "`elb top` needs a terminal for its keys and its screen; without one, use batch mode: \
             `elb top -b -n 1`"
        );
    }
    let view = args.view.unwrap_or_default();
    block_on(live::run(&args.agent.path()?, args.interval, view))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_has_a_least() {
        assert_eq!(interval("100ms"), Ok(SHORTEST));
        for wrong in ["0s", "99ms", "abc"] {
            assert!(interval(wrong).unwrap_err().contains("write"), "{wrong}");
        }
    }
}
