//! Packets in tunnels come from another address than backend servers know: it is logged and named from the load
//! balancer, and what is said repairs it.

use anyhow::Result;
use elb_tests::{environment::elb_bin, process::output};
use serde_json::Value;

use crate::served::{LIMIT, Served, problems};

/// How many members the lines with these words count; the kernel may be asked about one before an address is
/// moved and about another after it.
fn counted(log: &str, words: &str) -> u32 {
    let lines = log.lines().filter(|line| line.contains(words));
    let numbers = lines.filter_map(|line| line.split_once("members=")?.1.split(' ').next());
    numbers.filter_map(|number| number.parse::<u32>().ok()).sum()
}

/// As when a DHCP server or an administrator gives the load balancer another address.
#[test]
fn the_load_balancer_gets_another_address() -> Result<()> {
    let served = Served::start()?;
    let lb = served.lab.lb();
    lb.ip("address del 10.0.0.2/24 dev lb0\naddress add 10.0.0.77/24 dev lb0")?;
    let unknown = "`elb backend up` there does not include 10.0.0.77";
    let is_said = |said: &Value| problems(said).contains(unknown);
    served.agent.wait_status("what backend servers lack", LIMIT, is_said)?;
    let log = served.agent.log();
    let moved = "packets in tunnels come from 10.0.0.77 now, and no longer from 10.0.0.2";
    assert_eq!(counted(&log, moved), 3, "each member once: {log}");
    assert_eq!(served.answered(6)?, 0, "backend servers take nothing from there");
    let shown = served.agent.diagnose(&[&format!("web/{}", served.member(0))])?;
    assert_eq!(shown.code, 1, "{:#}", shown.said);
    let text = shown.said.to_string();
    assert!(text.contains("10.0.0.77"), "{:#}", shown.said);

    for index in 0..3 {
        let mut up = served.lab.backend(index).command(elb_bin()?);
        let (vip, device) = (served.lab.vip4().to_string(), served.lab.device());
        up.args(["backend", "up", "--vip", &vip, "--mode", "ipip", "--interface", device]);
        up.args(["--from", "10.0.0.77"]).args(served.lab.backend_place(index));
        output(up, LIMIT)?;
    }
    served.wait_sound()?;
    assert_eq!(served.request(60)?.len(), 3);
    assert_eq!(served.agent.diagnose(&[])?.code, 0);
    Ok(())
}
