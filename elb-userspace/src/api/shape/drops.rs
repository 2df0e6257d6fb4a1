//! How often packets are not forwarded, and why: the shape of `elb drops -o json`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::shape::status::Reason;

/// A reason, how often packets met it, and how often they do now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Drops {
    /// What was counted since the maps were made.
    #[serde(flatten)]
    pub total: Reason,
    /// Packets a second between the two looks.
    pub packets_per_second: f64,
    /// Bytes a second between the two looks.
    pub bytes_per_second: f64,
}

/// Two looks at the counters, `apart` from each other, as totals and rates: what is dropped first,
/// then what happens most.
pub fn rates(before: &[Reason], after: Vec<Reason>, apart: Duration) -> Vec<Drops> {
    let seconds = apart.as_secs_f64();
    let rate = |more: u64| if seconds > 0.0 { more as f64 / seconds } else { 0.0 };
    let mut drops: Vec<_> = after
        .into_iter()
        .map(|total| {
            let earlier = before.iter().find(|reason| reason.reason == total.reason);
            let (packets, bytes) = earlier.map_or((0, 0), |reason| (reason.packets, reason.bytes));
            Drops {
                packets_per_second: rate(total.packets.saturating_sub(packets)),
                bytes_per_second: rate(total.bytes.saturating_sub(bytes)),
                total,
            }
        })
        .collect();
    drops.sort_by(|a, b| {
        let is_drop = |drops: &Drops| drops.total.fate == "dropped";
        is_drop(b)
            .cmp(&is_drop(a))
            .then(b.packets_per_second.total_cmp(&a.packets_per_second))
            .then(b.total.packets.cmp(&a.total.packets))
    });
    drops
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(name: &str, fate: &str, packets: u64) -> Reason {
        Reason {
            reason: name.to_owned(),
            fate: fate.to_owned(),
            packets,
            bytes: packets * 60,
            meaning: String::new(),
            fix: String::new(),
        }
    }

    #[test]
    fn drops_first_then_the_most_frequent() {
        let before = [reason("not_vip", "passed", 1_000), reason("too_big", "dropped", 5)];
        let after = vec![
            reason("not_vip", "passed", 5_000),
            reason("too_big", "dropped", 5),
            reason("no_backend", "dropped", 20),
        ];
        let drops = rates(&before, after, Duration::from_secs(2));
        let shown: Vec<_> =
            drops.iter().map(|d| (d.total.reason.as_str(), d.packets_per_second)).collect();
        assert_eq!(shown, [("no_backend", 10.0), ("too_big", 0.0), ("not_vip", 2000.0)]);
        assert_eq!(drops[0].bytes_per_second, 600.0);
    }

    #[test]
    fn counters_that_began_anew_and_no_time_give_no_rate() {
        let before = [reason("not_vip", "passed", 1_000)];
        let drops = rates(&before, vec![reason("not_vip", "passed", 3)], Duration::from_secs(1));
        assert_eq!(drops[0].packets_per_second, 0.0);
        let drops = rates(&[], vec![reason("not_vip", "passed", 3)], Duration::ZERO);
        assert_eq!(drops[0].packets_per_second, 0.0);
    }
}
