//! `elb capture`: packets as a file that Wireshark reads.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::ops::ControlFlow;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::Args;

use super::block_on;
use super::packets::PacketArgs;
use super::socket::SocketArg;
use crate::observe::capture::Capture;
use crate::observe::trace::{DEFAULT_SNAP, MAX_SNAP, MIN_SNAP, PacketEvent};

#[derive(Debug, Args)]
#[command(after_help = "\
What the program sends does not come by tcpdump: it never enters the network stack. Here each packet
stands in the file as it came (interface `lb0 received`, with a comment that says what became of it)
and as it went (`lb0 sent`), encapsulated if it was.

Everyone who may use the agent's socket may see packets.

Examples:
  elb capture -w web.pcapng --vip 192.0.2.10 --count 1000
  elb capture -w drops.pcapng --dropped --duration 30s --snaplen 2048
  elb capture -w one.pcapng --client 198.51.100.7 && wireshark one.pcapng
  ssh lb elb capture -w - --vip 192.0.2.10 | wireshark -k -i -")]
pub(super) struct CaptureArgs {
    /// The file, - for standard output; one that is there is replaced as soon as the agent reports
    /// packets.
    #[arg(short, long, value_name = "FILE")]
    write: PathBuf,
    /// Keep at most so many bytes of each frame.
    #[arg(long, value_name = "BYTES", default_value_t = DEFAULT_SNAP,
          value_parser = clap::value_parser!(u32).range(i64::from(MIN_SNAP)..=i64::from(MAX_SNAP)))]
    snaplen: u32,
    #[command(flatten)]
    packets: PacketArgs,
    #[command(flatten)]
    agent: SocketArg,
}

pub(super) fn run(args: &CaptureArgs) -> Result<ExitCode> {
    let request = args.packets.request(args.snaplen, true)?;
    let file: RefCell<Option<Capture<Box<dyn Write>>>> = RefCell::new(None);
    let began = || {
        *file.borrow_mut() = Some(Capture::new(open(&args.write)?, args.snaplen)?);
        Ok(())
    };
    let add =
        |event: PacketEvent| match file.borrow_mut().as_mut().map(|capture| capture.add(&event)) {
            Some(Err(error)) if is_broken_pipe(&error) => Ok(ControlFlow::Break(())),
            Some(Err(error)) => Err(error),
            Some(Ok(())) | None => Ok(ControlFlow::Continue(())),
        };
    let socket = args.agent.path()?;
    let result = block_on(args.packets.follow(&socket, &request, began, add));
    // What was captured is kept, however it ended.
    if let Some(capture) = file.into_inner() {
        capture.into_inner().flush()?;
    }
    result.map(|()| ExitCode::SUCCESS)
}

/// Where to write. Standard output gets each packet when it is reported, for live views.
fn open(file: &Path) -> Result<Box<dyn Write>> {
    if file == Path::new("-") {
        let out = io::stdout();
        ensure!(
            !out.is_terminal(),
            "refusing to write pcapng to a terminal; redirect standard output"
        );
        return Ok(Box::new(File::from(out.as_fd().try_clone_to_owned()?)));
    }
    let new = File::create(file).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(Box::new(BufWriter::new(new)))
}

/// Whether the reader is gone.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
