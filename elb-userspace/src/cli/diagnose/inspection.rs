//! What the member's host says of itself: from a file, or asked over ssh.

use std::env;
use std::ffi::OsString;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use crate::api::client;
use crate::diagnosis::command::quoted;
use crate::diagnosis::inspect::Inspection;

#[derive(Debug, Args)]
pub(super) struct InspectionArgs {
    /// What `elb backend inspect -o json` printed on the member's host; - for standard input.
    #[arg(long, value_name = "FILE", requires = "target", conflicts_with = "ssh")]
    inspect: Option<PathBuf>,
    /// Ask the member's host: run `ssh HOST elb backend inspect … -o json`.
    #[arg(long, value_name = "HOST", requires = "target")]
    ssh: Option<String>,
    /// Print the command to run on the member's host, whose output --inspect takes, and nothing else.
    #[arg(long, requires = "target", conflicts_with_all = ["ssh", "inspect"])]
    pub(super) print_inspect: bool,
}

/// Names the program that is run in place of ssh.
const PROGRAM: &str = "ELB_SSH";
/// How long the host has to answer.
const LIMIT: Duration = Duration::from_secs(60);
/// The longest answer, in bytes.
const LONGEST: u64 = 1 << 20;

impl InspectionArgs {
    /// The inspection, if one is asked for.
    pub(super) async fn read(
        &self,
        socket: &Path,
        target: Option<&str>,
    ) -> Result<Option<Inspection>> {
        match (&self.inspect, &self.ssh, target) {
            (Some(file), _, _) => {
                let text = text_of(file)?;
                let from = file.display();
                Ok(Some(parse(&text).with_context(|| format!("{from} is no inspection"))?))
            }
            (None, Some(host), Some(target)) => {
                let words = client::inspection(socket, target).await?;
                Ok(Some(over_ssh(host, &words).await?))
            }
            (None, _, _) => Ok(None),
        }
    }
}

/// The command that inspects the host of a member, in the words of a shell.
pub(super) async fn command(socket: &Path, target: &str) -> Result<String> {
    let words = client::inspection(socket, target).await?;
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    Ok(format!("elb {}\n", words.join(" ")))
}

fn text_of(file: &Path) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin().take(LONGEST + 1).read_to_end(&mut text)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut text))
    };
    read.with_context(|| format!("cannot read {}", file.display()))?;
    Ok(text)
}

fn parse(text: &[u8]) -> Result<Inspection> {
    ensure!(text.len() as u64 <= LONGEST, "it has more than {LONGEST} bytes");
    serde_json::from_slice(text)
        .context("it must be what `elb backend inspect -o json` of this version prints")
}

/// Runs `elb` with `words` on `host`.
async fn over_ssh(host: &str, words: &[String]) -> Result<Inspection> {
    ensure!(!host.starts_with('-'), "{host:?} is no host: it begins with a hyphen");
    let program = env::var_os(PROGRAM).unwrap_or_else(|| OsString::from("ssh"));
    let shown = format!("{} {host} elb {}", program.display(), words.join(" "));
    let mut command = Command::new(&program);
    // A shell at the other end splits the words again.
    command.arg(host).arg("elb").args(words.iter().map(|word| quoted(word)));
    let answer = tokio::time::timeout(LIMIT, answer(command)).await;
    let (text, status) = match answer {
        Ok(answer) => answer.with_context(|| format!("cannot run `{shown}`"))?,
        Err(_) => bail!("`{shown}` did not end within {LIMIT:?}"),
    };
    refuse(&text, status, host)?;
    // The exit code says what was found, as that of this command does.
    parse(&text).with_context(|| format!("`{shown}` printed no inspection ({status})"))
}

/// Says plainly why there is no answer, where the shells between are the reason.
fn refuse(text: &[u8], status: ExitStatus, host: &str) -> Result<()> {
    const NOT_FOUND: i32 = 127;
    const NOT_EXECUTABLE: i32 = 126;
    const NO_CONNECTION: i32 = 255;
    let by_hand = "or run there what `elb diagnose … --print-inspect` prints, with another path, and give \
                   its output to --inspect";
    match status.code() {
        Some(NOT_FOUND) => bail!(
            "{host} has no `elb`: its shell does not find the command; install elb there, {by_hand}"
        ),
        Some(NOT_EXECUTABLE) => {
            bail!("{host} may not run its `elb`: see its permissions, {by_hand}")
        }
        Some(NO_CONNECTION) if text.is_empty() => {
            bail!("{host} cannot be reached by ssh: see what ssh said above, {by_hand}")
        }
        _ if text.trim_ascii().is_empty() => bail!(
            "`elb backend inspect` on {host} printed nothing ({status}): see what it said above; it \
             must be of this version, {by_hand}"
        ),
        _ => Ok(()),
    }
}

async fn answer(mut command: Command) -> Result<(Vec<u8>, ExitStatus)> {
    let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let mut text = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(LONGEST + 1).read_to_end(&mut text).await?;
    }
    Ok((text, child.wait().await?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::inspect::InspectRequest;
    use crate::diagnosis::report::Report;
    use crate::model::transport::TransportProtocol;

    #[test]
    fn what_is_no_inspection_is_refused() {
        let asked = InspectRequest {
            protocol: TransportProtocol::Tcp,
            port: Some(80),
            from: Vec::new(),
            to: Vec::new(),
            vips: Vec::new(),
            mode: None,
            outer: Vec::new(),
            clients: Vec::new(),
            direct: false,
        };
        let report = Report::new("b1", true, Vec::new());
        let inspection = Inspection { host: "b1".to_owned(), asked, report };
        assert_eq!(parse(&serde_json::to_vec(&inspection).unwrap()).unwrap(), inspection);
        for text in ["", "{}", "[]", "ssh: no route to host", "{\"subject\": 3}"] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
        let long = vec![b' '; 1 + (1 << 20)];
        assert!(parse(&long).unwrap_err().to_string().contains("more than 1048576 bytes"));
    }

    #[test]
    fn a_host_without_elb_is_said_to_have_none() {
        use std::os::unix::process::ExitStatusExt as _;
        let said = |text: &str, code: i32| {
            let refused = refuse(text.as_bytes(), ExitStatus::from_raw(code << 8), "b1");
            refused.err().map(|error| error.to_string()).unwrap_or_default()
        };
        assert!(said("", 127).starts_with("b1 has no `elb`:"), "{}", said("", 127));
        assert!(said("", 126).starts_with("b1 may not run its `elb`"));
        assert!(said("", 255).starts_with("b1 cannot be reached by ssh"));
        assert!(said(" \n", 2).contains("printed nothing (exit status: 2)"));
        assert_eq!(said("{}", 1), "");
    }

    #[tokio::test]
    async fn a_host_is_no_option() {
        let error = over_ssh("-oProxyCommand=reboot", &[]).await.unwrap_err().to_string();
        assert!(error.contains("begins with a hyphen"), "{error}");
    }
}
