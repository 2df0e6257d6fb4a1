//! Names of resources for shells that complete a word: from the agent, if it answers at once.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::time::Duration;

use anyhow::Result;
use clap::{ArgMatches, FromArgMatches as _};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use serde_json::Value;
use tokio::time::timeout;

use super::asking::{Agent, id};
use super::kind;
use crate::cli::completing::words;
use crate::cli::socket::SocketArg;
use crate::cli::{block_on, help};
use crate::source::store::DocumentKind;

/// How long a person at a terminal waits for the agent.
const LIMIT: Duration = Duration::from_millis(800);

/// Completes the names of resources of a kind.
pub(super) fn names_of(kind: DocumentKind) -> ArgValueCompleter {
    ArgValueCompleter::new(move |word: &OsStr| {
        let found = word.to_str().map(|word| fitting(&known(kind).unwrap_or_default(), word));
        found.unwrap_or_default().into_iter().map(CompletionCandidate::new).collect::<Vec<_>>()
    })
}

/// A resource by its id, and what else it is called by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Label {
    id: String,
    name: String,
}

/// What may be written for a word: names that begin with it, or ids if there are none. What has no name that is its own,
/// and that a shell takes as one word, has its id in place of it.
fn fitting(all: &[Label], word: &str) -> Vec<String> {
    let mut count: BTreeMap<&str, u32> = BTreeMap::new();
    for one in all {
        *count.entry(&one.name).or_default() += 1;
    }
    let is_own = |one: &Label| is_plain(&one.name) && count.get(&*one.name) == Some(&1);
    let label = |one: &Label| if is_own(one) { one.name.clone() } else { one.id.clone() };
    let begins = |text: &String| text.starts_with(word);
    let mut found: Vec<String> = all.iter().map(label).filter(begins).collect();
    if found.is_empty() {
        found = all.iter().map(|one| one.id.clone()).filter(begins).collect();
    }
    found.sort_unstable();
    found
}

/// Whether every shell takes a text as one word, and takes it as it is.
fn is_plain(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-/+,%".contains(c);
    !text.is_empty() && !text.starts_with('-') && text.chars().all(is_plain)
}

/// What there is of a kind; `None`: the agent does not say, or not at once.
fn known(kind: DocumentKind) -> Option<Vec<Label>> {
    let line = help::command().ignore_errors(true).try_get_matches_from(words()).ok()?;
    let mut last: &ArgMatches = &line;
    while let Some((_, below)) = last.subcommand() {
        last = below;
    }
    let agent = SocketArg::from_arg_matches(last).ok()?;
    let project = last.try_get_one::<String>("project").ok().flatten().cloned();
    let agent = Agent { socket: agent.path().ok()?, project };
    block_on(async { timeout(LIMIT, labels(&agent, kind)).await? }).ok()
}

async fn labels(agent: &Agent, kind: DocumentKind) -> Result<Vec<Label>> {
    let all = |kind| agent.list(kind::of(kind), &[]);
    let label = |one: &Value, name: String| Label { id: id(one).to_owned(), name };
    let text = |one: &Value, key: &str| one[key].as_str().unwrap_or_default().to_owned();
    if kind == DocumentKind::HealthMonitor {
        // By the names of their pools.
        let pools = all(DocumentKind::Pool).await?;
        let monitored = pools.iter().filter(|pool| !text(pool, "healthmonitor_id").is_empty());
        let label =
            |pool: &Value| Label { id: text(pool, "healthmonitor_id"), name: text(pool, "name") };
        return Ok(monitored.map(label).collect());
    }
    let found = all(kind).await?;
    if kind == DocumentKind::Listener {
        return Ok(of_balancers(&found, &all(DocumentKind::LoadBalancer).await?));
    }
    // Members without a name are known by their addresses.
    let named = |one: &Value| Some(text(one, "name")).filter(|name| !name.is_empty());
    let label = |one| label(one, named(one).unwrap_or_else(|| text(one, "address")));
    Ok(found.iter().map(label).collect())
}

/// Listeners by their names, or LB/NAME where several have the same.
fn of_balancers(listeners: &[Value], balancers: &[Value]) -> Vec<Label> {
    let name = |one: &Value| one["name"].as_str().unwrap_or_default().to_owned();
    let above: BTreeMap<&str, String> = balancers.iter().map(|lb| (id(lb), name(lb))).collect();
    let mut count: BTreeMap<String, u32> = BTreeMap::new();
    for one in listeners {
        *count.entry(name(one)).or_default() += 1;
    }
    let label = |one: &Value| {
        let (id, own) = (id(one).to_owned(), name(one));
        let balancer = one["loadbalancers"][0]["id"].as_str().and_then(|id| above.get(id));
        let name = match balancer {
            Some(balancer) if count.get(&own) > Some(&1) && !own.is_empty() => {
                format!("{balancer}/{own}")
            }
            Some(_) | None => own,
        };
        Label { id, name }
    };
    listeners.iter().map(label).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn label(id: &str, name: &str) -> Label {
        Label { id: id.to_owned(), name: name.to_owned() }
    }

    #[test]
    fn names_are_shown_and_ids_where_there_is_none() {
        let all = [
            label("11", "web"),
            label("12", "db"),
            label("13", "two words"),
            label("14", "same"),
            label("15", "same"),
            label("16", ""),
            label("17", "-x"),
        ];
        let of = |word: &str| fitting(&all, word).join(" ");
        assert_eq!(of(""), "13 14 15 16 17 db web");
        assert_eq!(
            (of("w"), of("1"), of("11"), of("x")),
            ("web".into(), "13 14 15 16 17".into(), "11".into(), String::new())
        );
    }

    #[test]
    fn listeners_of_one_name_have_that_of_their_load_balancer() {
        let balancers = [json!({"id": "a", "name": "web"}), json!({"id": "b", "name": "db"})];
        let listener = |id: &str, name: &str, lb: &str| json!({"id": id, "name": name, "loadbalancers": [{"id": lb}]});
        let listeners =
            [listener("1", "tcp", "a"), listener("2", "tcp", "b"), listener("3", "udp", "b")];
        let found = of_balancers(&listeners, &balancers);
        assert_eq!(found, [label("1", "web/tcp"), label("2", "db/tcp"), label("3", "udp")]);
    }
}
