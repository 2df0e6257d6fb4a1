//! What is kept in the host, object by object: in place, restored how often, or missing and why.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

/// Everything that is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Register(BTreeMap<KeptObject, KeptState>);

/// What is kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeptObject {
    /// The program on an interface of this name.
    Program(String),
    /// How this interface carries it.
    Mode(String),
    /// The pins of maps and links.
    Pins,
    /// Interfaces, rules and routes of probes of virtual addresses.
    ProbePath,
    /// What of these only IPv6 needs, where IPv4 has all.
    ProbePathV6,
    /// The multicast groups by which an interface hears who looks for virtual IPv6 addresses.
    Groups(String),
    /// The socket that the command line asks by.
    ApiSocket,
}

impl fmt::Display for KeptObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program(interface) => write!(f, "XDP program on {interface}"),
            Self::Mode(interface) => write!(f, "attach_mode of {interface}"),
            Self::Pins => f.write_str("pins"),
            Self::ProbePath => f.write_str("path of health probes"),
            Self::ProbePathV6 => f.write_str("path of health probes over IPv6"),
            Self::Groups(interface) => write!(f, "multicast groups of {interface}"),
            Self::ApiSocket => f.write_str("API socket"),
        }
    }
}

/// An object that is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptState {
    /// Why it is not as wanted; `None`: it is.
    pub missing: Option<String>,
    /// How often it was restored.
    pub restored: u64,
    /// When it was last, and what was missing.
    pub last: Option<(SystemTime, String)>,
}

impl Register {
    /// It is as wanted. Logged where it was not.
    pub fn in_place(&mut self, object: &KeptObject) {
        let kept = self.0.entry(object.clone()).or_default();
        if kept.missing.take().is_some() {
            tracing::info!(%object, "in place");
        }
    }

    /// It was not as wanted, and is again.
    pub fn restored(&mut self, object: &KeptObject, what: &str, now: SystemTime) {
        let kept = self.0.entry(object.clone()).or_default();
        (kept.missing, kept.last) = (None, Some((now, what.to_owned())));
        kept.restored += 1;
        tracing::warn!(%object, what, "restored in the host");
    }

    /// It is not as wanted, and cannot be restored. Logged once for each reason.
    pub fn missing(&mut self, object: &KeptObject, why: String) {
        let kept = self.0.entry(object.clone()).or_default();
        if kept.missing.as_ref() != Some(&why) {
            tracing::error!(%object, why, "missing in the host");
            kept.missing = Some(why);
        }
    }

    /// Forgets objects that are not wanted any more.
    pub fn retain(&mut self, wanted: impl Fn(&KeptObject) -> bool) {
        self.0.retain(|object, _| wanted(object));
    }

    /// All, by name.
    pub fn all(&self) -> impl Iterator<Item = (&KeptObject, &KeptState)> {
        self.0.iter()
    }

    /// Whether an object was kept before.
    pub fn has(&self, object: &KeptObject) -> bool {
        self.0.contains_key(object)
    }

    /// Why an object is missing, if it is.
    pub fn why_missing(&self, object: &KeptObject) -> Option<&str> {
        self.0.get(object)?.missing.as_deref()
    }

    /// What is missing, and why.
    pub fn problems(&self) -> Vec<String> {
        let missing =
            self.all().filter_map(|(object, kept)| Some((object, kept.missing.as_ref()?)));
        missing.map(|(object, why)| format!("{object}: {why}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_a_problem_until_it_is_restored() {
        let mut register = Register::default();
        let object = &KeptObject::Program("eth0".to_owned());
        assert!(!register.has(object));
        register.in_place(object);
        assert!(register.has(object) && register.problems().is_empty());
        register.missing(object, "no such interface".to_owned());
        assert_eq!(register.problems(), ["XDP program on eth0: no such interface"]);
        register.restored(object, "it was gone", SystemTime::UNIX_EPOCH);
        assert!(register.problems().is_empty());
        let (_, kept) = register.all().next().unwrap();
        assert_eq!(kept.restored, 1);
        assert_eq!(kept.last, Some((SystemTime::UNIX_EPOCH, "it was gone".to_owned())));
        register.retain(|_| false);
        assert_eq!(register.all().count(), 0);
    }
}
