//! A set of reasons, as people write it.

use std::fmt;
use std::str::FromStr;

use elb_common::reason::Reason;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Reasons: bit n stands for the reason with number n. Written as their names, with commas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reasons(u64);

/// A name that no reason has.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("no reason is called {0:?}; `elb drops` shows those that packets met")]
pub struct UnknownReason(String);

impl Reasons {
    /// The bits.
    pub const fn bits(self) -> u64 {
        self.0
    }
}

impl FromIterator<Reason> for Reasons {
    fn from_iter<I: IntoIterator<Item = Reason>>(reasons: I) -> Self {
        Self(reasons.into_iter().fold(0, |bits, reason| bits | 1 << reason as u8))
    }
}

impl FromStr for Reasons {
    type Err = UnknownReason;

    fn from_str(text: &str) -> Result<Self, UnknownReason> {
        text.split(',').map(named).collect()
    }
}

fn named(name: &str) -> Result<Reason, UnknownReason> {
    let found = Reason::ALL.iter().find(|reason| reason.name() == name);
    found.copied().ok_or_else(|| UnknownReason(name.to_owned()))
}

impl fmt::Display for Reasons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has = |reason: &&Reason| self.0 >> **reason as u8 & 1 != 0;
        let names: Vec<_> = Reason::ALL.iter().filter(has).map(|reason| reason.name()).collect();
        f.write_str(&names.join(","))
    }
}

impl TryFrom<String> for Reasons {
    type Error = UnknownReason;

    fn try_from(text: String) -> Result<Self, UnknownReason> {
        text.parse()
    }
}

impl From<Reasons> for String {
    fn from(reasons: Reasons) -> Self {
        reasons.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_and_read() {
        let some: Reasons = "not_vip,no_backend".parse().unwrap();
        assert_eq!(some.bits(), 1 << Reason::NotVip as u8 | 1 << Reason::NoBackend as u8);
        assert_eq!(some.to_string(), "not_vip,no_backend");
        let all: Reasons = Reason::ALL.iter().copied().collect();
        assert_eq!(all.to_string().parse(), Ok(all));
        assert_eq!("no_bakend".parse::<Reasons>(), Err(UnknownReason("no_bakend".to_owned())));
    }
}
