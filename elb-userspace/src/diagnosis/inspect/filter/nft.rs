//! Reads what `nft --json list ruleset` prints (libnftables-json(5)).
//!
//! Each part that is not understood becomes a doubt of its own, so that rules of newer versions do
//! not make all others unreadable.

mod expression;
mod fields;

pub(super) use expression::prefix_span;

use std::collections::HashMap;

use serde_json::Value;

use super::condition::Condition;
use super::ruleset::{
    Base, Chain, Family, Hook, Rule, RuleAction, Ruleset, Statement, Table, Tool,
};
use expression::Sets;

/// What `nft` lists.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// The rules.
    pub rules: Ruleset,
    /// Tables that look as if `iptables-nft` made them: it shows what nft cannot.
    pub of_iptables: Vec<Table>,
}

/// Reads rules from JSON; `text` is what `nft --handle list ruleset` prints, where the rules' own
/// words come from.
///
/// # Errors
/// It is not a listing.
pub fn read(json: &[u8], text: &str) -> Result<Listing, String> {
    let listing: Value = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    let objects = listing.get("nftables").and_then(Value::as_array);
    let objects = objects.ok_or("there is no array \"nftables\" in it")?;
    let texts = Texts::read(text);
    let mut reader = Reader { sets: sets(objects), texts, ..Reader::default() };
    objects.iter().for_each(|object| reader.chain(object));
    objects.iter().for_each(|object| reader.rule(object));
    let made = |chain: &&Chain| {
        matches!(chain.table.family, Family::Ip | Family::Ip6)
            && matches!(chain.name.as_str(), "PREROUTING" | "INPUT" | "OUTPUT" | "POSTROUTING")
    };
    let mut of_iptables: Vec<Table> = Vec::new();
    for chain in reader.rules.chains.iter().filter(made) {
        if !of_iptables.contains(&chain.table) {
            of_iptables.push(chain.table.clone());
        }
    }
    Ok(Listing { rules: reader.rules, of_iptables })
}

fn sets(objects: &[Value]) -> HashMap<String, &[Value]> {
    let sets = objects.iter().filter_map(|object| object.get("set").or_else(|| object.get("map")));
    let named = sets.filter_map(|set| {
        let elements = set.get("elem").and_then(Value::as_array);
        Some((set_key(set, set.get("name")?.as_str()?)?, elements.map_or(&[][..], |all| all)))
    });
    named.collect()
}

/// Sets are known by family, table and name.
fn set_key(place: &Value, name: &str) -> Option<String> {
    Some(format!("{} {} {name}", place.get("family")?.as_str()?, place.get("table")?.as_str()?))
}

#[derive(Default)]
struct Reader<'a> {
    sets: HashMap<String, &'a [Value]>,
    texts: Texts,
    rules: Ruleset,
    /// Where chains are in `rules`.
    index: HashMap<(Table, String), usize>,
}

impl Reader<'_> {
    fn chain(&mut self, object: &Value) {
        let Some(chain) = object.get("chain") else { return };
        let Some(table) = table(chain) else { return };
        let Some(name) = chain.get("name").and_then(Value::as_str) else { return };
        let key = (table.clone(), name.to_owned());
        let devices = self.texts.devices.get(&key).cloned();
        let base = base(chain, devices.unwrap_or_default());
        self.index.insert(key, self.rules.chains.len());
        self.rules.chains.push(Chain { table, name: name.to_owned(), base, rules: Vec::new() });
    }

    fn rule(&mut self, object: &Value) {
        let Some(rule) = object.get("rule") else { return };
        let Some(table) = table(rule) else { return };
        let Some(chain) = rule.get("chain").and_then(Value::as_str) else { return };
        let Some(index) = self.index.get(&(table.clone(), chain.to_owned())).copied() else {
            return;
        };
        let number = rule.get("handle").and_then(Value::as_u64).unwrap_or_default();
        let parts = rule.get("expr").and_then(Value::as_array).map_or(&[][..], |all| all);
        let text = self.texts.rules.get(&(table, chain.to_owned(), number)).cloned();
        let text = text.unwrap_or_else(|| Value::from(parts.to_vec()).to_string());
        let key = |name: &str| set_key(rule, name);
        let sets = Sets { sets: &self.sets, key: &key };
        let statements = parts.iter().flat_map(|part| self.statement(part, &sets)).collect();
        for part in parts {
            self.rules.marks |= part.pointer("/mangle/key/meta/key") == Some(&"mark".into());
            self.rules.translates |=
                ["dnat", "redirect"].iter().any(|kind| part.get(kind).is_some());
            self.rules.untracks |= part.get("notrack").is_some();
        }
        if let Some(chain) = self.rules.chains.get_mut(index) {
            chain.rules.push(Rule { number, text, statements });
        }
    }

    fn statement(&self, part: &Value, sets: &Sets<'_>) -> Vec<Statement> {
        let Some((kind, body)) = part.as_object().and_then(|object| object.iter().next()) else {
            return doubt();
        };
        if let Some(action) = action(kind, body) {
            return vec![Statement::Then(action)];
        }
        match kind.as_str() {
            "match" => vec![Statement::When(sets.matches(body))],
            "vmap" => vec![Statement::Choose(choices(body, sets))],
            "limit" | "ct count" | "quota" | "meter" => vec![Statement::When(Condition::Unknown)],
            "counter" | "log" | "comment" | "continue" | "flow" | "notrack" | "map" | "secmark"
            | "ct helper" | "ct timeout" | "ct expectation" => Vec::new(),
            "set" if body.get("stmt").is_none() => Vec::new(),
            "set" => vec![Statement::When(Condition::Unknown)],
            "mangle" if body.pointer("/key/payload").is_none() => Vec::new(),
            "xt" => xt(body),
            _ => doubt(),
        }
    }
}

/// It may do anything, or make the rule end.
fn doubt() -> Vec<Statement> {
    vec![Statement::Then(RuleAction::Unknown), Statement::When(Condition::Unknown)]
}

/// A part that only iptables understands.
fn xt(body: &Value) -> Vec<Statement> {
    let text = |key| body.get(key).and_then(Value::as_str);
    match (text("type"), text("name")) {
        (Some("match"), Some("comment")) => Vec::new(),
        (Some("match"), _) => vec![Statement::When(Condition::Unknown)],
        (Some("target"), Some("LOG" | "NFLOG")) => Vec::new(),
        (_, _) => doubt(),
    }
}

fn action(kind: &str, body: &Value) -> Option<RuleAction> {
    let target = || body.get("target").and_then(Value::as_str).map(str::to_owned);
    Some(match kind {
        "accept" | "snat" | "masquerade" => RuleAction::Accept,
        "drop" => RuleAction::Drop,
        "reject" => RuleAction::Reject,
        "return" => RuleAction::Return,
        "jump" => RuleAction::Jump(target()?),
        "goto" => RuleAction::Goto(target()?),
        "dnat" | "redirect" => RuleAction::Translate,
        _ => return None,
    })
}

fn choices(body: &Value, sets: &Sets<'_>) -> Vec<(Condition, RuleAction)> {
    let unknown = || vec![(Condition::Unknown, RuleAction::Unknown)];
    let (Some(key), Some(data)) = (body.get("key"), body.get("data")) else { return unknown() };
    let Some(pairs) = sets.elements(data) else { return unknown() };
    let choice = |pair: &Value| {
        let condition = pair.get(0).map(|value| sets.equals(key, value));
        let verdict = pair.get(1).and_then(|verdict| verdict.as_object()?.iter().next());
        let action = verdict.and_then(|(kind, body)| action(kind, body));
        (condition.unwrap_or(Condition::Unknown), action.unwrap_or(RuleAction::Unknown))
    };
    pairs.iter().map(choice).collect()
}

fn table(place: &Value) -> Option<Table> {
    let text = |key| place.get(key).and_then(Value::as_str);
    let family = match text("family")? {
        "ip" => Family::Ip,
        "ip6" => Family::Ip6,
        "inet" => Family::Inet,
        "netdev" => Family::Netdev,
        _ => return None,
    };
    Some(Table { tool: Tool::Nft, family, name: text("table")?.to_owned() })
}

fn base(chain: &Value, mut devices: Vec<String>) -> Option<Base> {
    let text = |key| chain.get(key).and_then(Value::as_str);
    match chain.get("dev") {
        Some(Value::String(name)) => devices.push(name.clone()),
        Some(Value::Array(names)) => {
            devices.extend(names.iter().filter_map(|name| name.as_str().map(str::to_owned)));
        }
        _ => {}
    }
    Some(Base {
        hook: Hook::find(text("hook")?)?,
        priority: chain.get("prio").and_then(Value::as_i64).unwrap_or_default(),
        drops: text("policy") == Some("drop"),
        first_only: text("type") == Some("nat"),
        devices,
    })
}

/// What the text listing has that the JSON does not.
#[derive(Default)]
struct Texts {
    rules: HashMap<(Table, String, u64), String>,
    /// Some versions leave the interfaces of a chain out of the JSON.
    devices: HashMap<(Table, String), Vec<String>>,
}

impl Texts {
    fn read(text: &str) -> Self {
        let mut texts = Self::default();
        let (mut table, mut chain) = (None, None);
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().take(4).collect();
            match *words.as_slice() {
                ["table", family, name, ..] if !line.starts_with([' ', '\t']) => {
                    table = self::table(&serde_json::json!({ "family": family, "table": name }));
                    chain = None;
                }
                ["chain", name, "{", ..] => chain = Some(name.to_owned()),
                ["type", ..] => {
                    if let (Some(table), Some(chain)) = (&table, &chain) {
                        let key = (table.clone(), chain.clone());
                        texts.devices.insert(key, devices(line));
                    }
                }
                _ => {
                    let (Some(table), Some(chain)) = (&table, &chain) else { continue };
                    let Some((rule, handle)) = line.rsplit_once(" # handle ") else { continue };
                    let Ok(handle) = handle.trim().parse() else { continue };
                    let rule = rule.trim().to_owned();
                    texts.rules.insert((table.clone(), chain.clone(), handle), rule);
                }
            }
        }
        texts
    }
}

/// The names in `hook ingress device "eth0"` and `devices = { eth0, eth1 }`.
fn devices(line: &str) -> Vec<String> {
    let (_, after) = line.split_once(" device").unwrap_or_default();
    let (names, _) = after.split_once(" priority").unwrap_or_default();
    let names = names.trim_start_matches("s =").split(['{', '}', ',', ' ', '"']);
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}
