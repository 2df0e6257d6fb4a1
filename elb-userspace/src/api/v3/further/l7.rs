//! Forwarding policies and their rules. They belong to listeners of HTTP and HTTPS, which this host does not serve yet:
//! what is asked for is judged by its own rules and then refused for its listener, so that there is none.

mod policy;
mod rule;

use std::collections::BTreeSet;
use std::iter::empty;

use axum::http::StatusCode;
use serde_json::Value;

use super::super::call::{Call, Reply};
use super::super::list::{self, Item};
use super::super::refusal::Refusal;
use super::super::resources::{View, Work, text};
use super::super::validation::Messages;
use crate::source::store::DocumentKind;

pub(super) fn create_policy(call: &Call, work: &mut Work<'_, '_>) -> Result<Reply, Refusal> {
    let given = call.object("l7policy");
    judged(|wrong| policy::judge(&given, wrong))?;
    let listener = work.get(DocumentKind::Listener, text(&given, "listener_id"))?;
    let (id, protocol) = (listener.id, listener.text("protocol"));
    Err(Refusal::invalid(format!(
        "l7policy.listener_id: listener {id} has protocol {protocol}, use one of HTTP or HTTPS, which this host does not \
         serve yet"
    )))
}

pub(super) fn update_policy(call: &Call, _: &mut Work<'_, '_>) -> Result<Reply, Refusal> {
    let given = call.object("l7policy");
    judged(|wrong| policy::judge_parts(&given, wrong))?;
    Err(no_policy(call))
}

pub(super) fn delete_policy(call: &Call, _: &mut Work<'_, '_>) -> Result<Reply, Refusal> {
    Err(no_policy(call))
}

pub(super) fn show_policy(call: &Call, _: &View<'_>) -> Result<Reply, Refusal> {
    Err(no_policy(call))
}

pub(super) fn policies(call: &Call, _: &View<'_>) -> Result<Reply, Refusal> {
    nothing("l7policies", call)
}

/// Of all policies of the list, or of none.
pub(super) fn set_priorities(call: &Call, _: &mut Work<'_, '_>) -> Result<Reply, Refusal> {
    let all = call.objects("l7policies");
    let mut seen = BTreeSet::new();
    if let Some(twice) = all.iter().map(|one| text(one, "id")).find(|id| !seen.insert(*id)) {
        return Err(Refusal::invalid(format!("l7policies has {twice:?} twice")));
    }
    match all.first() {
        Some(first) => Err(no_such("l7policy", text(first, "id"))),
        None => Ok(Reply { status: StatusCode::ACCEPTED, body: crate::source::store::Body::new() }),
    }
}

pub(super) fn create_rule(call: &Call, _: &mut Work<'_, '_>) -> Result<Reply, Refusal> {
    let given = call.object("rule");
    judged(|wrong| rule::judge(&given, "rule", wrong))?;
    Err(no_policy(call))
}

pub(super) fn update_rule(call: &Call, _: &mut Work<'_, '_>) -> Result<Reply, Refusal> {
    Err(no_policy(call))
}

pub(super) fn delete_rule(call: &Call, _: &mut Work<'_, '_>) -> Result<Reply, Refusal> {
    Err(no_policy(call))
}

pub(super) fn show_rule(call: &Call, _: &View<'_>) -> Result<Reply, Refusal> {
    Err(no_policy(call))
}

pub(super) fn rules_of_policy(call: &Call, _: &View<'_>) -> Result<Reply, Refusal> {
    Err(no_policy(call))
}

pub(super) fn rules(call: &Call, _: &View<'_>) -> Result<Reply, Refusal> {
    nothing("rules", call)
}

/// All that is wrong with a policy or a rule.
fn judged(judge: impl FnOnce(&mut Messages)) -> Result<(), Refusal> {
    let mut wrong = Messages::default();
    judge(&mut wrong);
    wrong.joined("; ").map_or(Ok(()), |why| Err(Refusal::invalid(why)))
}

fn no_policy(call: &Call) -> Refusal {
    no_such("l7policy", call.parameter("l7policy_id"))
}

fn no_such(kind: &str, id: &str) -> Refusal {
    Refusal::no_such(format!("{kind} {id} could not be found."))
}

/// A list of what there is none of.
fn nothing(key: &str, call: &Call) -> Result<Reply, Refusal> {
    list::reply(key, empty::<Item<fn() -> Value>>(), &call.query)
}

#[cfg(test)]
mod tests;
