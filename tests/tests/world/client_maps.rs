//! An agent's maps have the ways back to clients while a pool translates, and none otherwise.

use anyhow::Result;
use aya::maps::{Array, LpmTrie, Map, MapData, MapError, lpm_trie::Key};
use elb_common::{
    client_hop::{ClientHop, hop_kind},
    names,
};
use elb_tests::{
    address::{Families, Family},
    agent::Agent,
    config::{Config, Forwarding, Pool, Protocol},
    lab::Lab,
    status,
    wait::{STUCK, wait_for},
    wire::HTTP_PORT,
};

/// The bytes of a record.
type Bytes = [u8; size_of::<ClientHop>()];

fn pinned(lab: &Lab, name: &str) -> Result<MapData> {
    let folder = lab.pins().join("agent").join(format!("v{}", names::ABI_VERSION));
    Ok(MapData::from_pin(folder.join(name))?)
}

/// The default of IPv4.
fn default(lab: &Lab) -> Result<ClientHop> {
    let map: Array<_, Bytes> = Map::Array(pinned(lab, names::CLIENT_DEFAULTS)?).try_into()?;
    Ok(bytemuck::pod_read_unaligned(&map.get(&0, 0)?))
}

/// What the trie says of a client, if anything.
fn route(lab: &Lab, client: [u8; 4]) -> Result<Option<ClientHop>> {
    let map = Map::LpmTrie(pinned(lab, names::CLIENT_ROUTES_V4)?);
    let map: LpmTrie<_, [u8; 4], Bytes> = map.try_into()?;
    match map.get(&Key::new(32, client), 0) {
        Ok(bytes) => Ok(Some(bytemuck::pod_read_unaligned(&bytes))),
        Err(MapError::KeyNotFound) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn config(lab: &Lab, forwarding: Forwarding) -> Config {
    let pool = Pool::of(lab, "web", Family::V4, Protocol::Tcp, HTTP_PORT).forwarding(forwarding);
    Config::new(lab).balance(lab, Family::V4, HTTP_PORT, pool)
}

#[test]
fn the_maps_have_ways_to_clients_while_a_pool_translates() -> Result<()> {
    const FAR: [u8; 4] = [198, 51, 100, 7];
    const NOWHERE: [u8; 4] = [203, 0, 113, 7];
    let lab = Lab::builder().two_armed().families(Families::V4).start()?;
    lab.lb_forwards()?;
    lab.route_backends_through_lb()?;
    let client = lab.client_addr(Family::V4);
    lab.lb().ip(&format!("route add 198.51.100.0/24 via {client}"))?;
    lab.lb().ip("route add unreachable 203.0.113.0/24")?;
    let _servers = lab.serve()?;
    let mut agent = Agent::start(&lab, &config(&lab, Forwarding::L2))?;
    agent.wait_status("all members to serve", STUCK, status::all_serve)?;
    assert_eq!((default(&lab)?, route(&lab, FAR)?), (ClientHop::default(), None));

    agent.reload(&config(&lab, Forwarding::Nat))?;
    let known = |hop: Option<ClientHop>| hop.filter(|hop| hop.kind == hop_kind::KNOWN);
    let hop = wait_for("the way by a router", STUCK, || Ok(known(route(&lab, FAR)?)))?;
    let devices = lab.lb_interfaces();
    let indices = devices.iter().map(|name| lab.lb().index_of(name)).collect::<Result<Vec<_>>>()?;
    assert!(indices.contains(&hop.ifindex) && hop.largest > 0, "{hop:?} by one of {indices:?}");
    let nowhere = route(&lab, NOWHERE)?.map_or(default(&lab)?.kind, |hop| hop.kind);
    assert_eq!(nowhere, hop_kind::NONE);

    lab.lb().ip("rule add from 10.77.0.0/16 lookup 100 priority 500")?;
    let says = |said: &serde_json::Value| {
        said["agent"]["problems"].to_string().contains("IPv4 with priority 500")
    };
    agent.wait_status("the rule is a problem", STUCK, says)?;
    lab.lb().ip("rule del priority 500")?;
    agent.wait_status("the rule is none any more", STUCK, |said| !says(said))?;

    agent.reload(&config(&lab, Forwarding::L2))?;
    wait_for("no way is left", STUCK, || {
        let is_empty = route(&lab, FAR)?.is_none() && default(&lab)? == ClientHop::default();
        Ok(is_empty.then_some(()))
    })
}
