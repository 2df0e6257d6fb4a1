//! `elb detach`: stop forwarding. It needs no configuration file that is right.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use super::socket::DEFAULT_SOCKET;
use super::{ConfigArg, Output, block_on, print_json, print_text};
use crate::agent;
use crate::agent::saved::{Drained, Folder};
use crate::api::shape::detach::Detached;
use crate::kernel::bpf::{detach, directories, pinned, remove_pins, served_v6};
use crate::kernel::net::announce::{Announcer, solicited_node_mac};
use crate::kernel::net::probe_route::RouteNames;
use crate::source::file;
use crate::source::file::{PIN_DIR, STATE_DIR, USUAL_FILE};

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

/// Where an agent keeps what is to be removed.
struct Places {
    pin_dir: PathBuf,
    socket: PathBuf,
    state_dir: PathBuf,
}

pub(super) fn run(args: &DetachArgs) -> Result<ExitCode> {
    let Places { pin_dir, socket, state_dir } = places(args)?;
    let _lock = agent::lock_pins(&pin_dir)?;
    let removed = remove_all(&pin_dir)?;
    let names = RouteNames::of(&pin_dir, None);
    let was_there = block_on(async { Ok(names.remove().await?) })?;
    let removed_interface = was_there.then_some(names.device);
    // Numbers mean nothing without the maps; verdicts are old when an agent starts anew.
    let folder = Folder::new(&state_dir, &pin_dir, &socket);
    folder.forget_numbers();
    let drained = Drained::read(&folder.drained()).map_or(0, |drained| drained.drained.len());
    let _ = fs::remove_dir(&pin_dir);
    match args.output {
        Output::Json => print_json(&Detached { removed, removed_interface, drained })?,
        Output::Table => {
            print_text(&text(&pin_dir, removed.len(), removed_interface.as_deref()))?;
            if drained > 0 {
                print_text(&format!(
                    "{drained} members stay drained: `elb drain MEMBER --cancel` ends that once an \
                     agent runs\n"
                ))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What the arguments say, else the file, else the usual places, if no other file was named.
fn places(args: &DetachArgs) -> Result<Places> {
    let file = &args.config.config;
    let (config, errors) = file::load_lenient(file);
    let (pin_dir, socket, state_dir) = match config {
        // What is wrong in the rest of the file does not matter here.
        Some(config) => (config.agent.pin_dir, config.agent.socket, config.agent.state_dir),
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
            (PIN_DIR.into(), DEFAULT_SOCKET.into(), STATE_DIR.into())
        }
    };
    Ok(Places {
        pin_dir: args.pin_dir.clone().unwrap_or(pin_dir),
        socket: args.socket.clone().unwrap_or(socket),
        state_dir,
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

/// Removes what is pinned for any version.
fn remove_all(pin_dir: &Path) -> Result<Vec<PathBuf>> {
    let mut removed = Vec::new();
    for directory in directories(pin_dir) {
        leave_groups(&directory);
        let failed = || format!("cannot remove {}", directory.display());
        for index in pinned(&directory) {
            removed.push(detach(&directory, index).with_context(failed)?);
        }
        removed.extend(remove_pins(&directory).with_context(failed)?);
    }
    Ok(removed)
}
