//! `elb detach`: stop forwarding. It needs no configuration file that is right.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde::Serialize;

use super::socket::DEFAULT_SOCKET;
use super::{ConfigArg, Output, block_on, print_json, print_text};
use crate::config::{PIN_DIR, USUAL_FILE};
use crate::kernel::{directories, remove_pins};
use crate::steering::Steering;
use crate::{agent, config, saved};

#[derive(Debug, Args)]
#[command(after_help = "\
The agent must be stopped first: stopping it does not stop the traffic, this does. Packets then reach
the kernel's network stack as if elb had never been there. The interfaces, rules and routes that health
probes left by go too.

The file only says where the pins and the agent's socket are. Without --config and with a file that is
missing or wrong, these are the usual places; another file that cannot be read needs --pin-dir.

Examples:
  systemctl stop elb && elb detach
  elb detach --config /etc/elb/elb.toml -o json
  elb detach --pin-dir /sys/fs/bpf/elb           whatever the file says")]
pub(super) struct DetachArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// The folder of the pins; by default the one that the configuration file names.
    #[arg(long, value_name = "PATH")]
    pin_dir: Option<PathBuf>,
    /// The socket of the agent that is stopped; by default the one that the configuration file names.
    #[arg(short, long, value_name = "PATH", env = "ELB_SOCKET")]
    socket: Option<PathBuf>,
    /// How to write the result.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Serialize)]
struct Detached {
    removed: Vec<PathBuf>,
    /// The interface that probes of virtual addresses left by, if it was there.
    removed_interface: Option<String>,
}

/// Where an agent keeps what is to be removed.
struct Places {
    pin_dir: PathBuf,
    socket: PathBuf,
}

pub(super) fn run(args: &DetachArgs) -> Result<ExitCode> {
    let Places { pin_dir, socket } = places(args)?;
    refuse_beside_agent(&socket)?;
    let removed = remove_all(&pin_dir)?;
    let steering = Steering::of(&pin_dir, None);
    let was_there = block_on(async { Ok(steering.remove().await?) })?;
    let removed_interface = was_there.then_some(steering.device);
    // Its numbers mean nothing without the maps; verdicts are old when somebody starts anew.
    for path in [saved::numbers_path, saved::health_path] {
        let _ = fs::remove_file(path(&socket));
    }
    let _ = fs::remove_dir(&pin_dir);
    match args.output {
        Output::Json => print_json(&Detached { removed, removed_interface })?,
        Output::Table => {
            print_text(&text(&pin_dir, removed.len(), removed_interface.as_deref()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What the arguments say, else the file, else the usual places, if no other file was named.
fn places(args: &DetachArgs) -> Result<Places> {
    let file = &args.config.config;
    let (config, errors) = config::load_lenient(file);
    let (pin_dir, socket) = match config {
        // What is wrong in the rest of the file does not matter here.
        Some(config) => (config.agent.pin_dir, config.agent.socket),
        None if args.pin_dir.is_none() && file != Path::new(USUAL_FILE) => bail!(
            "{errors}\nso {} does not say where the pins are: name their folder with --pin-dir (the \
             usual one is {PIN_DIR})",
            file.display()
        ),
        None => {
            eprintln!("{errors}");
            let pin_dir = args.pin_dir.as_deref().unwrap_or(Path::new(PIN_DIR));
            let socket = args.socket.as_deref().unwrap_or(Path::new(DEFAULT_SOCKET));
            eprintln!(
                "elb: {} is not used; pins are looked for in {}, and an agent at {}",
                file.display(),
                pin_dir.display(),
                socket.display()
            );
            (PIN_DIR.into(), DEFAULT_SOCKET.into())
        }
    };
    Ok(Places {
        pin_dir: args.pin_dir.clone().unwrap_or(pin_dir),
        socket: args.socket.clone().unwrap_or(socket),
    })
}
fn text(directory: &Path, pins: usize, interface: Option<&str>) -> String {
    let directory = directory.display();
    let stopped = match pins {
        0 => format!("nothing was pinned in {directory}\n"),
        pins => format!("forwarding has stopped: {pins} pins removed from {directory}\n"),
    };
    let removed = interface.map(|interface| {
        format!(
            "the way of health probes is removed: interface {interface}, its rules and routes\n"
        )
    });
    stopped + &removed.unwrap_or_default()
}

fn refuse_beside_agent(socket: &Path) -> Result<()> {
    let Ok(file) = File::open(agent::lock_path(socket)) else { return Ok(()) };
    match file.try_lock_shared() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => bail!(
            "an agent serves {}: stop it first (`systemctl stop elb`), it would attach again",
            socket.display()
        ),
        Err(TryLockError::Error(error)) => Err(error).context("cannot tell whether an agent runs"),
    }
}

/// Removes what is pinned for any version.
fn remove_all(pin_dir: &Path) -> Result<Vec<PathBuf>> {
    let mut removed = Vec::new();
    for directory in directories(pin_dir) {
        let pins = remove_pins(&directory)
            .with_context(|| format!("cannot remove {}", directory.display()))?;
        removed.extend(pins);
    }
    Ok(removed)
}
