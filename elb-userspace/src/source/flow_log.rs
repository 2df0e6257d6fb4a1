//! What is written down of flows, and where, `[flow_log]`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;

use super::file::table::Table;
use crate::model::value::{Invalid, Ranged, choice};

/// Where the log is, if the file does not say.
pub const FLOW_LOG_FILE: &str = "/var/log/elb/flows.jsonl";

/// Events in a second.
pub type EventsPerSecond = Ranged<100, 1_000_000>;
/// Open connections that are remembered.
pub type RememberedConnections = Ranged<1_024, 1_048_576>;
/// Megabytes (MiB) of a file.
pub type MaxMegabytes = Ranged<1, 1_048_576>;
/// Hours that a file is written to.
pub type MaxHours = Ranged<1, 8_760>;
/// Earlier files that are kept.
pub type KeptFiles = Ranged<0, 1_000>;

/// What is written down of flows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FlowLogSettings {
    /// Whether anything is.
    pub enabled: bool,
    /// Where to.
    pub to: FlowLogTarget,
    /// The file, if it goes to one.
    pub file: PathBuf,
    /// In which form.
    pub form: FlowLogForm,
    /// At most so many events a second, on all CPUs together.
    pub events_per_second: EventsPerSecond,
    /// At most so many open connections are remembered, in the form `connections`.
    pub connections: RememberedConnections,
    /// Another file is begun before this one is larger.
    pub max_size: MaxMegabytes,
    /// Another file is begun when this one is so old.
    pub max_age: MaxHours,
    /// So many earlier files are kept.
    pub keep: KeptFiles,
}

choice! {
    /// Where the log goes.
    FlowLogTarget {
        /// To a file.
        File = "file",
        /// To standard output.
        Stdout = "stdout",
        /// To the journal of systemd.
        Journald = "journald",
    }
    not yet: ["syslog", "kafka"], use "file, stdout or journald"
}

choice! {
    /// What a line is.
    FlowLogForm {
        /// An open, an end, or a refusal.
        Events = "events",
        /// A connection from its open to its end, or a refusal.
        Connections = "connections",
    }
    not yet: [], use "events or connections"
}

impl Default for FlowLogSettings {
    fn default() -> Self {
        Self {
            enabled: false,
            to: FlowLogTarget::File,
            file: PathBuf::from(FLOW_LOG_FILE),
            form: FlowLogForm::Events,
            events_per_second: EventsPerSecond::constant(10_000),
            connections: RememberedConnections::constant(65_536),
            max_size: MaxMegabytes::constant(100),
            max_age: MaxHours::constant(24),
            keep: KeptFiles::constant(10),
        }
    }
}

impl FlowLogSettings {
    /// When another file is begun, in bytes.
    pub fn max_bytes(&self) -> u64 {
        u64::from(self.max_size.get()) << 20
    }

    /// The same by age.
    pub fn max_age(&self) -> Duration {
        Duration::from_secs(u64::from(self.max_age.get()) * 3_600)
    }
}

/// Reads `[flow_log]`; `None` if anything in it is wrong.
pub(super) fn read(mut table: Table<'_>) -> Option<FlowLogSettings> {
    let t = &mut table;
    let usual = FlowLogSettings::default();
    let settings = FlowLogSettings {
        enabled: t.flag_or("enabled", true),
        to: t.parsed_or("to", usual.to),
        file: file(t),
        form: t.parsed_or("form", usual.form),
        events_per_second: t.number_or("events_per_second", "", usual.events_per_second),
        connections: t.number_or("connections", "", usual.connections),
        max_size: t.number_or("max_size", "", usual.max_size),
        max_age: t.number_or("max_age", "", usual.max_age),
        keep: t.number_or("keep", "", usual.keep),
    };
    let of_files = ["file", "max_size", "max_age", "keep"];
    if settings.to != FlowLogTarget::File
        && let Some(key) = of_files.into_iter().find(|key| t.has(key))
    {
        let what = format!("{key} is of no use with to = \"{}\"", settings.to);
        t.wrong(key, what, "remove it, or set to = \"file\"");
    }
    let (sound, _) = table.finish();
    sound.then_some(settings)
}

fn file(t: &mut Table<'_>) -> PathBuf {
    const RULE: &str = "an absolute path of a file";
    let path = PathBuf::from(t.text_or("file", RULE, FLOW_LOG_FILE));
    if !path.is_absolute() || path.file_name().is_none() {
        let what = format!("file \"{}\" is no absolute path of a file", path.display());
        t.wrong("file", what, format!("use {RULE}"));
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::file::{Errors, parse};

    fn of(lines: &str) -> Result<FlowLogSettings, Errors> {
        let text = format!("[agent]\ninterfaces = [\"eth0\"]\n{lines}\n");
        parse("file", &text).map(|config| config.flow_log)
    }

    #[test]
    fn it_is_off_unless_there_is_a_table() {
        assert!(!of("").unwrap().enabled);
        let on = of("[flow_log]").unwrap();
        assert_eq!(on, FlowLogSettings { enabled: true, ..FlowLogSettings::default() });
        assert!(!of("[flow_log]\nenabled = false").unwrap().enabled);
    }

    #[test]
    fn what_is_of_no_use_is_refused() {
        for wrong in [
            "to = \"stdout\"\nkeep = 3",
            "to = \"journald\"\nfile = \"/x\"",
            "connections = 2",
            "file = \"flows\"",
            "file = \"/\"",
            "to = \"syslog\"",
            "events_per_second = 0",
        ] {
            assert!(of(&format!("[flow_log]\n{wrong}")).is_err(), "{wrong}");
        }
        let right = of("[flow_log]\nform = \"connections\"\nconnections = 2048\nmax_size = 2");
        assert_eq!(right.unwrap().max_bytes(), 2 << 20);
    }
}
