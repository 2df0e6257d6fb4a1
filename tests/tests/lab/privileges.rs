//! The agent as a user without any privilege but the capabilities that it names.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt as _, chown},
};

use anyhow::Result;
use elb_tests::{
    address::Family,
    agent::Agent,
    client::{Load, http_requests},
    config::{Config, Forwarding},
    lab::Lab,
    wire::HTTP_PORT,
};

use crate::scene::{config, wait_until_serving};

const USER: u32 = 65_534;
const ENOUGH: [&str; 4] = ["bpf", "net_admin", "perfmon", "net_raw"];

/// Mounts a BPF file system that only this process and its children see, gives the user a directory
/// in it, and goes on as that user with some capabilities; `$0` is the mount point, `$1` the agent,
/// which may be where the user cannot look: it is opened before.
const BECOME_USER: &str = r#"
mount -t bpf -o mode=0711 bpf "$0"
install -d -o "$LAB_USER" -g "$LAB_USER" "$0/pins"
exec 9< "$1"; shift
exec setpriv --reuid "$LAB_USER" --regid "$LAB_USER" --clear-groups --no-new-privs \
    --inh-caps "$LAB_CAPS" --ambient-caps "$LAB_CAPS" --bounding-set "$LAB_CAPS" -- /proc/self/fd/9 "$@"
"#;

/// A lab whose agent runs as the user.
struct Confined {
    lab: Lab,
    config: Config,
}

impl Confined {
    fn new() -> Result<Self> {
        let lab = Lab::builder().start()?;
        let mut config = config(&lab, Forwarding::Ipip, |pool| pool);
        let (run, bpf) = (lab.files().join("run"), lab.files().join("bpf"));
        fs::set_permissions(lab.files(), Permissions::from_mode(0o755))?;
        for directory in [&run, &bpf] {
            fs::create_dir(directory)?;
        }
        chown(&run, Some(USER), Some(USER))?;
        config.agent.socket = run.join("elb.sock");
        config.agent.pin_dir = bpf.join("pins");
        config.agent.state_dir = run.join("state");
        Ok(Self { lab, config })
    }

    /// The words that an agent's command follows, to run it with `capabilities`.
    fn wrapper(&self, capabilities: &[&str]) -> Vec<String> {
        let with: Vec<String> = capabilities.iter().map(|name| format!("+{name}")).collect();
        vec![
            "env".to_owned(),
            format!("LAB_USER={USER}"),
            format!("LAB_CAPS=-all,{}", with.join(",")),
            "unshare".to_owned(),
            "--mount".to_owned(),
            "sh".to_owned(),
            "-ec".to_owned(),
            BECOME_USER.to_owned(),
            self.lab.files().join("bpf").display().to_string(),
        ]
    }
}

#[test]
fn four_capabilities_are_enough() -> Result<()> {
    let confined = Confined::new()?;
    let Confined { lab, config } = &confined;
    let _servers = lab.serve()?;
    lab.backends_up(Forwarding::Ipip)?;
    let wrapper = confined.wrapper(&ENOUGH);
    let agent = Agent::start_under(lab, &config.text()?, &config.agent.socket, &wrapper)?;
    wait_until_serving(&agent)?;
    assert_confined(agent.id())?;

    let report = http_requests(lab.client(), Load::on(lab.service(Family::V4, HTTP_PORT)), 200)?;
    assert_eq!(report.failures().len(), 0, "{:?}", report.failures());
    assert_eq!(report.answers_by_backend().len(), 2);
    Ok(())
}

#[test]
fn a_capability_that_is_missing_is_named() -> Result<()> {
    let confined = Confined::new()?;
    for missing in ["bpf", "net_admin", "perfmon"] {
        let others: Vec<&str> = ENOUGH.into_iter().filter(|name| *name != missing).collect();
        let config = confined.config.text()?;
        let refusal = Agent::refusal_under(&confined.lab, &config, &confined.wrapper(&others))?;
        assert_eq!(refusal.code, Some(1), "{}", refusal.said);
        let name = format!("CAP_{}", missing.to_uppercase());
        assert!(refusal.said.contains(&name), "{}", refusal.said);
    }
    Ok(())
}

/// The agent is the user, and has the capabilities and no other.
fn assert_confined(id: u32) -> Result<()> {
    // linux/capability.h: CAP_NET_ADMIN, CAP_NET_RAW, CAP_PERFMON, CAP_BPF.
    let capabilities: u64 = [12, 13, 38, 39].into_iter().map(|bit| 1 << bit).sum();
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let value = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        line.map(|line| line.split_whitespace().next().unwrap_or_default().to_owned())
    };
    assert_eq!(value("Uid:"), Some(USER.to_string()));
    for set in ["CapEff:", "CapPrm:", "CapBnd:"] {
        assert_eq!(value(set), Some(format!("{capabilities:016x}")), "{set} {status}");
    }
    Ok(())
}
