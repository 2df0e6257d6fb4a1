//! What another configuration does to webhooks.

use crate::control::change::{Effect, EffectKind};
use crate::source::notify::Notify;

/// Webhooks that come, go, or get other events.
pub(super) fn notify_effects(old: &[Notify], new: &[Notify]) -> Vec<Effect> {
    let find =
        |all: &[Notify], one: &Notify| all.iter().find(|other| other.url == one.url).cloned();
    let gone = old.iter().filter(|one| find(new, one).is_none());
    let gone = gone.map(|one| effect(EffectKind::Remove, one, "gets no more events".to_owned()));
    let events = |one: &Notify| {
        let names: Vec<&str> = one.events.iter().map(|event| event.as_str()).collect();
        format!("gets events: {}", names.join(", "))
    };
    let come = new.iter().filter_map(|one| match find(old, one) {
        None => Some(effect(EffectKind::Add, one, events(one))),
        Some(before) if before != *one => Some(effect(EffectKind::Change, one, events(one))),
        Some(_) => None,
    });
    gone.chain(come).collect()
}

fn effect(kind: EffectKind, one: &Notify, what: String) -> Effect {
    Effect { kind, object: format!("webhook {:?}", one.url.to_string()), what, share: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::notify::NotifiedEvent::{Recovered, Unhealthy};

    #[test]
    fn what_comes_goes_and_changes_is_said() {
        let notify = |host: &str, events: &[_]| Notify {
            url: format!("http://{host}/").parse().unwrap(),
            events: events.to_vec(),
            ca_file: None,
        };
        let old = [notify("a", &[Unhealthy]), notify("b", &[Unhealthy]), notify("c", &[Unhealthy])];
        let new =
            [notify("b", &[Unhealthy, Recovered]), notify("c", &[Unhealthy]), notify("d", &[])];
        let said: Vec<String> = notify_effects(&old, &new).iter().map(Effect::to_string).collect();
        assert_eq!(
            said,
            [
                "remove: webhook \"http://a/\": gets no more events",
                "change: webhook \"http://b/\": gets events: unhealthy, recovered",
                "add: webhook \"http://d/\": gets events: ",
            ]
        );
        assert_eq!(notify_effects(&new, &new), []);
    }
}
