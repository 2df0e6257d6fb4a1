//! The packet filter, through the programs that read it: their output is the stable interface.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use super::host::{needs_root, text};
use super::nf_tables;
use crate::diagnosis::inspect::facts::Known;
use crate::diagnosis::inspect::filter::{Family, Ruleset, Tool, iptables, nft};

/// A ruleset that takes longer, or more room, is not read.
const LIMIT: Duration = Duration::from_secs(20);
const MOST: u64 = 64 << 20;

pub fn rules() -> Known<Ruleset> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let mut rules = nftables().await?;
        rules.add(legacy("/proc/thread-self/net/ip_tables_names", Family::Ip).await?);
        rules.add(legacy("/proc/thread-self/net/ip6_tables_names", Family::Ip6).await?);
        Ok(rules)
    })
}

async fn nftables() -> Known<Ruleset> {
    if find("nft").is_none() && matches!(nf_tables::are_there(), Ok(false)) {
        return Ok(Ruleset::default());
    }
    let json = run("nft", &["--json", "list", "ruleset"]).await?;
    let words = run("nft", &["--handle", "list", "ruleset"]).await?;
    let listing = nft::read(&json, &String::from_utf8_lossy(&words));
    let mut listing = listing.map_err(|error| format!("nft prints what is no ruleset: {error}"))?;
    for (family, save, program) in [
        (Family::Ip, "iptables-nft-save", "iptables-nft"),
        (Family::Ip6, "ip6tables-nft-save", "ip6tables-nft"),
    ] {
        let tables = listing.of_iptables.iter().filter(|table| table.family == family);
        let tables: Vec<_> = tables.cloned().collect();
        if tables.is_empty() {
            continue;
        }
        // Where it is not there, or does not take a table for its own, nft's view of it remains.
        let Ok(saved) = run(save, &[]).await else { continue };
        let wanted = |name: &str| tables.iter().any(|table| table.name == name);
        let saved = iptables::read(&String::from_utf8_lossy(&saved), program, family, wanted);
        listing.rules.chains.retain(|chain| {
            let replaced = saved.chains.iter().any(|other| other.table.name == chain.table.name);
            chain.table.tool != Tool::Nft || chain.table.family != family || !replaced
        });
        listing.rules.add(saved);
    }
    Ok(listing.rules)
}

/// Tables of the kernel's older packet filter; the file shows whether there are any.
async fn legacy(names: &str, family: Family) -> Known<Ruleset> {
    let names = match text(names) {
        Some(names) => names,
        None if Path::new(names).exists() => {
            return Err(needs_root(&format!("{names} cannot be read")));
        }
        None => return Ok(Ruleset::default()),
    };
    if names.trim().is_empty() {
        return Ok(Ruleset::default());
    }
    let (save, program) = match family {
        Family::Ip6 => ("ip6tables-legacy-save", "ip6tables-legacy"),
        Family::Ip | Family::Inet | Family::Netdev => ("iptables-legacy-save", "iptables-legacy"),
    };
    let saved = run(save, &[]).await?;
    Ok(iptables::read(&String::from_utf8_lossy(&saved), program, family, |_| true))
}

/// What a program prints.
async fn run(program: &str, arguments: &[&str]) -> Known<Vec<u8>> {
    let Some(path) = find(program) else {
        return Err(format!("the packet filter cannot be read without {program}: install it"));
    };
    match tokio::time::timeout(LIMIT, output(&path, arguments)).await {
        Ok(Err(error)) => Err(needs_root(&format!("{program} cannot be run: {error}"))),
        Ok(Ok(output)) => output.map_err(|said| needs_root(&format!("{program}: {said}"))),
        Err(_) => Err(format!("{program} does not end within {LIMIT:?}")),
    }
}

/// A program in the folders of PATH, or in those of the administrator, which others' PATH lacks.
fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder: PathBuf| folder.join(program)).find(|path| path.is_file())
}

/// What it prints, or what it says when it fails.
async fn output(program: &Path, arguments: &[&str]) -> std::io::Result<Result<Vec<u8>, String>> {
    let mut command = Command::new(program);
    command.args(arguments).env("LC_ALL", "C").kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Ok(Err("its output cannot be read".to_owned()));
    };
    let (mut printed, mut said) = (Vec::new(), Vec::new());
    let mut stdout = stdout.take(MOST);
    let mut stderr = stderr.take(4096);
    tokio::try_join!(stdout.read_to_end(&mut printed), stderr.read_to_end(&mut said))?;
    if stdout.limit() == 0 {
        return Ok(Err("it prints too much to be read".to_owned()));
    }
    let status = child.wait().await?;
    let said = String::from_utf8_lossy(&said).trim().replace('\n', "; ");
    Ok(if status.success() { Ok(printed) } else { Err(format!("{status}: {said}")) })
}
