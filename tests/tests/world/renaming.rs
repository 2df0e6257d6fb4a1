//! What people call a resource changes nothing for it: load balancer, listeners, pools and members get other
//! names by reload and while no agent runs, with ids in the file and without.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use elb_tests::{
    agent::Agent,
    config::{Config, Forwarding},
    lab::Lab,
    status,
};
use serde_json::Value;
use toml::{Table, Value as Toml};

use crate::served::{LIMIT, Served, config, problems};

/// Held connections.
const HELD: usize = 40;

#[test]
fn with_ids_everything_goes_on_under_any_name() -> Result<()> {
    goes_on_under_other_names(true)
}

#[test]
fn without_ids_everything_goes_on_under_any_name() -> Result<()> {
    goes_on_under_other_names(false)
}

fn goes_on_under_other_names(ids: bool) -> Result<()> {
    let mut served = start(ids)?;
    let held = served.held(HELD)?;
    served.request(60)?;
    served.go_on(&held)?;
    // Named within the pool: members of the other one have the same addresses.
    served.agent.run(&["drain", "old-echo/old-echo-0"])?;
    let before = Seen::of(&served.agent)?;
    assert_eq!(before.drained, ["old-echo/old-echo-0"]);
    assert!(before.packets.values().all(|packets| *packets > 0), "{before:?}");

    served.agent.write(&called(&served.config, "new", ids)?)?;
    let ended = served.agent.end(&["reload", "--wait"], LIMIT)?;
    let said = ended.printed + &ended.said;
    assert_eq!(ended.code, Some(0), "{said}");
    assert!(said.contains("pool \"new-web\": was called \"old-web\""), "{said}");
    assert!(!said.contains("cut") && !said.contains("move"), "{said}");
    before.goes_on_as(&Seen::of(&served.agent)?, "new", ids);
    served.go_on(&held)?;
    names_are_understood(&served.agent, "new")?;

    // The same while no agent runs.
    let before = Seen::of(&served.agent)?;
    served.agent.terminate()?;
    served.agent.write(&called(&served.config, "third", ids)?)?;
    served.agent.restart()?;
    before.goes_on_as(&Seen::of(&served.agent)?, "third", ids);
    served.go_on(&held)?;

    served.agent.run(&["drain", "third-echo/third-echo-0", "--cancel"])?;
    served.agent.wait_status("all members to serve", LIMIT, status::all_serve)?;
    assert_eq!(problems(&served.agent.status()?), "");
    served.request(20)?;
    let report = held.stop()?;
    assert_eq!(report.broken().len(), 0, "{:?}", report.broken());
    Ok(())
}

/// Two pools of three members, with names that begin with "old".
fn start(ids: bool) -> Result<Served> {
    let lab = Lab::builder().backends(3).start()?;
    let servers = lab.serve()?;
    lab.backends_up(Forwarding::Ipip)?;
    let config = config(&lab);
    let agent = Agent::start_with(&lab, &called(&config, "old", ids)?, &config.agent.socket)?;
    agent.wait_status("all members to serve", LIMIT, status::all_serve)?;
    Ok(Served { agent, servers, config, lab })
}

/// What is seen of everything, by what never changes: kind, address, port.
#[derive(Debug, PartialEq)]
struct Seen {
    names: BTreeMap<String, String>,
    ids: BTreeMap<String, String>,
    packets: BTreeMap<String, u64>,
    slots: BTreeMap<String, u64>,
    /// Verdicts, and since when.
    verdicts: BTreeMap<String, [String; 2]>,
    probes: BTreeMap<String, u64>,
    drained: Vec<String>,
}

impl Seen {
    fn of(agent: &Agent) -> Result<Self> {
        let all = agent.status()?;
        let mut seen = Self {
            names: BTreeMap::new(),
            ids: BTreeMap::new(),
            packets: BTreeMap::new(),
            slots: BTreeMap::new(),
            verdicts: BTreeMap::new(),
            probes: BTreeMap::new(),
            drained: Vec::new(),
        };
        let lb = &all["load_balancers"][0];
        seen.note("lb".to_owned(), lb)?;
        for listener in list(&lb["listeners"]) {
            let place = format!("listener {}", listener["protocol_port"]);
            seen.note(place.clone(), listener)?;
            seen.packets.insert(place, number(&listener["packets"])?);
        }
        for pool in list(&all["pools"]) {
            let port = &pool["members"][0]["protocol_port"];
            seen.note(format!("pool {port}"), pool)?;
            for member in list(&pool["members"]) {
                let place = format!("member {}:{port}", text(&member["address"])?);
                seen.note(place.clone(), member)?;
                seen.packets.insert(place.clone(), number(&member["packets"])?);
                seen.slots.insert(place.clone(), number(&member["slots"])?);
                seen.probes.insert(place.clone(), number(&member["health"]["probes_ok"])?);
                let status = text(&member["operating_status"])?;
                if status == "DRAINING" {
                    let (pool, member) = (text(&pool["name"])?, text(&member["name"])?);
                    seen.drained.push(format!("{pool}/{member}"));
                }
                seen.verdicts.insert(place, [status, text(&member["since"])?]);
            }
        }
        Ok(seen)
    }

    fn note(&mut self, place: String, resource: &Value) -> Result<()> {
        self.names.insert(place.clone(), text(&resource["name"])?);
        self.ids.insert(place, text(&resource["id"])?);
        Ok(())
    }

    /// Another look shows the same under other names: nothing began anew.
    fn goes_on_as(&self, now: &Self, prefix: &str, ids: bool) {
        assert_eq!(self.names.len(), now.names.len(), "{now:?}");
        assert!(now.names.values().all(|name| name.starts_with(prefix)), "{now:?}");
        assert_eq!(now.drained, [format!("{prefix}-echo/{prefix}-echo-0")]);
        assert_eq!((&now.slots, &now.verdicts), (&self.slots, &self.verdicts));
        let grows = |before: &BTreeMap<String, u64>, now: &BTreeMap<String, u64>| {
            before.len() == now.len() && before.iter().all(|(place, count)| now[place] >= *count)
        };
        assert!(grows(&self.packets, &now.packets), "{self:?}\n{now:?}");
        assert!(grows(&self.probes, &now.probes), "{self:?}\n{now:?}");
        if ids {
            assert_eq!(self.ids, now.ids);
        } else {
            assert!(self.ids.iter().all(|(place, id)| now.ids[place] != *id), "{now:?}");
        }
    }
}

/// Every way of naming finds the thing, and an old name is answered with those that there are.
fn names_are_understood(agent: &Agent, prefix: &str) -> Result<()> {
    let all = agent.status()?;
    let (pool, member) = (&all["pools"][0], &all["pools"][0]["members"][1]);
    let listener = &all["load_balancers"][0]["listeners"][0];
    let name = |of: &Value| text(&of["name"]);
    let within = format!("{}/{}", name(pool)?, name(member)?);
    for named in [within.clone(), format!("member:{within}"), text(&member["id"])?] {
        let found = agent.ask(&["status", &named])?;
        assert_eq!((&found[0]["id"], &found[0]["pool"]), (&member["id"], &pool["name"]), "{named}");
        agent.ask(&["flows", "--member", &named])?;
    }
    let within = format!("{prefix}-lb/{}", name(listener)?);
    for named in [within.clone(), format!("listener:{within}"), text(&listener["id"])?] {
        let found = agent.ask(&["status", &named])?;
        let listeners = &found["load_balancers"][0]["listeners"];
        assert_eq!((list(listeners).len(), &listeners[0]["id"]), (1, &listener["id"]), "{named}");
        agent.ask(&["flows", "--listener", &named])?;
    }
    for words in [&["status", "old-web"][..], &["flows", "--pool", "old-web"]] {
        let ended = agent.end(words, LIMIT)?;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let (unknown, known) = ("is called \"old-web\"", format!("{prefix}-web"));
        assert!(ended.said.contains(unknown) && ended.said.contains(&known), "{ended:?}");
    }
    Ok(())
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> Result<String> {
    Ok(value.as_str().with_context(|| format!("{value} is no text"))?.to_owned())
}

fn number(value: &Value) -> Result<u64> {
    value.as_u64().with_context(|| format!("{value} is no number"))
}

/// The file where every name begins with a word, and every resource has an id if it is to have one.
fn called(config: &Config, prefix: &str, ids: bool) -> Result<String> {
    let mut file: Table = toml::from_str(&config.text()?)?;
    let name = |table: &mut Table, name: &str| {
        table.insert("name".to_owned(), Toml::from(format!("{prefix}-{name}")));
    };
    let mut count = 0;
    let mut id = |table: &mut Table| {
        count += 1;
        if ids {
            let id = format!("6f8f4f4b-60ff-4c0b-9a39-{count:012x}");
            table.insert("id".to_owned(), Toml::from(id));
        }
    };
    for lb in tables(&mut file, "load_balancer")? {
        name(lb, "lb");
        id(lb);
        for listener in tables(lb, "listener")? {
            let pool = old_name(listener)?;
            name(listener, &pool);
            listener.insert("default_pool".to_owned(), Toml::from(format!("{prefix}-{pool}")));
            id(listener);
        }
    }
    for pool in tables(&mut file, "pool")? {
        let pool_name = old_name(pool)?;
        name(pool, &pool_name);
        id(pool);
        for (n, member) in tables(pool, "member")?.into_iter().enumerate() {
            name(member, &format!("{pool_name}-{n}"));
            id(member);
        }
    }
    Ok(toml::to_string(&file)?)
}

fn tables<'t>(table: &'t mut Table, key: &str) -> Result<Vec<&'t mut Table>> {
    let all = table.get_mut(key).and_then(Toml::as_array_mut).context("a list of tables")?;
    Ok(all.iter_mut().filter_map(Toml::as_table_mut).collect())
}

fn old_name(table: &Table) -> Result<String> {
    let name = table.get("name").and_then(Toml::as_str);
    Ok(name.context("a name")?.to_owned())
}
