//! The reference of the configuration file, `docs/configuration.md`: what its keys mean is written in `texts`;
//! types, rules and defaults are what the reader of the file uses, and what errors print.

pub mod man;
mod texts;

use std::cell::RefCell;

use toml::de::DeTable;

use self::texts::{Key, SECTIONS, Section};
use super::keys::{Keys, Kind, Use};
use super::report::Report;
use super::resources;
use super::source_text::SourceText;

const INTRODUCTION: &str = "\
<!-- Written by `cargo xtask docs`; do not edit. -->
# Configuration reference

elb reads one TOML file, `/etc/elb/elb.toml` unless `--config` names another one. Resources and keys have the
names of the Elastic Load Balance API, version 3. Unknown keys are errors. `elb check` reads a file without using
it, and reports every error with line, column and what to do.

`include = \"conf.d/*.toml\"`, at the beginning of the file, reads more files, in the order of their names. The path is
relative to the file's folder; its last part may have `*` and `?`. These files have `[[load_balancer]]`, `[[pool]]`
and `[[ipgroup]]`, and include nothing themselves; names are unique over all files, and each error names its file. No
file that matches is no error; one that cannot be read is one, and so is more than 4 MiB in all.

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
[[notify]]
url = "http://127.0.0.1:9000/"
[metrics]
[api]
forwarding = "ipip"
[[api.subnet]]
id = "5e0b6a0e-0000-4000-8000-000000000001"
cidr = "192.0.2.0/24"
[flow_log]
[sflow]
collector = "192.0.2.9:6343"
[snat]
v4 = "10.0.0.16/28"
v6 = "2001:db8:1:64::/64"
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
lb_algorithm = "ROUND_ROBIN"
session_persistence = { timeout = 60 }
connection_drain = { enable = false }
pool_health = { minimum_healthy_member_count = 0 }
healthmonitor = { type = "HTTP" }
member = [{ address = "10.0.0.11" }]
[[pool]]
name = "redis"
protocol = "TCP"
forwarding = "ipip"
healthmonitor = { type = "TCP" }
[[pool]]
name = "command"
protocol = "TCP"
forwarding = "ipip"
healthmonitor = { type = "COMMAND" }
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
            let Row { meaning, values, default, example } = row(key, found);
            let name = key.name;
            text += &format!("| `{name}` | {meaning} | {values} | {default} | {example} |\n");
        }
    }
    text
}

/// What the reader asks for.
fn keys() -> Keys {
    let document = DeTable::parse(EVERY_TABLE).expect("it is TOML");
    let mut report = Report::new(SourceText::of("", EVERY_TABLE));
    report.keys = Some(Keys::default());
    let report = RefCell::new(report);
    resources::read(document.get_ref(), &report);
    report.into_inner().keys.unwrap_or_default()
}

/// What is said of a key.
struct Row {
    meaning: &'static str,
    values: String,
    default: String,
    example: String,
}

fn row(key: &Key, found: &Use) -> Row {
    let Key { meaning, default, example, .. } = key;
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
    Row { meaning, values: format!("{kind}{rules}"), default, example: format!("`{example}`") }
}

#[cfg(test)]
mod tests;
