//! Whose turn it is on a schedule: `ROUND_ROBIN` and `LEAST_CONNECTIONS`.

use super::{Choice, Family, Tables};
use crate::listener::{Listener, algorithm};
use crate::ring::Slot;

/// Owners that `LEAST_CONNECTIONS` compares: all of a pool that has no more, else those whose turn
/// it is.
pub const CANDIDATES: u32 = 8;

impl<F: Family, T: Tables> Choice<'_, F, T> {
    /// The owner whose turn it is.
    #[inline(always)]
    pub(super) fn in_turn(&self) -> u16 {
        let turn = self.tables.turn(self.listener().pool);
        if self.listener().algorithm == algorithm::LEAST_CONNECTIONS
            && let Some(id) = self.least_loaded(turn)
        {
            return id;
        }
        self.owner(turn).unwrap_or(0)
    }

    /// The owner with the fewest connections for its weight, of those whose turn it is. Without a
    /// branch for each comparison, whose combinations the verifier would walk.
    #[inline(always)]
    fn least_loaded(&self, turn: u32) -> Option<u16> {
        let mut least = i64::MAX;
        for candidate in 0..CANDIDATES {
            let load = self.load(self.owner(turn.wrapping_add(candidate))?, candidate)?;
            let more = load.wrapping_sub(least);
            least = least.wrapping_add(more & (more >> 63));
        }
        Some(least as u16)
    }

    /// Connections for its weight in the high bits, then how late its turn is, its id in the low 16.
    #[inline(always)]
    fn load(&self, id: u16, turns: u32) -> Option<i64> {
        const MOST: u32 = (1 << 27) - 1;
        let weight = u64::from(self.tables.backend(id)?.weight);
        let connections = u64::from(self.tables.backend_connections(id, self.now) & MOST);
        let load = (connections << 16).checked_div(weight)?;
        Some((load << 19 | u64::from(turns & 7) << 16 | u64::from(id)) as i64)
    }

    #[inline(always)]
    fn owner(&self, turn: u32) -> Option<u16> {
        let Listener { ring_base, ring_size, .. } = *self.listener();
        let index = ring_base.wrapping_add(turn.checked_rem(ring_size)?);
        self.tables.slot(index).map(Slot::cur)
    }
}
