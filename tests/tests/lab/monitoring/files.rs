//! The files for Prometheus and Grafana, as far as tests must understand them.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

/// A rule, or a query of a panel.
#[derive(Clone, Debug)]
pub(super) struct Expression {
    /// The alert, the metric that is recorded, or the panel.
    pub(super) name: String,
    pub(super) text: String,
    /// Labels that its annotations or its legend show.
    pub(super) shown: Vec<String>,
}

/// The folder that packages take.
pub(super) fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../elb-userspace/dist/monitoring"))
}

pub(super) fn read(name: &str) -> Result<String> {
    let path = folder().join(name);
    fs::read_to_string(&path).with_context(|| format!("{}", path.display()))
}

/// The rules of a file, be they alerts or records.
pub(super) fn rules(name: &str) -> Result<Vec<Expression>> {
    let text = read(name)?;
    let mut rules: Vec<Expression> = Vec::new();
    let mut lines = text.lines().filter(|line| !line.trim_start().starts_with('#')).peekable();
    while let Some(line) = lines.next() {
        let name = ["- alert: ", "- record: "].iter().find_map(|key| value(line, key));
        if let Some(name) = name {
            let (name, text, shown) = (name.to_owned(), String::new(), Vec::new());
            rules.push(Expression { name, text, shown });
        }
        let Some(rule) = rules.last_mut() else { continue };
        if let Some(expression) = value(line, "expr: ") {
            rule.text = expression.to_owned();
            if expression == "|" {
                rule.text.clear();
                let depth = indent(line);
                while let Some(more) = lines.next_if(|more| indent(more) > depth) {
                    rule.text += more;
                    rule.text.push('\n');
                }
            }
        }
        rule.shown.extend(between(line, "$labels.", |c| c.is_ascii_alphanumeric() || c == '_'));
    }
    Ok(rules)
}

/// Alerts and the documents that their runbook is in, with its anchor.
pub(super) fn runbooks() -> Result<Vec<(String, String, String)>> {
    let text = read("elb.rules.yml")?;
    let mut found = Vec::new();
    let mut alert = "";
    for line in text.lines() {
        alert = value(line, "- alert: ").unwrap_or(alert);
        if let Some(url) = value(line, "runbook_url: ") {
            let (document, anchor) = url.split_once('#').context("an anchor")?;
            found.push((alert.to_owned(), document.to_owned(), anchor.to_owned()));
        }
    }
    Ok(found)
}

/// Alerts of the cases, and whether they fire there.
pub(super) fn cases() -> Result<Vec<(String, bool)>> {
    let text = read("elb.rules.test.yml")?;
    let lines: Vec<_> = text.lines().collect();
    let case = |pair: &[&str]| match pair {
        [name, alerts] => {
            let name = value(name, "alertname: ")?;
            Some((name.to_owned(), value(alerts, "exp_alerts:")? != " []"))
        }
        _ => None,
    };
    Ok(lines.windows(2).filter_map(case).collect())
}

pub(super) fn dashboard() -> Result<Value> {
    Ok(serde_json::from_str(&read("elb-dashboard.json")?)?)
}

/// The panels of a dashboard; headings of rows are none.
pub(super) fn panels(dashboard: &Value) -> Vec<&Value> {
    let all = dashboard["panels"].as_array().into_iter().flatten();
    all.filter(|panel| panel["type"] != "row").collect()
}

/// The queries of all panels.
pub(super) fn queries(dashboard: &Value) -> Vec<Expression> {
    let of = |panel: &Value| {
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        let name = panel["title"].as_str().unwrap_or_default().to_owned();
        targets.into_iter().map(move |target| {
            let text = |key: &str| target[key].as_str().unwrap_or_default().to_owned();
            let shown = between(&text("legendFormat"), "{{", |c| c != '}');
            Expression { name: name.clone(), text: text("expr"), shown }
        })
    };
    panels(dashboard).into_iter().flat_map(of).collect()
}

/// What follows a key that begins a line.
fn value<'l>(line: &'l str, key: &str) -> Option<&'l str> {
    line.trim_start().strip_prefix(key)
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// What follows each mark, as far as its letters go.
fn between(text: &str, mark: &str, is_part: impl Fn(char) -> bool) -> Vec<String> {
    let parts = text.split(mark).skip(1);
    parts.map(|part| part.chars().take_while(|c| is_part(*c)).collect()).collect()
}
