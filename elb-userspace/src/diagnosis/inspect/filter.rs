//! The packet filter as it is loaded, and what it does to a packet.
//!
//! nftables and iptables rules become one [`Ruleset`]; [`judge`] walks it as netfilter does. What is
//! not understood makes a rule doubtful, and a packet that a doubtful rule could decide about is
//! [`Fate::Doubtful`]: never let through, never blocked, without saying so. Not looked at are tables
//! of the families `bridge` and `arp`, which see no packet that is already at its host.

mod condition;
mod evaluate;
mod field;
pub mod iptables;
mod names;
pub mod nft;
mod packet;
mod ruleset;

#[cfg(test)]
mod tests;

pub use evaluate::{Fate, RulePlace, judge};
pub use packet::{Direction, FilterPacket, PortInterval, TrackingState};
pub use ruleset::{Family, Ruleset, Tool};
