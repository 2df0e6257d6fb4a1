//! The state directory of a newer version: what this one cannot read is kept for the other, and the maps say the
//! rest, so that no connection is lost and no member serves that was drained.

use std::fs;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::served::{LIMIT, Served, problems};
use elb_tests::status;

const DRAINED: &str = "10.0.0.12";

impl Served {
    /// Lets the agent be killed, changes each file of its state, and starts it again; what was written.
    fn restart_after(&mut self, change: impl Fn(&str, Value) -> Value) -> Result<Vec<Value>> {
        self.agent.kill()?;
        let write = |name: &str| -> Result<Value> {
            let file = self.config.agent.state().join(name);
            let newer = change(name, serde_json::from_slice(&fs::read(&file)?)?);
            fs::write(&file, newer.to_string())?;
            Ok(newer)
        };
        let written = ["numbers.json", "drained.json", "health.json"].map(write);
        self.agent.restart()?;
        written.into_iter().collect()
    }

    fn is_drained_still(&self) -> Result<()> {
        let out = |said: &Value| {
            let slots = status::slots(said, "web");
            slots.get(&self.member(1)) == Some(&0)
                && slots.values().filter(|n| **n > 0).count() == 2
        };
        self.agent.wait_status("the drained member to rest", LIMIT, out)?;
        assert_eq!(self.request(40)?, ["backend-0", "backend-2"]);
        Ok(())
    }
}

#[test]
fn the_state_of_a_newer_version_loses_nothing() -> Result<()> {
    let mut served = Served::start()?;
    served.agent.run(&["drain", DRAINED, "--pool", "web"])?;
    served.is_drained_still()?;
    let held = served.held(40)?;

    // Keys that this version does not have.
    served.restart_after(|_, mut saved| {
        saved["made_by"] = json!({ "version": "9.0.0" });
        saved
    })?;
    served.go_on(&held)?;
    served.is_drained_still()?;
    assert_eq!(problems(&served.agent.status()?), "");

    // Another format, of all files.
    let newer =
        served.restart_after(|name, _| json!({ "format": 9, "drained": 9, "pools": name }))?;
    served.go_on(&held)?;
    served.is_drained_still()?;
    let said = served.agent.status()?;
    for (name, newer) in ["numbers.json", "drained.json", "health.json"].iter().zip(&newer) {
        let file = served.config.agent.state().join(format!("{name}.unread"));
        let kept: Value = serde_json::from_slice(&fs::read(&file).context("it is not kept")?)?;
        assert_eq!(kept, *newer);
        assert!(problems(&said).contains(&file.display().to_string()), "{}", problems(&said));
    }
    assert!(problems(&said).contains("is of no use to this version of elb"), "{}", problems(&said));

    // What was taken from the maps is written down: the next agent needs no maps for it.
    served.agent.terminate()?;
    served.agent.restart()?;
    served.wait_sound()?;
    served.is_drained_still()?;
    served.go_on(&held)?;
    assert_eq!(held.stop()?.broken().len(), 0);
    served.agent.run(&["drain", DRAINED, "--pool", "web", "--cancel"])?;
    served.agent.wait_status("it serves again", LIMIT, status::all_serve)?;
    Ok(())
}
