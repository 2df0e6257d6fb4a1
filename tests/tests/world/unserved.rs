//! Members behind an interface that the agent does not serve: it is named, and no member is suspected.

use anyhow::Result;
use elb_tests::diagnosis::Diagnosis;
use serde_json::Value;

use crate::served::{LIMIT, Served, doctor, finding, is_degraded, problems};

const OTHER: &str = "eth7";

#[track_caller]
fn is_named(shown: &Diagnosis) {
    assert_eq!((shown.code, shown.cause()), (1, Some("way-out")), "{:#}", shown.said);
    assert!(shown.evidence().contains("10.0.0.12"), "{:#}", shown.said);
    assert!(shown.evidence().contains("would leave by eth7"), "{:#}", shown.said);
    assert!(shown.fix().contains("add \"eth7\" to interfaces in [agent]"), "{:#}", shown.said);
}

fn is_problem(said: &Value) -> bool {
    problems(said).contains("would leave by eth7") && is_degraded(said)
}

fn way_out(served: &Served) -> Result<Value> {
    Ok(finding(&doctor(&served.lab, served.agent.file())?, "way-out")["outcome"].clone())
}

/// With monitors, then without: a route of one member leads to another device of this host.
#[test]
fn an_interface_that_is_not_served_is_named() -> Result<()> {
    let mut served = Served::start()?;
    let _pass = served.lab.add_lb_device(OTHER, 7)?;
    let member = served.member(1);
    served.lab.lb().ip(&format!("route add {member}/32 dev {OTHER}"))?;
    served.agent.wait_status("the interface", LIMIT, is_problem)?;
    served.agent.wait_members(&[member], "OFFLINE", LIMIT)?;
    let shown = served.agent.diagnose(&[&format!("web/{member}")])?;
    is_named(&shown);
    assert_eq!(shown.said["reports"][1]["cause"], "neighbor", "{:#}", shown.said);
    assert_eq!(way_out(&served)?, "fail");
    let log = served.agent.log();
    assert!(log.contains("would leave by eth7"), "{log}");
    served.request(20)?;

    // As the fix says.
    let alone = served.config.clone();
    served.config.agent.interfaces.push(OTHER.to_owned());
    served.agent.reload(&served.config.clone())?;
    served.wait_sound()?;
    assert_eq!(served.request(60)?.len(), 3);
    assert_eq!(way_out(&served)?, "pass");
    assert_eq!(served.agent.diagnose(&[])?.code, 0);

    let mut unwatched = alone;
    for pool in ["web", "echo"] {
        unwatched.pool_mut(pool).healthmonitor = None;
    }
    served.agent.reload(&unwatched)?;
    served.agent.wait_status("the interface", LIMIT, is_problem)?;
    assert!(served.answered(30)? < 30, "packets to {member} get nowhere");
    is_named(&served.agent.diagnose(&[])?);
    served.lab.lb().ip(&format!("route del {member}/32 dev {OTHER}"))?;
    served.wait_sound()?;
    served.request(30)?;
    Ok(())
}
