//! Which packets `elb trace` and `elb capture` are about, and how their answers are read.

use std::net::IpAddr;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use clap::builder::PossibleValuesParser;
use elb_common::reason::{Fate, Reason};
use ipnet::IpNet;

use super::duration::duration;
use crate::api::client;
use crate::observe::trace::{
    DEFAULT_RATE, MAX_RATE, Missed, PacketEvent, Reasons, TraceLine, TraceRequest,
};

/// Which packets.
#[derive(Debug, Args)]
pub(super) struct PacketArgs {
    /// Only packets for this address, and with --client those of members that leave with it; of ARP, questions about it.
    #[arg(long, value_name = "ADDRESS")]
    vip: Option<IpAddr>,
    /// Only packets from this address or network, and members' answers to it that come back through this host.
    #[arg(long, value_name = "ADDRESS|CIDR", value_parser = network)]
    client: Option<IpNet>,
    /// Only packets that this member was chosen for, and its answers that are translated: its name, POOL/MEMBER, its id, its address, or address
    /// and port.
    #[arg(long, value_name = "MEMBER")]
    member: Option<String>,
    /// Only packets that were not forwarded for this reason; may be given more than once.
    #[arg(long, value_name = "REASON", value_parser = reason_names())]
    reason: Vec<String>,
    /// Only packets that were dropped, whatever the reason.
    #[arg(long, conflicts_with = "reason")]
    dropped: bool,
    /// One of N of those, chosen by chance.
    #[arg(long, value_name = "1/N", default_value = "1/1", value_parser = sample)]
    sample: u32,
    /// At most so many in a second on each CPU; what is beyond is counted.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_RATE,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_RATE)))]
    rate: u32,
    /// End after so many packets.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after this time.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,
}

fn network(text: &str) -> Result<IpNet, String> {
    let address = text.parse::<IpAddr>().map(IpNet::from);
    address.or_else(|_| text.parse()).map_err(|_| {
        format!(
            "{text:?} is neither an address nor a network; write 198.51.100.7 or 198.51.100.0/24"
        )
    })
}

fn sample(text: &str) -> Result<u32, String> {
    let number = text.strip_prefix("1/").unwrap_or(text).parse().ok().filter(|n| *n > 0);
    number.ok_or_else(|| format!("invalid sampling rate {text:?}; use 1/N, for example 1/100"))
}

fn reason_names() -> PossibleValuesParser {
    PossibleValuesParser::new(Reason::ALL.iter().map(|reason| reason.name()))
}

impl PacketArgs {
    /// The request for them, with `snap` bytes of each frame and perhaps the bytes themselves.
    pub(super) fn request(&self, snap: u32, bytes: bool) -> Result<TraceRequest> {
        let dropped = Reason::ALL.iter().copied().filter(|r| r.fate() == Fate::Dropped);
        let reason = match (self.dropped, self.reason.as_slice()) {
            (true, _) => Some(dropped.collect()),
            (false, []) => None,
            (false, names) => Some(names.join(",").parse::<Reasons>()?),
        };
        let Self { vip, client, sample, rate, .. } = *self;
        let member = self.member.clone();
        Ok(TraceRequest { vip, client, member, reason, sample, rate, snap, bytes })
    }

    /// Calls `began` when packets are reported, then `each` with them until it breaks off, there are
    /// enough of them, the time is over, or the user ends it. Says on standard error that it has
    /// begun, and at the end how many there were and what was missed.
    pub(super) async fn follow(
        &self,
        socket: &Path,
        request: &TraceRequest,
        began: impl FnOnce() -> Result<()>,
        mut each: impl FnMut(PacketEvent) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let (mut count, mut missed, mut is_enough) = (0, Missed::default(), false);
        let began = || {
            began()?;
            eprintln!("tracing; Ctrl-C ends it");
            Ok(())
        };
        let lines = client::lines(socket, "/trace", request, began, |line| {
            match line {
                TraceLine::Event(event) => {
                    is_enough = each(*event)?.is_break();
                    count += 1;
                }
                TraceLine::Missed(more) => {
                    missed.limited += more.limited;
                    missed.overrun += more.overrun;
                }
            }
            is_enough |= self.count.is_some_and(|enough| count >= enough);
            Ok(if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        });
        let is_over = tokio::select! {
            ended = lines => ended.map(|()| false)?,
            () = tokio::time::sleep(self.duration.unwrap_or(FOREVER)) => true,
            interrupted = tokio::signal::ctrl_c() => interrupted.map(|()| true)?,
        };
        summarize(count, missed);
        if !is_over && !is_enough {
            bail!("the agent stopped; traffic is still forwarded, but tracing has ended");
        }
        Ok(())
    }
}

const FOREVER: Duration = Duration::from_secs(u32::MAX as u64);

fn summarize(count: u64, missed: Missed) {
    let Missed { limited, overrun } = missed;
    let mut text = format!("{count} packets");
    if limited > 0 {
        text +=
            &format!("; {limited} more were beyond the limit per second, see --rate and --sample");
    }
    if overrun > 0 {
        text += &format!("; {overrun} more came faster than they could be taken, see --sample");
    }
    eprintln!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_parts() {
        assert_eq!(network("198.51.100.7").unwrap().to_string(), "198.51.100.7/32");
        assert_eq!(network("2001:db8::/33").unwrap().prefix_len(), 33);
        assert!(network("198.51.100.0/33").unwrap_err().contains("neither an address"));
        assert_eq!((sample("1/100"), sample("7")), (Ok(100), Ok(7)));
        assert!(sample("1/0").is_err() && sample("2/3").is_err());
    }
}
