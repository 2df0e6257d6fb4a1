//! Ways back to clients: at each moment, a client is behind the way that it was behind, or the new one.
//!
//! So a route is written after those within it, and removed before them; a bit is set when all routes are
//! there, and cleared before any goes; and what is behind the default finds the new one when nothing else is
//! behind it any more that should not be.

use super::command::Command;
use super::{clear, either, put};
use crate::control::network::client_hops::ClientHops;

/// The writes of what is new or changes.
pub(super) fn build(commands: &mut Vec<Command>, observed: &ClientHops, desired: &ClientHops) {
    if observed == desired {
        return;
    }
    let routes = desired.routes.iter().rev();
    let changed = routes.filter(|(prefix, hop)| observed.routes.get(prefix) != Some(hop));
    commands.extend(changed.map(|(prefix, hop)| Command::PutClientRoute(*prefix, *hop)));
    let both = either(&observed.bits, &desired.bits);
    put(commands, &observed.bits, &both, Command::PutClientBits);
    let defaults = (0..).zip(observed.defaults.iter().zip(&desired.defaults));
    let changed = defaults.filter(|(_, (old, new))| old != new);
    commands.extend(changed.map(|(version, (_, new))| Command::PutClientDefault(version, *new)));
}

/// The writes of what goes.
pub(super) fn remove(commands: &mut Vec<Command>, observed: &ClientHops, desired: &ClientHops) {
    if observed == desired {
        return;
    }
    clear(commands, &either(&observed.bits, &desired.bits), &desired.bits, Command::PutClientBits);
    let gone = observed.routes.keys().filter(|prefix| !desired.routes.contains_key(prefix));
    commands.extend(gone.map(|prefix| Command::RemoveClientRoute(*prefix)));
}
