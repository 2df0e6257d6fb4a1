//! What cannot be written is refused or retried, and never believed.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use aya::maps::{
    Map, MapData,
    lpm_trie::{Key, LpmTrie},
};
use elb_common::{limits::MAX_GROUP_ENTRIES, names};
use elb_tests::{config::AccessList, disk::Disk, lab::Lab, process::output, status, wait::STUCK};
use serde_json::Value;

use crate::served::{
    LIMIT, Served, doctor, finding, is_degraded, problems, run, with_another_pool,
};

#[test]
fn a_full_disk_loses_nothing() -> Result<()> {
    let mut disk = None;
    let mut served = Served::start_with(|_, config| {
        disk = Some(Disk::mount(&config.agent.state_dir, 256)?);
        Ok(config)
    })?;
    let disk = disk.context("it was mounted")?;
    let held = served.held(40)?;
    disk.fill()?;

    let refused = served.agent.end(&["drain", "10.0.0.12"], LIMIT)?;
    assert_ne!(refused.code, Some(0), "{refused:?}");
    assert!(refused.said.contains("No space left on device"), "{refused:?}");
    assert!(refused.said.contains("nothing is changed"), "{refused:?}");
    let share = status::slots(&served.agent.status()?, "web");
    assert!(share[&served.member(1)] > 0, "it is not drained: {share:?}");

    let wanted = with_another_pool(&served.lab, served.config.clone(), "third", 8443);
    served.agent.reload(&wanted)?;
    let is_refused = |said: &Value| problems(said).contains("the configuration is rejected");
    let said = served.agent.wait_status("the reload to be refused", LIMIT, is_refused)?;
    assert!(is_degraded(&said), "{said}");
    assert!(problems(&said).contains("No space left on device"), "{}", problems(&said));
    assert_eq!(status::pools(&said).len(), 2);
    let state = served.config.agent.state().display().to_string();
    let shown = served.agent.diagnose(&["web/10.0.0.11"])?;
    assert_eq!((shown.code, shown.cause()), (1, Some("written")), "{:#}", shown.said);
    assert!(shown.evidence().contains("No space left on device"), "{:#}", shown.said);
    assert!(shown.fix().contains(&format!("df -h {state}")), "{:#}", shown.said);
    let host = doctor(&served.lab, served.agent.file())?;
    assert_eq!(finding(&host, "state-dir")["outcome"], "fail", "{host:#}");

    // Verdicts do not need the disk.
    served.servers[2].kill()?;
    served.agent.wait_members(&[served.member(2)], "OFFLINE", LIMIT)?;
    let others = ["backend-0".to_owned(), "backend-1".to_owned()];
    assert_eq!(served.request(60)?, others);

    let survivors = |report: &elb_tests::client::HeldReport| {
        let lives =
            |one: &&elb_tests::client::HeldConnection| one.backend.as_deref() != Some("backend-2");
        report.connections.iter().filter(lives).filter(|one| one.failure.is_some()).count()
    };
    served.agent.kill()?;
    fs::write(served.lab.files().join("elb.toml"), served.config.text()?)?;
    served.agent.restart().context("with a full disk")?;
    assert_eq!(served.request(60)?, others);
    disk.free()?;
    let sound = |said: &Value| problems(said).is_empty();
    served.agent.wait_status("what waited to be written", LIMIT, sound)?;
    let shown = served.agent.diagnose(&["web/10.0.0.11"])?;
    assert_eq!((shown.code, shown.cause()), (0, None), "{:#}", shown.said);
    let host = doctor(&served.lab, served.agent.file())?;
    assert_ne!(finding(&host, "state-dir")["outcome"], "fail", "{host:#}");
    served.agent.restart()?;
    assert_eq!(survivors(&held.stop()?), 0);

    served.agent.run(&["drain", "10.0.0.12"])?;
    served.agent.reload(&wanted)?;
    served.agent.wait_status("the third pool", LIMIT, |said| status::pools(said).len() == 3)?;
    Ok(())
}

/// An old file put back, and one of another boot: connections depend on the maps, so these are right.
#[test]
fn a_file_that_contradicts_the_maps_is_not_believed() -> Result<()> {
    let mut served = Served::start()?;
    let old = fs::read_to_string(served.numbers())?;
    // A member goes and comes back as the last one, and another pool takes numbers in between.
    let first = served.config.clone();
    let mut changed = with_another_pool(&served.lab, first.clone(), "third", 8443);
    for pool in &mut changed.pools {
        pool.members.rotate_left(1);
    }
    served.agent.reload(&changed)?;
    served.agent.wait_status("the third pool", LIMIT, |said| status::pools(said).len() == 3)?;
    let swapped = swap_ids(&fs::read_to_string(served.numbers())?)?;
    let other_boot = swapped.replacen(&boot_id()?, "00000000-0000-0000-0000-000000000000", 1);
    let held = served.held(60)?;
    let rings = served.agent.status()?["pools"].clone();
    for (what, text) in
        [("an old file", &old), ("swapped", &swapped), ("of another boot", &other_boot)]
    {
        served.agent.kill()?;
        fs::write(served.numbers(), text)?;
        served.agent.restart()?;
        served.go_on(&held).with_context(|| what.to_owned())?;
        let said = served.agent.status()?;
        for pool in ["web", "echo", "third"] {
            let before = slots_of(&rings, pool);
            assert_eq!(slots_of(&said["pools"], pool), before, "{what}: {pool}");
        }
        served.request(50)?;
    }
    let report = held.stop()?;
    assert_eq!(report.broken().len(), 0, "{:?}", report.broken());
    assert!(served.agent.log().contains("the saved numbers are not those of the maps in force"));
    Ok(())
}

fn slots_of(pools: &Value, name: &str) -> Vec<(String, u64)> {
    let pool = pools.as_array().into_iter().flatten().find(|pool| pool["name"] == name);
    let members = pool.and_then(|pool| pool["members"].as_array()).into_iter().flatten();
    let one = |member: &Value| {
        (
            member["address"].as_str().unwrap_or_default().to_owned(),
            member["slots"].as_u64().unwrap_or(0),
        )
    };
    let mut all: Vec<_> = members.map(one).collect();
    all.sort();
    all
}

/// The ids of the first two members of each pool, the other way round.
fn swap_ids(text: &str) -> Result<String> {
    let mut numbers: Value = serde_json::from_str(text)?;
    let pools = numbers["assignments"]["pools"].as_object_mut().context("pools")?;
    for pool in pools.values_mut() {
        let ids = [pool["members"][0]["id"].clone(), pool["members"][1]["id"].clone()];
        ensure!(ids[0] != ids[1], "{pool}");
        [pool["members"][1]["id"], pool["members"][0]["id"]] = ids;
    }
    Ok(numbers.to_string())
}

fn boot_id() -> Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

#[test]
fn a_drained_member_stays_drained() -> Result<()> {
    let mut served = Served::start()?;
    served.agent.run(&["drain", "10.0.0.12", "--pool", "web"])?;
    let others = ["backend-0".to_owned(), "backend-2".to_owned()];
    let is_out = |served: &Served, what: &str| -> Result<()> {
        let out = |said: &Value| {
            let pool = if status::pool(said, "web").is_some() { "web" } else { "web-2" };
            let slots = status::slots(said, pool);
            slots.get(&served.member(1)) == Some(&0)
                && slots.values().filter(|n| **n > 0).count() == 2
        };
        served.agent.wait_status(what, LIMIT, out)?;
        assert_eq!(served.request(60)?, others, "{what}");
        let echo = status::slots(&served.agent.status()?, "echo");
        assert!(echo[&served.member(1)] > 0, "{what}: it was not drained there: {echo:?}");
        Ok(())
    };
    is_out(&served, "drained")?;
    served.agent.restart()?;
    is_out(&served, "after a restart")?;

    served.agent.terminate()?;
    let said = served.agent.detach()?;
    assert!(said.contains("1 members stay drained"), "{said}");
    served.agent.restart()?;
    is_out(&served, "after a detach")?;

    served.agent.kill()?;
    fs::remove_dir_all(&served.config.agent.pin_dir)?;
    fs::remove_file(served.numbers())?;
    served.agent.restart()?;
    is_out(&served, "without maps")?;

    let rename = |served: &mut Served, from: &str, to: &str| {
        served.config.pool_mut(from).name = to.to_owned();
        let listener = served.config.listener_mut("web");
        listener.default_pool = to.to_owned();
    };
    rename(&mut served, "web", "web-2");
    served.agent.reload(&served.config.clone())?;
    is_out(&served, "under another name")?;
    // While no agent runs, and nothing shows it but the file.
    served.agent.terminate()?;
    served.agent.detach()?;
    rename(&mut served, "web-2", "web");
    let config = served.config.clone();
    fs::write(served.lab.files().join("elb.toml"), config.text()?)?;
    served.agent.restart()?;
    is_out(&served, "renamed while stopped")?;

    served.agent.run(&["drain", "10.0.0.12", "--pool", "web", "--cancel"])?;
    served.agent.restart()?;
    served.agent.wait_status("it serves again", LIMIT, status::all_serve)?;
    Ok(())
}

/// A map that another program filled: a black list is put into force as a whole or not at all.
#[test]
fn a_map_that_is_full_fails_closed_and_is_tried_again() -> Result<()> {
    let mut served = Served::start()?;
    let held = served.held(20)?;
    let mut filler = Filler::fill(&served.config.agent.pin_dir)?;

    let client = served.lab.client_addr(elb_tests::address::Family::V4).to_string();
    let plain = served.config.clone();
    let mut networks: Vec<String> = (0..50).map(|n| format!("192.0.2.{n}")).collect();
    networks.push(client);
    let networks: Vec<&str> = networks.iter().map(String::as_str).collect();
    served.config.set_group("bad", &networks);
    served.config.restrict("web", AccessList::Black, "bad");
    served.agent.reload(&served.config.clone())?;
    let fails = |said: &Value| problems(said).contains("cannot write a BPF map");
    let said = served.agent.wait_status("the write to fail", LIMIT, fails)?;
    assert!(is_degraded(&said), "{said}");
    assert!(said["agent"]["failed_writes"].as_u64() > Some(0), "{said}");
    assert!(problems(&said).contains("the map is full"), "{}", problems(&said));
    let shown = served.agent.diagnose(&["lb:lb-0"])?;
    assert_eq!((shown.code, shown.cause()), (1, Some("written")), "{:#}", shown.said);
    assert!(shown.evidence().contains("the map is full"), "{:#}", shown.said);

    // What serves stays as it is, and members that fail leave the ring nevertheless.
    served.request(50)?;
    served.servers[2].kill()?;
    served.agent.wait_members(&[served.member(2)], "OFFLINE", LIMIT)?;
    // While writes fail, the ring may follow the verdict a moment later.
    served.agent.wait_status("the others to have all", LIMIT, |said| {
        let member = status::member(said, "web", served.member(2));
        member.is_some_and(|member| member["slots"] == 0)
    })?;
    let others = ["backend-0".to_owned(), "backend-1".to_owned()];
    assert_eq!(served.request(50)?, others);

    filler.empty()?;
    let written = |said: &Value| problems(said).is_empty();
    served.agent.wait_status("the list to be in force", LIMIT, written)?;
    assert_eq!(served.answered(8)?, 0, "the client is on the black list");
    let shown = served.agent.diagnose(&["web/10.0.0.11"])?;
    assert_eq!((shown.code, shown.cause()), (0, None), "{:#}", shown.said);

    served.agent.reload(&plain)?;
    served.agent.wait_status("no list", LIMIT, |said| {
        status::listener(said, "web").is_some_and(|one| one["ipgroup"].is_null())
    })?;
    served.request(50)?;
    let broken = held.stop()?;
    let broken = broken.broken();
    assert!(broken.iter().all(|one| one.backend.as_deref() == Some("backend-2")), "{broken:?}");
    Ok(())
}

/// Networks of no group.
struct Filler {
    trie: LpmTrie<MapData, [u8; 8], u32>,
    keys: Vec<Key<[u8; 8]>>,
}

impl Filler {
    /// Leaves room for a few more.
    fn fill(pins: &Path) -> Result<Self> {
        let path = pins.join(format!("v{}", names::ABI_VERSION)).join(names::GROUPS_V4);
        let mut trie: LpmTrie<_, [u8; 8], u32> =
            Map::LpmTrie(MapData::from_pin(path)?).try_into()?;
        let mut keys = Vec::new();
        for n in 0..MAX_GROUP_ENTRIES - 20 {
            let mut data = [0; 8];
            data[..4].copy_from_slice(&60_000u32.to_ne_bytes());
            data[4..].copy_from_slice(&n.to_be_bytes());
            let key = Key::new(64, data);
            trie.insert(&key, 1, 0)?;
            keys.push(key);
        }
        Ok(Self { trie, keys })
    }

    fn empty(&mut self) -> Result<()> {
        for key in self.keys.drain(..) {
            // The agent may have begun to remove what it did not put there.
            let _ = self.trie.remove(&key);
        }
        Ok(())
    }
}

/// What does not fit into maps of a fixed size is said before it is in force.
#[test]
fn what_has_no_room_does_not_pass_the_check() -> Result<()> {
    let lab = Lab::builder().backends(1).start()?;
    let one = |n: u32| {
        format!(
            "[[load_balancer]]\nname = \"lb{n}\"\nvip_address = \"10.9.{}.{}\"\n",
            n / 256,
            n % 256
        )
    };
    let text = |count: u32| {
        "[agent]\ninterfaces = [\"lb0\"]\n".to_owned() + &(1..=count).map(one).collect::<String>()
    };
    let right = run(&lab, &["check"], "right.toml", &text(4096))?;
    assert_eq!(right.code, Some(0), "{}", right.printed.lines().last().unwrap_or_default());
    let wrong = run(&lab, &["check"], "wrong.toml", &text(4097))?;
    assert_eq!(wrong.code, Some(1));
    assert!(wrong.printed.contains("is number 4097 of IPv4, and there is room for 4096"));
    let listed = output(
        {
            let mut ls = Command::new("ls");
            ls.arg(lab.files());
            ls
        },
        STUCK.min(Duration::from_secs(20)),
    )?;
    assert!(!listed.contains("state"), "a check writes nothing: {listed}");
    Ok(())
}
