//! What rules do to a packet: netfilter's walk, taken both ways where a rule is doubtful.

use std::collections::{BTreeMap, HashMap};

use super::condition::Truth;
use super::packet::{Direction, FilterPacket};
use super::ruleset::{Base, Chain, Family, RuleAction, Ruleset, Statement, Table};

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Every chain lets it through.
    Passes,
    /// A chain drops it, whatever doubtful rules do.
    Blocked(RulePlace),
    /// Rules that are not understood, or that ask what is not known, decide.
    Doubtful(Vec<RulePlace>),
    /// It is let through, with another address or port.
    Translated(RulePlace),
}

/// Where in a ruleset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RulePlace {
    /// The base chain on the way, by its index.
    pub base: usize,
    /// The chain, by its index.
    pub chain: usize,
    /// The rule, by its index; none is the chain's policy.
    pub rule: Option<usize>,
}

/// More jumps than the kernel allows (`NFT_JUMP_STACK_SIZE`, 16): what is deeper is not followed.
const DEEPEST: usize = 32;

/// The fate of a packet in all chains of its way, in their order, up to where it gets another address or
/// port: by which chains it then goes, and as what, is not followed.
pub fn judge(rules: &Ruleset, packet: &FilterPacket) -> Fate {
    let names = rules.chains.iter().enumerate();
    let names = names.map(|(index, chain)| ((&chain.table, chain.name.as_str()), index)).collect();
    let mut fate = Fate::Passes;
    for (index, base, sure) in way(rules, packet) {
        let mut walk = Walk { rules, packet, names: &names, base: index, known: BTreeMap::new() };
        match walk.judge(index, base, sure) {
            blocked @ Fate::Blocked(_) => return blocked,
            Fate::Doubtful(places) => match &mut fate {
                Fate::Doubtful(all) => all.extend(places),
                Fate::Passes | Fate::Translated(_) | Fate::Blocked(_) => {
                    fate = Fate::Doubtful(places);
                }
            },
            translated @ Fate::Translated(_) => {
                return if fate == Fate::Passes { translated } else { fate };
            }
            Fate::Passes => {}
        }
    }
    fate
}

/// The base chains that a packet passes, in their order, and whether it surely does.
fn way<'a>(rules: &'a Ruleset, packet: &FilterPacket) -> Vec<(usize, &'a Base, bool)> {
    let inbound = packet.direction == Direction::In;
    let mut way = Vec::new();
    for (index, chain) in rules.chains.iter().enumerate() {
        let Some(base) = &chain.base else { continue };
        let later = base.first_only && packet.state != super::TrackingState::New;
        if base.hook.is_inbound() != inbound || later || !chain.table.family.sees(packet.v6) {
            continue;
        }
        let of_device = chain.table.family == Family::Netdev || !base.devices.is_empty();
        match (&packet.interface, of_device) {
            (_, false) => way.push((index, base, true)),
            (Some(name), true) if base.devices.contains(name) => way.push((index, base, true)),
            (Some(_), true) if !base.devices.is_empty() => {}
            (_, true) => way.push((index, base, false)),
        }
    }
    way.sort_by_key(|(index, base, _)| (base.hook, base.priority, *index));
    way
}

/// A walk through one base chain.
struct Walk<'a> {
    rules: &'a Ruleset,
    packet: &'a FilterPacket,
    names: &'a HashMap<(&'a Table, &'a str), usize>,
    base: usize,
    /// What chains decide; `None` while they are walked through.
    known: BTreeMap<usize, Option<Ends>>,
}

/// All ways that a chain can end for the packet.
#[derive(Clone, Debug, Default)]
struct Ends {
    accepts: bool,
    /// Where it may be dropped; of several places, the last: what comes that far goes no further.
    drops: Option<RulePlace>,
    /// It may come to the chain's end, or return.
    falls: bool,
    /// Rules that may apply or not, and matter: a few of them.
    doubts: Vec<RulePlace>,
    translates: Option<RulePlace>,
}

impl Ends {
    fn doubt(&mut self, places: &[RulePlace]) {
        const FEW: usize = 4;
        for place in places {
            if self.doubts.len() < FEW && !self.doubts.contains(place) {
                self.doubts.push(*place);
            }
        }
    }
}

impl Walk<'_> {
    fn judge(&mut self, index: usize, base: &Base, sure: bool) -> Fate {
        let mut ends = self.chain(index, 0);
        let policy = RulePlace { base: index, chain: index, rule: None };
        match (ends.falls, base.drops) {
            (true, true) => ends.drops = Some(policy),
            (true, false) => ends.accepts = true,
            (false, _) => {}
        }
        match (ends.accepts, ends.drops) {
            (false, Some(place)) if sure => Fate::Blocked(place),
            (true, None) => ends.translates.map_or(Fate::Passes, Fate::Translated),
            (_, _) => {
                let place = ends.drops.unwrap_or(policy);
                ends.doubt(&[place]);
                Fate::Doubtful(ends.doubts)
            }
        }
    }

    fn chain(&mut self, index: usize, depth: usize) -> Ends {
        match self.known.get(&index) {
            Some(Some(ends)) => return ends.clone(),
            None if depth < DEEPEST => {}
            Some(None) | None => return self.unfathomable(index),
        }
        self.known.insert(index, None);
        let ends = self.walk(index, depth);
        self.known.insert(index, Some(ends.clone()));
        ends
    }

    fn walk(&mut self, index: usize, depth: usize) -> Ends {
        let mut ends = Ends::default();
        let rules = self.rules;
        let Some(chain) = rules.chains.get(index) else { return ends };
        for number in 0..chain.rules.len() {
            if self.rule(
                chain,
                RulePlace { base: self.base, chain: index, rule: Some(number) },
                depth,
                &mut ends,
            ) {
                return ends;
            }
        }
        ends.falls = true;
        ends
    }

    /// Whether the packet surely goes no further in this chain.
    fn rule(&mut self, chain: &Chain, place: RulePlace, depth: usize, ends: &mut Ends) -> bool {
        let statements = place.rule.and_then(|rule| chain.rules.get(rule));
        let mut sure = true;
        for statement in statements.map_or(&[][..], |rule| &rule.statements) {
            match statement {
                Statement::When(condition) => match condition.holds(self.packet) {
                    Truth::Yes => {}
                    Truth::No | Truth::Absent => return false,
                    Truth::Maybe => sure = false,
                },
                Statement::Then(action) => {
                    if self.act(action, chain, place, depth, sure, ends) && sure {
                        return true;
                    }
                }
                Statement::Choose(choices) => {
                    for (condition, action) in choices {
                        let sure = match condition.holds(self.packet) {
                            Truth::Yes => sure,
                            Truth::No | Truth::Absent => continue,
                            Truth::Maybe => false,
                        };
                        if self.act(action, chain, place, depth, sure, ends) && sure {
                            return true;
                        }
                        if sure {
                            break;
                        }
                    }
                    // No statement of a rule follows its verdict.
                    return false;
                }
            }
        }
        false
    }

    /// Whether the packet, if it comes here, goes no further in this chain.
    fn act(
        &mut self,
        action: &RuleAction,
        chain: &Chain,
        place: RulePlace,
        depth: usize,
        sure: bool,
        ends: &mut Ends,
    ) -> bool {
        if !sure || *action == RuleAction::Unknown {
            ends.doubt(&[place]);
        }
        match action {
            RuleAction::Accept => ends.accepts = true,
            RuleAction::Drop | RuleAction::Reject => ends.drops = Some(place),
            RuleAction::Return => ends.falls = true,
            RuleAction::Translate => {
                ends.accepts = true;
                ends.translates.get_or_insert(place);
            }
            RuleAction::Unknown => {
                ends.accepts = true;
                ends.drops = Some(place);
                return false;
            }
            RuleAction::Jump(target) | RuleAction::Goto(target) => {
                let there = match self.names.get(&(&chain.table, target.as_str())) {
                    Some(index) => self.chain(*index, depth + 1),
                    None => self.unfathomable(place.chain),
                };
                let goes_on = there.falls && matches!(action, RuleAction::Jump(_));
                ends.falls |= there.falls && !goes_on;
                ends.accepts |= there.accepts;
                ends.drops = there.drops.or(ends.drops);
                ends.doubt(&there.doubts);
                ends.translates = ends.translates.or(there.translates);
                return !goes_on;
            }
        }
        true
    }

    /// A chain that is not followed may do anything.
    fn unfathomable(&self, chain: usize) -> Ends {
        let place = RulePlace { base: self.base, chain, rule: None };
        Ends {
            accepts: true,
            drops: Some(place),
            falls: true,
            doubts: vec![place],
            translates: None,
        }
    }
}
