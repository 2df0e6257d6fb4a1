//! How resources of the API are written.

use clap::ValueEnum;

use super::Output;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Written {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
    /// For programs, and people.
    Yaml,
}

impl Written {
    /// How a failure is written.
    pub(super) const fn of_errors(self) -> Output {
        match self {
            Self::Json => Output::Json,
            Self::Table | Self::Yaml => Output::Table,
        }
    }
}
