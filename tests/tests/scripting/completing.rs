//! Completion in a real bash: resources of the API by their names, soon, and silence where no one answers.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use elb_tests::{
    agent::Agent,
    config::Config,
    environment::elb_bin,
    lab::Lab,
    process::{Ended, ended, output},
    wait::STUCK,
};
use nix::{sys::signal, unistd::Pid};

/// Loads the script that `elb` prints, asks for the last word of a line as a TAB does, and prints the answers.
const BASH: &str = r#"
set -eu
source <(elb completions bash)
set +e
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_TYPE=9; COMPREPLY=()
word="${COMP_WORDS[COMP_CWORD]}"
_clap_complete_elb elb "$word" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\n' "${COMPREPLY[@]}"
"#;
/// More than a person waits for a TAB, and less than a command waits for its agent.
const AT_ONCE: Duration = Duration::from_secs(5);

/// An agent with a store, and resources in it.
struct Store {
    agent: Agent,
    lab: Lab,
}

impl Store {
    fn start() -> Result<Self> {
        let lab = Lab::builder().backends(1).start()?;
        let config = Config::new(&lab);
        let file = config.text()?.replace("load_balancer = []\n", "").replace("pool = []\n", "");
        let text = format!("{file}\n[api]\nforwarding = \"ipip\"\n");
        let agent = Agent::start_with(&lab, &text, &config.agent.socket)?;
        let store = Self { agent, lab };
        for line in [
            "lb create web --vip-address 192.0.2.10",
            "lb create worker --vip-address 192.0.2.11",
            "lb create mail --vip-address 192.0.2.12",
            "listener create http --lb web --protocol TCP --port 80",
            "listener create smtp --lb mail --protocol TCP --port 25",
            "listener create smtp --lb worker --protocol TCP --port 25",
            "pool create apps --listener http --protocol TCP",
            "member create --pool apps --address 10.0.0.11 --port 80",
            "healthmonitor create --pool apps --type TCP",
            "ipgroup create office --ip 10.0.0.0/8",
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            store.agent.run(&words)?;
        }
        Ok(store)
    }

    fn bash(&self, words: &[&str]) -> Result<Ended> {
        let folder = elb_bin()?.parent().context("a folder")?.display().to_string();
        let mut command: Command = self.lab.lb().command(Path::new("bash"));
        command.args(["--norc", "--noprofile", "-c", BASH, "bash"]).args(words);
        command.env("PATH", format!("{folder}:{}", std::env::var("PATH")?));
        ended(command, STUCK)
    }

    /// What a TAB after these words offers.
    fn offers(&self, line: &str) -> Result<Vec<String>> {
        let file = self.agent.file().display().to_string();
        let line = line.replace("FILE", &file);
        let words: Vec<&str> = line.split(' ').collect();
        let ended = self.bash(&words)?;
        ensure!(ended.code == Some(0) && ended.said.is_empty(), "{line:?}: {}", ended.said);
        Ok(ended.printed.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect())
    }

    fn offers_exactly(&self, line: &str, expected: &[&str]) -> Result<()> {
        let found = self.offers(line)?;
        ensure!(found == expected, "{line:?}: {found:?}");
        Ok(())
    }
}

#[test]
fn bash_completes_the_names_of_resources() -> Result<()> {
    let store = Store::start()?;
    for (line, expected) in [
        ("elb lb show -c FILE ", &["mail", "web", "worker"][..]),
        ("elb lb show --config FILE w", &["web", "worker"]),
        ("elb lb show --config FILE wo", &["worker"]),
        ("elb lb show --config FILE nothing", &[]),
        ("elb listener set -c FILE ", &["http", "mail/smtp", "worker/smtp"]),
        ("elb listener create -c FILE x --lb m", &["mail"]),
        ("elb listener set -c FILE http --ipgroup ", &["office"]),
        ("elb pool delete -c FILE a", &["apps"]),
        ("elb member list -c FILE --pool ", &["apps"]),
        ("elb member show -c FILE ", &["10.0.0.11"]),
        ("elb healthmonitor show -c FILE ", &["apps"]),
        ("elb ipgroup show -c FILE of", &["office"]),
        // What no agent is asked for.
        ("elb healthm", &["healthmonitor"]),
        ("elb lb show -c FILE web --outp", &["--output"]),
        ("elb lb show -o ", &["table", "json", "yaml"]),
    ] {
        store.offers_exactly(line, expected)?;
    }
    let mut list = store.lab.lb().command(elb_bin()?);
    list.args(["lb", "list", "-o", "json", "--config"]).arg(store.agent.file());
    let all: serde_json::Value = serde_json::from_str(&output(list, STUCK)?)?;
    let id = all[0]["id"].as_str().context("an id")?;
    store.offers_exactly(&format!("elb lb show -c FILE {}", &id[..8]), &[id])
}

/// An agent that hangs, and one that is gone, cost no patience and no line of errors.
#[test]
fn bash_is_silent_where_no_agent_answers() -> Result<()> {
    let mut store = Store::start()?;
    let pid = Pid::from_raw(store.agent.id().try_into()?);
    signal::kill(pid, signal::Signal::SIGSTOP)?;
    let begun = Instant::now();
    let hanging = store.offers_exactly("elb lb show -c FILE w", &[]);
    let waited = begun.elapsed();
    signal::kill(pid, signal::Signal::SIGCONT)?;
    hanging?;
    ensure!(waited < AT_ONCE, "{waited:?}");
    store.agent.kill()?;
    store.offers_exactly("elb lb show -c FILE w", &[])?;
    store.offers_exactly("elb lb show -c /nowhere/elb.toml w", &[])
}
