//! Pins that another version left where the agent wants its own.

use std::fs;

use anyhow::{Context as _, Result};
use aya::{
    EbpfLoader,
    maps::{Map, MapData},
};
use elb_common::names;
use elb_tests::{agent::Agent, config::Forwarding, environment::bpf_dir, lab::Lab};

use crate::scene::config;

#[test]
fn a_map_of_another_shape_is_refused_and_left_as_it_was() -> Result<()> {
    let lab = Lab::builder().backends(1).start()?;
    let config = config(&lab, Forwarding::L2, |pool| pool);
    let directory = config.agent.pin_dir.join(format!("v{}", names::ABI_VERSION));
    let pin = directory.join(names::BACKENDS);
    fs::create_dir_all(&directory)?;
    let id = pin_another(&pin)?;

    let refusal = Agent::refusal(&lab, &config.text()?)?;
    assert_eq!(refusal.code, Some(1), "{}", refusal.said);
    let named = format!("the pinned map {} is not one of this version's", pin.display());
    for expected in [&named, "17 entries", "stop forwarding with `elb detach`"] {
        assert!(refusal.said.contains(expected), "{}", refusal.said);
    }
    let left: Vec<_> =
        fs::read_dir(&directory)?.map(|entry| Ok(entry?.file_name())).collect::<Result<_>>()?;
    assert_eq!(left, [names::BACKENDS]);
    assert_eq!(MapData::from_pin(&pin)?.info()?.id(), id);
    assert!(!lab.lb().ip("link show dev lb0")?.contains("prog/xdp"));

    // What the message says helps.
    fs::remove_file(&pin)?;
    let agent = Agent::start(&lab, &config)?;
    assert_eq!(agent.status()?["agent"]["adopted"], false);
    Ok(())
}

/// Pins the map of backends, made with another size, and returns its kernel id.
fn pin_another(pin: &std::path::Path) -> Result<u32> {
    let mut loader = EbpfLoader::new();
    loader.map_max_entries(names::BACKENDS, 17);
    for name in names::MAPS {
        loader.map_pin_path(name, pin.with_file_name(format!("other-{name}")));
    }
    let mut object = loader.load_file(bpf_dir()?.join("elb-xdp"))?;
    for name in names::MAPS {
        fs::remove_file(pin.with_file_name(format!("other-{name}")))?;
    }
    let map = object.take_map(names::BACKENDS).context("the object has backends")?;
    let Map::Array(map) = map else { anyhow::bail!("backends are an array") };
    map.pin(pin)?;
    Ok(map.info()?.id())
}
