//! An agent that may open few files: what it lacks is said in the words of who can raise the limit.

use anyhow::Result;
use elb_tests::{agent::Agent, lab::Lab};

use crate::served::{LIMIT, Served, config, is_degraded};

fn limited(to: u32) -> Vec<String> {
    vec!["prlimit".to_owned(), format!("--nofile={to}:{to}")]
}

#[test]
fn a_start_with_few_descriptors_names_the_limit() -> Result<()> {
    let lab = Lab::builder().backends(1).start()?;
    let text = config(&lab).text()?;
    // Before the maps, among them, and after them.
    for most in [12, 20, 60] {
        let refusal = Agent::refusal_under(&lab, &text, &limited(most))?;
        assert!(refusal.code.is_some_and(|code| code != 0), "{most}: {refusal:?}");
        let words = format!("this process may open {most} files");
        let is_said = refusal.said.contains(&words) && refusal.said.contains("LimitNOFILE=");
        assert!(is_said, "{most}: {}", refusal.said);
        assert!(!refusal.said.contains("panicked"), "{most}: {}", refusal.said);
    }
    drop(lab);
    // With some more it serves, and nothing is wrong with its members.
    let served = Served::start_under(|_, config| Ok(config), &limited(200))?;
    served.request(40)?;
    let said = served.agent.status()?;
    assert!(!is_degraded(&said), "{said}");
    assert_eq!(served.agent.end(&["status", "--problems"], LIMIT)?.code, Some(0));
    Ok(())
}
