//! What an agent exports: metrics, their labels, and the values that these have.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::{files::Expression, query::Query};

/// Labels that Prometheus adds to every series.
const ADDED: [&str; 2] = ["job", "instance"];
/// What it says itself about a target.
const OF_TARGETS: [&str; 1] = ["up"];
/// Only exported while the kernel measures programs, and by which label.
const MEASURED: [(&str, &str); 2] =
    [("elb_xdp_runs_total", "program"), ("elb_xdp_run_seconds_total", "program")];

type Labels = BTreeMap<String, BTreeSet<String>>;

/// Metrics with their labels.
#[derive(Debug, Default)]
pub(super) struct Exported(BTreeMap<String, Labels>);

impl Exported {
    /// What the text of a scrape has. A series is written as an expression is that selects it.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut all: BTreeMap<String, Labels> = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (series, _) = line.rsplit_once(' ').unwrap_or((line, ""));
            for selector in Query::parse(series)?.selectors {
                let labels = all.entry(selector.metric).or_default();
                for (label, _, value) in selector.matchers {
                    labels.entry(label).or_default().insert(value);
                }
            }
        }
        for (name, label) in MEASURED {
            // Their family is always announced.
            if text.contains(&format!("# TYPE {name} counter")) {
                let labels = all.entry(name.to_owned()).or_default();
                labels.entry(label.to_owned()).or_default();
            }
        }
        all.extend(OF_TARGETS.map(|name| (name.to_owned(), Labels::new())));
        Ok(Self(all))
    }

    /// Metrics that rules make, by their names alone.
    pub(super) fn record(&mut self, names: impl IntoIterator<Item = String>) {
        self.0.extend(names.into_iter().map(|name| (name, Labels::new())));
    }

    /// What an expression names that is not exported.
    pub(super) fn missing(&self, expression: &Expression) -> Result<Vec<String>> {
        let query = Query::parse(&expression.text)?;
        let mut missing = Vec::new();
        let mut known: BTreeSet<&str> = ADDED.into();
        for selector in &query.selectors {
            let metric = &selector.metric;
            let Some(labels) = self.0.get(metric) else {
                missing.push(format!("metric {metric}"));
                continue;
            };
            known.extend(labels.keys().map(String::as_str));
            for (label, _, value) in &selector.matchers {
                let Some(values) = labels.get(label) else {
                    if !ADDED.contains(&label.as_str()) {
                        missing.push(format!("label {label} of {metric}"));
                    }
                    continue;
                };
                let named = value.split('|').filter(|one| !one.contains(['$', '.']));
                let wrong = named.filter(|one| !values.contains(*one));
                missing.extend(wrong.map(|one| format!("{metric} with {label}={one:?}")));
            }
        }
        let used = query.labels.iter().chain(&expression.shown);
        let wrong = used.filter(|label| !known.contains(label.as_str()));
        missing.extend(wrong.map(|label| format!("label {label} of {:?}", expression.text)));
        Ok(missing)
    }
}

#[test]
fn what_is_not_exported_is_named() -> Result<()> {
    let exported = Exported::parse("a_total{reason=\"x\"} 1\nb 2\n")?;
    let missing = |text: &str| {
        let (name, text, shown) = ("it".to_owned(), text.to_owned(), vec!["instance".to_owned()]);
        exported.missing(&Expression { name, text, shown })
    };
    assert_eq!(missing(r#"rate(a_total{reason=~"x", job="elb"}[5m]) + b and up == 0"#)?, [""; 0]);
    assert_eq!(missing("c > 1")?, ["metric c"]);
    assert_eq!(missing(r#"b{reason="x"}"#)?, ["label reason of b"]);
    assert_eq!(missing(r#"a_total{reason=~"x|y"}"#)?, [r#"a_total with reason="y""#]);
    assert_eq!(missing("sum by (pool) (b)")?, [r#"label pool of "sum by (pool) (b)""#]);
    Ok(())
}
