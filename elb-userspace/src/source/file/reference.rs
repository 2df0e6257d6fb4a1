//! The reference of the configuration file, `docs/configuration.md`: what its keys mean is written in `texts`;
//! types, rules and defaults are what the reader of the file uses, and what errors print.

mod texts;

use std::cell::RefCell;

use toml::de::DeTable;

use self::texts::{Key, SECTIONS, Section};
use super::error::Report;
use super::keys::{Keys, Kind, Use};
use super::resources;

const INTRODUCTION: &str = "\
<!-- Written by `cargo xtask docs`; do not edit. -->
# Configuration reference

elb reads one TOML file, `/etc/elb/elb.toml` unless `--config` names another one. Resources and keys have the
names of the Elastic Load Balance API, version 3. Unknown keys are errors. `elb check` reads a file without using
it, and reports every error with line, column and what to do.

[elb.toml](../elb-userspace/dist/elb.toml) is a complete file with more background on each key;
[getting-started.md](getting-started.md) begins with a small one.
";

const COLUMNS: &str = "\
| key | meaning | values | default | example |
|---|---|---|---|---|
";

/// A file in which every table is read, in each of its kinds.
const EVERY_TABLE: &str = r#"
[agent]
interfaces = ["eth0"]
[[ipgroup]]
name = "office"
ip_list = ["10.0.0.1", { ip = "10.0.0.2" }]
[[load_balancer]]
name = "lb"
[[load_balancer.listener]]
name = "one"
protocol = "TCP"
protocol_port = 80
default_pool = "http"
ipgroup = { ipgroup = "office" }
[[load_balancer.listener]]
name = "many"
protocol = "UDP"
port_ranges = [{ start_port = 1, end_port = 2 }]
default_pool = "quic"
[[pool]]
name = "http"
protocol = "TCP"
forwarding = "ipip"
connection_drain = { enable = false }
pool_health = { minimum_healthy_member_count = 0 }
healthmonitor = { type = "HTTP" }
member = [{ address = "10.0.0.11" }]
[[pool]]
name = "grpc"
protocol = "TCP"
forwarding = "ipip"
healthmonitor = { type = "GRPC" }
[[pool]]
name = "quic"
protocol = "UDP"
forwarding = "ipip"
lb_algorithm = "QUIC_CID"
quic_cid_hash_strategy = { offset = 0, len = 8 }
"#;

/// The whole reference, in Markdown.
pub fn markdown() -> String {
    let keys = keys();
    let mut text = INTRODUCTION.to_owned();
    for section in SECTIONS {
        let Section { heading, about, table, keys: described } = section;
        text += &format!("\n## {heading}\n\n{about}\n\n{COLUMNS}");
        for key in *described {
            let found = keys.get(table, key.name).expect("a test compares both");
            text += &row(key, found);
        }
    }
    text
}

/// What the reader asks for.
fn keys() -> Keys {
    let document = DeTable::parse(EVERY_TABLE).expect("it is TOML");
    let mut report = Report::new("", EVERY_TABLE);
    report.keys = Some(Keys::default());
    let report = RefCell::new(report);
    resources::read(document.get_ref(), &report);
    report.into_inner().keys.unwrap_or_default()
}

/// The row of a key in the table of its section.
fn row(key: &Key, found: &Use) -> String {
    let Key { name, meaning, default, example } = key;
    let kind = found.kind.map_or("", Kind::name);
    let rules = match &found.rules[..] {
        [] => String::new(),
        rules => format!(": {}", rules.join("; or ")),
    };
    let default = match (*default, &found.defaults[..], found.required) {
        ("", [], true) => "required".to_owned(),
        ("", [], false) => "none".to_owned(),
        ("", all, _) => format!("`{}`", all.join("` or `")),
        (text, ..) => text.to_owned(),
    };
    format!("| `{name}` | {meaning} | {kind}{rules} | {default} | `{example}` |\n")
}

#[cfg(test)]
mod tests;
