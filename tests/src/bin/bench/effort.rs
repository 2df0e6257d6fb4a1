//! How much time the bench takes.

/// Short, or with more repetitions.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    pub quick: bool,
}

impl Effort {
    /// One of two.
    pub fn of<T>(self, quick: T, thorough: T) -> T {
        if self.quick { quick } else { thorough }
    }
}
