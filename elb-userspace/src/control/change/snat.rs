//! Source addresses, and the prefix of clients: with others, none stands for what it stood for.

use std::fmt::Display;

use super::{Effect, EffectKind, listed};
use crate::model::{Forwarding, Model};

/// What becomes of them, and of the connections that members answer there.
pub(super) fn effects(old: &Model, new: &Model) -> impl Iterator<Item = Effect> {
    let (before, now) = (old.snat(), new.snat());
    let v4 = Key { key: "v4", forwarding: "fullnat", is_used: Forwarding::hides_clients };
    let v6 = Key { key: "v6", forwarding: "nat46", is_used: Forwarding::embeds_clients };
    v4.effect(old, before.v4, now.v4).into_iter().chain(v6.effect(old, before.v6, now.v6))
}

/// A key of `[snat]`, and the pools that use it.
struct Key {
    key: &'static str,
    forwarding: &'static str,
    is_used: fn(Forwarding) -> bool,
}

impl Key {
    fn effect<T: Display + PartialEq>(
        &self,
        old: &Model,
        before: Option<T>,
        now: Option<T>,
    ) -> Option<Effect> {
        let effect = |kind, what| Some(Effect::new(kind, "[snat]", what));
        let Self { key, forwarding, is_used } = self;
        match (before, now) {
            (before, now) if before == now => None,
            (None, Some(now)) => effect(EffectKind::Add, format!("members may see {now}")),
            (Some(before), now) => {
                let pools = old.pools().iter().filter(|pool| is_used(pool.forwarding));
                let names: Vec<String> =
                    pools.map(|pool| format!("{:?}", pool.name.as_str())).collect();
                let now = now.map_or_else(|| "none".to_owned(), |now| now.to_string());
                let becomes = format!("{key} {before} becomes {now}");
                if names.is_empty() {
                    return effect(EffectKind::Change, becomes);
                }
                let what = format!(
                    "{becomes}: all connections of pools with {forwarding} ({}) end, with resets when they next send",
                    listed(names.into_iter())
                );
                effect(EffectKind::Cut, what)
            }
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::file::sample;

    fn model(forwarding: &str, snat: &str) -> Model {
        let sample = sample::balancer("lb").keys("[[pool]]\nname = \"web\"\nprotocol = \"TCP\"");
        let key = if snat.contains(':') { "v6" } else { "v4" };
        let snat = if snat.is_empty() { "" } else { &format!("[snat]\n{key} = \"{snat}\"") };
        sample.keys(&format!("forwarding = \"{forwarding}\"")).keys(snat).model()
    }

    /// What is said of a change, if it is one thing.
    fn said(old: &Model, new: &Model) -> Option<String> {
        let said: Vec<String> = effects(old, new).map(|effect| effect.to_string()).collect();
        (!said.is_empty()).then(|| said.join("\n"))
    }

    #[test]
    fn with_another_prefix_connections_end() {
        let (one, other) =
            (model("nat46", "2001:db8:1:64::/64"), model("nat46", "2001:db8:2::/64"));
        assert_eq!(
            said(&one, &other).unwrap(),
            "cut: [snat]: v6 2001:db8:1:64::/64 becomes 2001:db8:2::/64: all connections of pools with nat46 \
             (\"web\") end, with resets when they next send"
        );
        let other = model("nat", "10.0.0.16/28");
        assert_eq!(
            said(&other, &one).unwrap(),
            "change: [snat]: v4 10.0.0.16/28 becomes none\nadd: [snat]: members may see 2001:db8:1:64::/64"
        );
    }

    #[test]
    fn with_other_addresses_connections_end() {
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
