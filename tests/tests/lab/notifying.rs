//! What the agent reports to the service manager: sd_notify(3) on a socket.

use anyhow::Result;
use elb_tests::{agent::Agent, config::Forwarding, lab::Lab, wait::wait_for};

use crate::scene::{LIMIT, config};

#[test]
fn the_service_manager_is_notified_of_every_phase() -> Result<()> {
    let lab = Lab::builder().backends(1).start()?;
    let config = config(&lab, Forwarding::L2, |pool| pool);
    let mut agent = Agent::start(&lab, &config)?;
    assert_eq!(agent.notices(), [["READY=1"]]);

    agent.reload(&config)?;
    let heard = hear(&agent, 3)?;
    // systemd demands the time with it (Type=notify-reload).
    assert!(heard[1].contains(&"RELOADING=1".to_owned()), "{heard:?}");
    let clock = heard[1].iter().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
    assert!(clock.is_some_and(|clock| clock.parse::<u64>().is_ok_and(|clock| clock > 0)));
    assert_eq!(heard[2], ["READY=1"]);

    agent.reload_with("wrong")?;
    let heard = hear(&agent, 5)?;
    assert!(heard[3].contains(&"RELOADING=1".to_owned()), "{heard:?}");
    assert_eq!(heard[4], ["READY=1"]);

    let status = agent.terminate()?;
    assert!(status.success(), "{status}");
    assert_eq!(hear(&agent, 6)?[5], ["STOPPING=1"]);
    Ok(())
}

fn hear(agent: &Agent, messages: usize) -> Result<Vec<Vec<String>>> {
    wait_for(&format!("{messages} messages"), LIMIT, || {
        Ok(Some(agent.notices()).filter(|heard| heard.len() >= messages))
    })
}
