//! There is no memory for a BPF map that grows: what serves stays, and it is tried again.

use anyhow::Result;
use elb_tests::{
    address::Family,
    config::AccessList,
    memory::Memory,
    wait::{STUCK, wait_for},
};
use serde_json::Value;

use crate::served::{LIMIT, Served, is_degraded, problems};

/// Networks of the list for which there is no memory: with the client's as many as a group may have.
const MANY: u32 = 299;

/// A black list is replaced by a longer one: its clients are refused throughout, by the list before or by the
/// new one.
#[test]
fn a_black_list_without_memory_stays_as_it_was() -> Result<()> {
    let memory = Memory::new("black-list")?;
    let mut client = String::new();
    let mut served = Served::start_under(
        |lab, mut config| {
            client = lab.client_addr(Family::V4).to_string();
            config.set_group("bad", &[&client]);
            config.restrict("web", AccessList::Black, "bad");
            Ok(config)
        },
        &memory.wrapper(),
    )?;
    // The maps stay in the group, and the agent itself is not to run out of memory.
    memory.take_out(served.agent.id())?;
    let held = served.held(20)?;
    assert_eq!(served.answered(8)?, 0, "the client is on the list");

    memory.close()?;
    let mut networks: Vec<String> =
        (0..MANY).map(|n| format!("198.18.{}.{}", n / 256, n % 256)).collect();
    networks.push(client.clone());
    let networks: Vec<&str> = networks.iter().map(String::as_str).collect();
    served.config.set_group("bad", &networks);
    served.agent.reload(&served.config.clone())?;
    let fails = |said: &Value| problems(said).contains("cannot write a BPF map");
    let said = served.agent.wait_status("the write to fail", LIMIT, fails)?;
    for words in ["what serves stays as it is", "the kernel has no memory for it"] {
        assert!(problems(&said).contains(words), "{}", problems(&said));
    }
    assert!(is_degraded(&said) && said["agent"]["failed_writes"].as_u64() > Some(0), "{said}");
    let shown = served.agent.diagnose(&["web/10.0.0.11"])?;
    assert_eq!((shown.code, shown.cause()), (1, Some("written")), "{:#}", shown.said);
    assert!(shown.evidence().contains("no memory"), "{:#}", shown.said);
    assert!(shown.fix().contains("MemoryMax"), "{:#}", shown.said);

    // It is tried again and again, and meanwhile no one is let in, nor anyone cut.
    let tries = said["agent"]["failed_writes"].as_u64();
    let again = |said: &Value| said["agent"]["failed_writes"].as_u64() > tries.map(|n| n + 1);
    served.agent.wait_status("more tries", LIMIT, again)?;
    assert_eq!(served.answered(8)?, 0, "the list before is in force");
    served.go_on(&held)?;

    memory.open()?;
    // Tries are up to 30 s apart.
    served.agent.wait_status("the list", STUCK, |said| problems(said).is_empty())?;
    assert_eq!(served.answered(8)?, 0, "the client is on the new list");
    let shown = served.agent.diagnose(&["web/10.0.0.11"])?;
    assert_eq!((shown.code, shown.cause()), (0, None), "{:#}", shown.said);

    served.config.set_group("bad", &networks[..networks.len() - 1]);
    served.agent.reload(&served.config.clone())?;
    wait_for("the client to be served", LIMIT, || Ok((served.answered(8)? == 8).then_some(())))?;
    served.go_on(&held)?;
    assert_eq!(held.stop()?.broken().len(), 0);
    Ok(())
}
