//! Chains and rules, of nftables and iptables alike.

use super::condition::Condition;

/// All rules of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruleset {
    /// Base chains and those that they jump to.
    pub chains: Vec<Chain>,
    /// Whether a rule sets packet marks; if none does, packets have the mark 0.
    pub marks: bool,
    /// Whether a rule keeps packets from connection tracking.
    pub untracks: bool,
    /// Whether a rule gives packets another destination; if none does, none has had another.
    pub translates: bool,
}

impl Ruleset {
    /// Adds the rules of another source.
    pub fn add(&mut self, other: Self) {
        self.chains.extend(other.chains);
        self.marks |= other.marks;
        self.untracks |= other.untracks;
        self.translates |= other.translates;
    }
}

/// Which program rules are seen and changed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tool {
    /// `nft`.
    Nft,
    /// An iptables of this name, such as `ip6tables-legacy`.
    Iptables(&'static str),
}

/// Which packets a table sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4.
    Ip,
    /// IPv6.
    Ip6,
    /// Both.
    Inet,
    /// All that an interface takes in or sends.
    Netdev,
}

impl Family {
    /// What nft calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Ip6 => "ip6",
            Self::Inet => "inet",
            Self::Netdev => "netdev",
        }
    }

    /// Whether packets of this version of IP are seen.
    pub const fn sees(self, v6: bool) -> bool {
        match self {
            Self::Ip => !v6,
            Self::Ip6 => v6,
            Self::Inet | Self::Netdev => true,
        }
    }
}

/// A table's name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Table {
    /// What it is seen and changed with.
    pub tool: Tool,
    /// Which packets it sees.
    pub family: Family,
    /// Its name within the family.
    pub name: String,
}

/// A list of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Where it is.
    pub table: Table,
    /// Its name there.
    pub name: String,
    /// Where packets enter it; chains without are jumped to.
    pub base: Option<Base>,
    /// Its rules, in order.
    pub rules: Vec<Rule>,
}

/// Where packets enter a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// The point on their way.
    pub hook: Hook,
    /// The order of chains at one point.
    pub priority: i64,
    /// Whether it drops what no rule decides about.
    pub drops: bool,
    /// Whether only the first packet of a connection comes by: chains of the type `nat`.
    pub first_only: bool,
    /// The interfaces of a chain of the family `netdev`; empty where that is not listed.
    pub devices: Vec<String>,
}

/// A point on the way of a packet from or to this host, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// It comes in by an interface.
    Ingress,
    /// Before routing.
    Prerouting,
    /// For this host.
    Input,
    /// Made by this host.
    Output,
    /// After routing.
    Postrouting,
    /// It leaves by an interface.
    Egress,
}

impl Hook {
    /// By its name; none for those that packets of this host do not pass.
    pub fn find(name: &str) -> Option<Self> {
        let hooks = [
            ("ingress", Self::Ingress),
            ("prerouting", Self::Prerouting),
            ("input", Self::Input),
            ("output", Self::Output),
            ("postrouting", Self::Postrouting),
            ("egress", Self::Egress),
        ];
        hooks.into_iter().find(|(hook, _)| hook.eq_ignore_ascii_case(name)).map(|(_, hook)| hook)
    }

    /// Whether packets that come in pass it.
    pub const fn is_inbound(self) -> bool {
        match self {
            Self::Ingress | Self::Prerouting | Self::Input => true,
            Self::Output | Self::Postrouting | Self::Egress => false,
        }
    }
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its handle (nft), or its number in the chain, from 1 (iptables).
    pub number: u64,
    /// The rule as its tool writes it.
    pub text: String,
    /// What it says, in order.
    pub statements: Vec<Statement>,
}

/// A part of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    /// Go on only if this holds.
    When(Condition),
    /// Do this.
    Then(RuleAction),
    /// Do what stands with the first that holds; end the rule if none does.
    Choose(Vec<(Condition, RuleAction)>),
}

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleAction {
    /// This base chain lets it through.
    Accept,
    /// It is dropped without a word.
    Drop,
    /// It is dropped, and its sender is notified.
    Reject,
    /// The rules of that chain come first.
    Jump(String),
    /// The rules of that chain come instead.
    Goto(String),
    /// Back to where this chain was jumped to from.
    Return,
    /// It gets another address or port.
    Translate,
    /// Not known.
    Unknown,
}
