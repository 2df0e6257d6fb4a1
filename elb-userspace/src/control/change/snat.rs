//! Source addresses: with others, no port stands for what it stood for.

use super::{Effect, EffectKind, listed};
use crate::model::Model;

/// What becomes of them, and of the connections that have their ports.
pub(super) fn effect(old: &Model, new: &Model) -> Option<Effect> {
    let effect = |kind, what| Some(Effect::new(kind, "[snat]", what));
    match (old.source_addresses(), new.source_addresses()) {
        (before, now) if before == now => None,
        (None, Some(now)) => effect(EffectKind::Add, format!("members may see {now}")),
        (Some(before), now) => {
            let pools = old.pools().iter().filter(|pool| pool.forwarding.hides_clients());
            let names: Vec<String> =
                pools.map(|pool| format!("{:?}", pool.name.as_str())).collect();
            let now = now.map_or_else(|| "none".to_owned(), |now| now.to_string());
            let becomes = format!("v4 {before} becomes {now}");
            if names.is_empty() {
                return effect(EffectKind::Change, becomes);
            }
            let what = format!(
                "{becomes}: all connections of pools with fullnat ({}) end, with resets when they next send",
                listed(names.into_iter())
            );
            effect(EffectKind::Cut, what)
        }
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::file::sample;

    fn model(forwarding: &str, snat: &str) -> Model {
        let sample = sample::balancer("lb").keys("[[pool]]\nname = \"web\"\nprotocol = \"TCP\"");
        let snat = if snat.is_empty() { "" } else { &format!("[snat]\nv4 = \"{snat}\"") };
        sample.keys(&format!("forwarding = \"{forwarding}\"")).keys(snat).model()
    }

    #[test]
    fn with_other_addresses_connections_end() {
        let said = |old: &Model, new: &Model| effect(old, new).map(|effect| effect.to_string());
        let (one, other) = (model("fullnat", "10.0.0.16/28"), model("fullnat", "10.0.0.32/28"));
        assert_eq!(said(&one, &one), None);
        assert_eq!(
            said(&one, &other).unwrap(),
            "cut: [snat]: v4 10.0.0.16/28 becomes 10.0.0.32/28: all connections of pools with fullnat (\"web\") \
             end, with resets when they next send"
        );
        let none = model("nat", "");
        assert_eq!(said(&none, &one).unwrap(), "add: [snat]: members may see 10.0.0.16/28");
        let unused = model("nat", "10.0.0.16/28");
        assert_eq!(said(&unused, &none).unwrap(), "change: [snat]: v4 10.0.0.16/28 becomes none");
    }
}
