//! Fewer entries that say the same: neighbouring prefixes behind one next hop are one prefix. What is left of a
//! full table without a default route is a fraction of it.

use std::collections::{BTreeMap, HashMap};

use elb_common::client_hop::ClientHop;

use super::Entry;
use crate::model::ipgroup::Cidr;

/// Entries of one IP version, in their order, as few that say the same.
pub(super) fn merged(entries: &[Entry], default: ClientHop) -> Vec<Entry> {
    let mut all: HashMap<Cidr, (ClientHop, bool)> = HashMap::with_capacity(entries.len());
    let mut by_bits: BTreeMap<u8, Vec<Cidr>> = BTreeMap::new();
    for (prefix, hop, by_neighbor) in entries {
        all.insert(*prefix, (*hop, *by_neighbor));
        by_bits.entry(prefix.bits()).or_default().push(*prefix);
    }
    while let Some((bits, prefixes)) = by_bits.pop_last() {
        for prefix in prefixes {
            let Some((wider, other)) = prefix.halves_with() else { continue };
            let (Some(one), Some(next)) = (all.get(&prefix), all.get(&other)) else { continue };
            // A default is no entry.
            if one.0 != next.0 || wider.bits() == 0 {
                continue;
            }
            // What stood there is behind its two halves altogether, and not to be found without them.
            let value = (one.0, one.1 && next.1 && !all.contains_key(&wider));
            all.remove(&prefix);
            all.remove(&other);
            all.insert(wider, value);
            by_bits.entry(bits - 1).or_default().push(wider);
        }
    }
    let mut all: Vec<Entry> =
        all.into_iter().map(|(prefix, (hop, by_neighbor))| (prefix, hop, by_neighbor)).collect();
    all.sort_unstable_by_key(|(prefix, ..)| *prefix);
    let mut around: Vec<(Cidr, ClientHop)> = Vec::new();
    all.retain(|(prefix, hop, _)| {
        while around.last().is_some_and(|(wider, _)| !wider.covers(*prefix)) {
            around.pop();
        }
        let above = around.last().map_or(default, |(_, hop)| *hop);
        around.push((*prefix, *hop));
        above != *hop
    });
    all
}
