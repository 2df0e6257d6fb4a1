//! Whose customs a package follows, and how much time it may take to become small.

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Family {
    Deb,
    Rpm,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Compression {
    /// For people.
    Small,
    /// For a lab, which installs it once.
    Fast,
}
