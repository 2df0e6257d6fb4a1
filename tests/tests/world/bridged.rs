//! Members that are reached by a bridge: no frame goes out by it while it is not served, which is named, whether
//! its port is served or not; each of the ways out that are proposed works.

use anyhow::{Context as _, Result};
use elb_tests::{diagnosis::Diagnosis, status};
use serde_json::Value;

use crate::served::{LIMIT, Served, doctor, finding, is_degraded, problems};

const BRIDGE: &str = "br1";

#[track_caller]
fn is_named(shown: &Diagnosis, what: &str, fix: &str) {
    assert_eq!((shown.code, shown.cause()), (1, Some("way-out")), "{:#}", shown.said);
    assert!(shown.evidence().contains("would leave by br1"), "{:#}", shown.said);
    assert!(shown.evidence().contains(what) && shown.fix().contains(fix), "{:#}", shown.said);
}

impl Served {
    /// Moves a device and its address into a bridge with the same Ethernet address, and a static route.
    fn bridge(&self, port: &str, more: &str) -> Result<()> {
        let lb = self.lab.lb();
        let shown = lb.ip(&format!("link show dev {port}"))?;
        let mac = shown.split("link/ether ").nth(1).and_then(|rest| rest.split(' ').next());
        let mac = mac.context("no Ethernet address")?;
        lb.ip(&format!(
            "link add {BRIDGE} type bridge stp_state 0 forward_delay 0 mcast_snooping 0\n\
             link set {BRIDGE} address {mac} mtu 1600 up\nlink set {port} master {BRIDGE}\n{more}"
        ))
        .map(drop)
    }

    fn explained(&self) -> Result<String> {
        let client = self.lab.client_addr(elb_tests::address::Family::V4).to_string();
        let vip = format!("{}:80", self.lab.vip4());
        let asked = ["explain", "--src", &client, "--dst", &vip, "--proto", "tcp", "--syn"];
        Ok(self.agent.end(&asked, LIMIT)?.printed)
    }
}

fn is_problem(said: &Value) -> bool {
    problems(said).contains("would leave by br1") && is_degraded(said)
}

/// As when a host becomes one for virtual machines: its interface is a port from now on.
#[test]
fn the_interface_becomes_a_port_of_a_bridge() -> Result<()> {
    let mut served = Served::start()?;
    let named = served.explained()?;
    assert!(named.contains("lb0") && !named.contains('#'), "{named}");
    let own = "10.0.0.2/24";
    served.bridge("lb0", &format!("address del {own} dev lb0\naddress add {own} dev {BRIDGE}"))?;
    served.agent.wait_status("the bridge", LIMIT, is_problem)?;
    is_named(&served.agent.diagnose(&[])?, "lb0 is a port of br1", "ip link set lb0 nomaster");
    let host = doctor(&served.lab, served.agent.file())?;
    assert_eq!(finding(&host, "way-out")["outcome"], "fail", "{host:#}");
    let named = served.explained()?;
    assert!(named.contains(BRIDGE) && !named.contains('#'), "{named}");

    // The bridge in place of its port.
    let alone = served.config.clone();
    let agent = &mut served.config.agent;
    (agent.interfaces, agent.attach_mode) = (vec![BRIDGE.to_owned()], "generic".to_owned());
    served.agent.restart_with(&served.config.clone())?;
    served.agent.wait_status("all members to serve", LIMIT, |said| {
        status::all_serve(said) && !problems(said).contains("would leave by")
    })?;
    assert_eq!(served.request(60)?.len(), 3);

    // Out of the bridge again.
    let lb = served.lab.lb();
    lb.ip(&format!(
        "link set lb0 nomaster\naddress del {own} dev {BRIDGE}\naddress add {own} dev lb0\n\
         link del {BRIDGE}"
    ))?;
    served.agent.restart_with(&alone)?;
    served.wait_sound()?;
    assert_eq!(served.request(60)?.len(), 3);
    assert_eq!(served.agent.diagnose(&[])?.code, 0);
    Ok(())
}

/// A bridge whose port is not served leads to one member.
#[test]
fn a_member_is_behind_a_bridge() -> Result<()> {
    let mut served = Served::start()?;
    let _pass = served.lab.add_lb_device("eth7", 7)?;
    let member = served.member(1);
    served.bridge("eth7", &format!("route add {member}/32 dev {BRIDGE} src 10.0.0.2"))?;
    served.agent.wait_status("the bridge", LIMIT, is_problem)?;
    served.agent.wait_members(&[member], "OFFLINE", LIMIT)?;
    let shown = served.agent.diagnose(&[&format!("web/{member}")])?;
    is_named(&shown, "10.0.0.12", "attach_mode = \"generic\" if br1 is a bridge");

    // As that says, on real packets, those of probes included.
    served.config.agent.interfaces.push(BRIDGE.to_owned());
    served.config.agent.attach_mode = "generic".to_owned();
    served.agent.reload(&served.config.clone())?;
    served.agent.wait_status("all members to serve", LIMIT, |said| {
        status::all_serve(said) && !problems(said).contains("would leave by")
    })?;
    served.agent.wait_members(&[member], "ONLINE", LIMIT)?;
    assert_eq!(served.request(60)?.len(), 3);
    Ok(())
}
