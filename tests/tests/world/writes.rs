//! What cannot be written is refused or retried, and never believed.
