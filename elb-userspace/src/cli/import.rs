//! `elb import`: the configuration of another load balancer as one for elb.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};

use super::print_text;
use crate::model::Forwarding;
use crate::source::file;
use crate::source::import::{ImportOptions, haproxy, keepalived};

#[derive(Debug, Args)]
#[command(after_help = "\
The result is a valid file: `elb check` accepts it. A comment stands where something has no equal, with the
line of the other file. A listener, pool or member that the rules of elb refuse is there as comments, with
the rule after NOT SERVED; most often members have another port than their listener, since elb translates
no ports. Of haproxy, sections in mode tcp are translated. Included files are not read.

Examples:
  elb import keepalived /etc/keepalived/keepalived.conf > elb.toml
  elb import haproxy /etc/haproxy/haproxy.cfg --vip 192.0.2.10 --interface eth0 --write elb.toml
  elb check --config elb.toml")]
pub(super) struct ImportArgs {
    /// What the file is of.
    kind: Kind,
    /// The file.
    file: PathBuf,
    /// An interface that traffic arrives on; may be repeated. By default those that the file names.
    #[arg(long = "interface", value_name = "NAME")]
    interfaces: Vec<String>,
    /// A virtual address for listeners that the file binds to every address (haproxy); may be repeated.
    #[arg(long = "vip", value_name = "ADDRESS")]
    vips: Vec<IpAddr>,
    /// How packets reach members where the file does not say so; by default ipip.
    #[arg(long, value_parser = forwardings())]
    forwarding: Option<String>,
    /// Write the result into this file, which must not exist, instead of to standard output.
    #[arg(short, long, value_name = "FILE")]
    write: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// keepalived.conf: `virtual_server` and `virtual_server_group`.
    Keepalived,
    /// haproxy.cfg: `frontend`, `backend` and `listen` in mode tcp.
    Haproxy,
}

fn forwardings() -> PossibleValuesParser {
    PossibleValuesParser::new(Forwarding::ALL.iter().map(|one| one.as_str()))
}

pub(super) fn run(args: &ImportArgs) -> Result<ExitCode> {
    let text = file::read_one(&args.file).map_err(|errors| anyhow::anyhow!("{errors}"))?;
    let options = ImportOptions {
        interfaces: args.interfaces.clone(),
        forwarding: args.forwarding.as_deref().and_then(|name| name.parse().ok()),
        vips: args.vips.clone(),
    };
    let name = args.file.display().to_string();
    let translate = match args.kind {
        Kind::Keepalived => keepalived::translate,
        Kind::Haproxy => haproxy::translate,
    };
    let translation = translate(&name, &text, &options).with_context(|| name.clone())?;
    match &args.write {
        Some(file) => fs::File::create_new(file)
            .and_then(|mut file| {
                std::io::Write::write_all(&mut file, translation.to_string().as_bytes())
            })
            .with_context(|| {
                format!("cannot write {}; name a file that does not exist", file.display())
            })?,
        None => print_text(&translation.to_string())?,
    }
    let refused: Vec<_> =
        translation.listeners().filter(|(_, served)| !served).map(|(name, _)| name).collect();
    let listeners = translation.listeners().count();
    eprintln!(
        "{} of {listeners} listeners are served; {} comments say what has no equal",
        listeners - refused.len(),
        translation.notes()
    );
    if !refused.is_empty() {
        eprintln!("not served (the file says why): {}", refused.join(", "));
    }
    Ok(ExitCode::SUCCESS)
}
