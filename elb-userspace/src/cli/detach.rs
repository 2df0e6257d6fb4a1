//! `elb detach`: stop forwarding.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde::Serialize;

use super::{ConfigArg, Output, block_on, print_json, print_text};
use crate::announce::{Announcer, solicited_node_mac};
use crate::kernel::{directories, remove_pins, served_v6};
use crate::steering::Steering;
use crate::{agent, config, saved};

#[derive(Debug, Args)]
#[command(after_help = "\
The agent must be stopped first: stopping it does not stop the traffic, this does. Packets then reach
the kernel's network stack as if elb had never been there. The interfaces, rules and routes that health
probes left by go too.

Examples:
  systemctl stop elb && elb detach
  elb detach --config /etc/elb/elb.toml -o json")]
pub(super) struct DetachArgs {
    #[command(flatten)]
    config: ConfigArg,
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

pub(super) fn run(args: &DetachArgs) -> Result<ExitCode> {
    // What is wrong in the rest of the file does not matter here.
    let (config, errors) = config::load_lenient(&args.config.config);
    let Some(config) = config else {
        bail!("{errors}\n[agent] says where the pins are");
    };
    refuse_beside_agent(&config.agent.socket)?;
    let removed = remove_all(&config.agent.pin_dir)?;
    let steering = Steering::of(&config.agent.pin_dir, None);
    let was_there = block_on(async { Ok(steering.remove().await?) })?;
    let removed_interface = was_there.then_some(steering.device);
    // Its numbers mean nothing without the maps; verdicts are old when somebody starts anew.
    for path in [saved::numbers_path, saved::health_path] {
        let _ = fs::remove_file(path(&config.agent.socket));
    }
    let _ = fs::remove_dir(&config.agent.pin_dir);
    match args.output {
        Output::Json => print_json(&Detached { removed, removed_interface })?,
        Output::Table => {
            let pin_dir = &config.agent.pin_dir;
            print_text(&text(pin_dir, removed.len(), removed_interface.as_deref()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
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

/// Leaves the multicast groups by which interfaces heard who looks for virtual IPv6 addresses.
fn leave_groups(directory: &Path) {
    let (vips, interfaces) = served_v6(directory);
    let Ok(announcer) = Announcer::new() else { return };
    for vip in vips {
        for index in &interfaces {
            // It may be gone, or never have joined.
            let _ = announcer.leave(*index, solicited_node_mac(vip));
        }
    }
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
        leave_groups(&directory);
        let pins = remove_pins(&directory)
            .with_context(|| format!("cannot remove {}", directory.display()))?;
        removed.extend(pins);
    }
    Ok(removed)
}
