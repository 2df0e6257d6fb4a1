//! The dashboard keeps the rules of grafana/dashboard-linter.

use anyhow::Result;
use serde_json::{Value, json};

use super::{files, query::Query};

/// What every panel asks.
const SOURCE: &str = "${datasource}";

#[test]
fn panels_say_what_they_show_and_ask_what_is_chosen() -> Result<()> {
    let dashboard = files::dashboard()?;
    assert_eq!(dashboard["editable"], json!(false));
    let panels = files::panels(&dashboard);
    assert_eq!(panels.len(), 16);
    for panel in panels {
        let title = panel["title"].as_str().unwrap_or_default();
        let description = panel["description"].as_str().unwrap_or_default();
        assert!(!title.is_empty() && description.ends_with('.'), "{title:?}: {description:?}");
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title} has no unit");
        assert_eq!(panel["datasource"]["uid"], SOURCE, "{title}");
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        assert!(!targets.is_empty(), "{title} asks nothing");
        assert!(targets.iter().all(|target| target["datasource"]["uid"] == SOURCE), "{title}");
    }
    Ok(())
}

#[test]
fn queries_are_of_the_chosen_job_and_instance_and_counters_are_rates() -> Result<()> {
    let queries = files::queries(&files::dashboard()?);
    assert!(queries.len() > 16, "{}", queries.len());
    for one in queries {
        let query = Query::parse(&one.text)?;
        assert!(!query.selectors.is_empty(), "{} asks nothing", one.name);
        for chosen in ["job", "instance"] {
            assert!(query.all_match(chosen, &format!("${chosen}")), "{}: {}", one.name, one.text);
        }
        for selector in &query.selectors {
            let is_rate = ["rate", "irate", "increase"].contains(&selector.function.as_str());
            let is_counter = ["_total", "_bucket"].iter().any(|end| selector.metric.ends_with(end));
            assert_eq!(is_rate, is_counter, "{}: {}", one.name, selector.metric);
        }
        let ranges: Vec<_> = one.text.split('[').skip(1).collect();
        let is_right = ranges.iter().all(|range| range.starts_with("$__rate_interval]"));
        assert!(is_right, "{}: {}", one.name, one.text);
    }
    Ok(())
}

#[test]
fn what_can_be_chosen_depends_on_what_was_chosen_before() -> Result<()> {
    let dashboard = files::dashboard()?;
    let variables = dashboard["templating"]["list"].as_array().cloned().unwrap_or_default();
    let names: Vec<_> = variables.iter().filter_map(|one| one["name"].as_str()).collect();
    assert_eq!(names, ["datasource", "job", "instance", "load_balancer", "listener", "pool"]);
    let (source, others) = variables.split_first().expect("six");
    assert_eq!((&source["type"], &source["query"]), (&json!("datasource"), &json!("prometheus")));
    for one in others {
        let name = one["name"].as_str().unwrap_or_default();
        assert_eq!(one["datasource"]["uid"], SOURCE, "{name}");
        assert_eq!((&one["refresh"], &one["allValue"]), (&json!(2), &json!(".+")), "{name}");
        assert_eq!((&one["multi"], &one["includeAll"]), (&Value::Bool(true), &Value::Bool(true)));
        let asked = one["query"]["query"].as_str().unwrap_or_default();
        let selector = asked
            .strip_prefix("label_values(")
            .and_then(|rest| rest.strip_suffix(&format!(", {name})")));
        let query = Query::parse(selector.expect("label_values(SELECTOR, NAME)"))?;
        let before = ["job", "instance"].into_iter().take_while(|chosen| *chosen != name);
        for chosen in before {
            assert!(query.all_match(chosen, &format!("${chosen}")), "{asked}");
        }
    }
    Ok(())
}
