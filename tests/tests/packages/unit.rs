//! What a unit says, as far as a lab does it in systemd's place.

use anyhow::{Context as _, Result};

pub(crate) struct Unit(String);

impl Unit {
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    /// A template's instance.
    pub(crate) fn named(self, instance: &str) -> Self {
        Self(self.0.replace("%i", instance))
    }

    /// The value of a key that is there once.
    pub(crate) fn value(&self, key: &str) -> Result<&str> {
        let found = self.0.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        found.with_context(|| format!("the unit has no {key}"))
    }

    /// The option of setpriv(1) that leaves these capabilities and no others.
    pub(crate) fn capabilities(&self) -> Result<String> {
        let names = self.value("CapabilityBoundingSet")?.split(' ');
        let names =
            names.map(|name| format!(",+{}", name.trim_start_matches("CAP_").to_lowercase()));
        Ok(format!("--bounding-set=-all{}", names.collect::<String>()))
    }

    /// The folders that systemd makes for it.
    pub(crate) fn writable(&self) -> String {
        let folder = |(key, place)| Some(format!("{place}/{}", self.value(key).ok()?));
        let folders = [("StateDirectory", "/var/lib"), ("RuntimeDirectory", "/run")];
        folders.into_iter().filter_map(folder).collect::<Vec<_>>().join(" ")
    }

    /// What it cannot write to otherwise.
    pub(crate) fn read_only(&self) -> &'static str {
        match self.value("ReadOnlyPaths") {
            Ok(_) => "/ /run /dev /sys /proc",
            Err(_) => "/ /run /dev",
        }
    }
}
