//! The reference as a manual page, elb.toml(5).

use std::fmt::Write as _;

use super::{INTRODUCTION, Row, SECTIONS, Section, keys, row};

const NAME: &str = "elb.toml \\- configuration of the elb load balancer";

const EXAMPLE: &str = r#"[agent]
interfaces = ["eth0"]

[[load_balancer]]
name = "web"
vip_address = "192.0.2.10"

[[load_balancer.listener]]
name = "http"
protocol = "TCP"
protocol_port = 80
default_pool = "web"

[[pool]]
name = "web"
protocol = "TCP"
forwarding = "ipip"
healthmonitor = { type = "TCP" }
member = [{ address = "10.0.0.11", protocol_port = 80 }]
"#;

/// The whole page, for man(1).
pub fn page() -> String {
    let keys = keys();
    let version = env!("CARGO_PKG_VERSION");
    let mut page = format!(".TH ELB.TOML 5 \"\" \"elb {version}\" \"elb\"\n.SH NAME\n{NAME}\n");
    page += ".SH SYNOPSIS\n/etc/elb/elb.toml\n.SH DESCRIPTION\n";
    let paragraphs = INTRODUCTION.split("\n\n").map(str::trim);
    for text in paragraphs.filter(|text| !text.contains("](") && !text.starts_with('#')) {
        let text: Vec<_> = text
            .lines()
            .filter(|line| !line.starts_with("<!--") && !line.starts_with('#'))
            .collect();
        if !text.is_empty() {
            let _ = writeln!(page, ".PP\n{}", roff(&text.join(" ")));
        }
    }
    for section in SECTIONS {
        let Section { heading, about, table, keys: described } = section;
        let _ = writeln!(page, ".SH {}\n{}", roff(heading).replace('"', "\\(dq"), roff(about));
        for key in *described {
            let found = keys.get(table, key.name).expect("a test compares both");
            let Row { meaning, values, default, example } = row(key, found);
            let _ = writeln!(page, ".TP\n\\fB{}\\fR\n{}", escaped(key.name), roff(meaning));
            for (what, text) in [("Values", &values), ("Default", &default), ("Example", &example)]
            {
                let _ = writeln!(page, ".br\n{what}: {}", roff(text));
            }
        }
    }
    let _ = writeln!(page, ".SH EXAMPLES\n.nf\n{}.fi", escaped_lines(EXAMPLE));
    page += ".SH FILES\n/etc/elb/elb.toml, /etc/elb/conf.d/*.toml (where include names them)\n";
    page += ".SH SEE ALSO\n\\fBelb\\fR(1), \\fBelb-check\\fR(1), \\fBelb-reload\\fR(1), \\fBelb-agent\\fR(1)\n";
    page
}

/// Text with `code` and links in it: code is bold, of a link its text stays.
fn roff(text: &str) -> String {
    let text = unlinked(text);
    let parts = text.split('`').enumerate();
    let font = |(index, part): (usize, &str)| {
        let part = escaped(part);
        if index % 2 == 1 { format!("\\fB{part}\\fR") } else { part }
    };
    let line: String = parts.map(font).collect();
    // A line that begins so is a request.
    if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line }
}

/// Markdown's `[text](target)` as the text.
fn unlinked(text: &str) -> String {
    let mut parts = text.split("](");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        if let Some(start) = out.rfind('[') {
            out.remove(start);
        }
        out += part.split_once(')').map_or(part, |(_, after)| after);
    }
    out
}

fn escaped_lines(text: &str) -> String {
    text.lines().map(|line| roff(line) + "\n").collect()
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace("\\|", "|")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::file::parse;

    #[test]
    fn every_key_has_its_paragraph() {
        let page = page();
        for section in SECTIONS {
            for key in section.keys {
                let tag = format!(".TP\n\\fB{}\\fR\n", escaped(key.name));
                assert!(page.contains(&tag), "{tag}");
            }
        }
        assert!(page.contains("\nValues: integer: 1 to 65535"), "{page}");
        assert!(!page.contains('`') && !page.contains("](") && !page.contains("<!--"), "{page}");
        assert!(page.contains("include = \"conf.d/*.toml\""), "{page}");
    }

    #[test]
    fn only_requests_begin_with_a_dot() {
        let known = [".TH", ".SH", ".TP", ".br", ".PP", ".nf", ".fi"];
        for line in page().lines().filter(|line| line.starts_with(['.', '\''])) {
            assert!(known.iter().any(|one| line.starts_with(one)), "{line}");
        }
        assert_eq!(roff(".a `b-c` \\"), "\\&.a \\fBb\\-c\\fR \\e");
        assert_eq!(roff("see [a](b.md), [c](d.md)."), "see a, c.");
    }

    #[test]
    fn the_example_is_right() {
        assert!(parse("example", EXAMPLE).is_ok(), "{:?}", parse("example", EXAMPLE));
    }
}
