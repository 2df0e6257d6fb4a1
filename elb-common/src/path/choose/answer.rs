//! The answer of a choice.

use crate::path::Stop;
use crate::reason::Reason;

/// An answer as one word, since a function of the program can return nothing else, and since the
/// compiler would leave half of a `Result` undefined, which the verifier refuses: the id, or a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer(u32);

impl Answer {
    const REFUSED: u32 = 1 << 16;

    /// The answer in a word that a function returned.
    #[inline(always)]
    pub const fn from_word(word: u32) -> Self {
        Self(word)
    }

    /// The answer as a word.
    #[inline(always)]
    pub const fn word(self) -> u32 {
        self.0
    }

    #[inline(always)]
    pub(super) const fn id(id: u16) -> Self {
        Self(id as u32)
    }

    #[inline(always)]
    pub(super) const fn is_refused(self) -> bool {
        self.0 & Self::REFUSED != 0
    }

    #[inline(always)]
    pub(super) const fn refused(reason: Reason) -> Self {
        Self(Self::REFUSED | reason as u32)
    }

    /// Id of the backend, 0: none.
    ///
    /// # Errors
    /// Why the packet gets none.
    #[inline(always)]
    pub fn get(self) -> Result<u16, Stop> {
        if !self.is_refused() {
            return Ok(self.0 as u16);
        }
        Err(Stop(Reason::new(self.0 as u8).unwrap_or(Reason::RingRange)))
    }
}
