//! The reference of all metrics, `docs/metrics.md`, made from the table.

use super::family::{FAMILIES, MetricFamily, Scope};

const INTRODUCTION: &str = "\
<!-- Written by `cargo xtask docs`; do not edit. -->
# Metrics

The agent serves metrics for Prometheus by `GET /metrics`: always on its Unix socket (`elb metrics` prints them),
and over TCP where `[metrics] listen` says so, see [configuration.md](configuration.md). Formats are text 0.0.4 and
OpenMetrics 1.0, by the `Accept` header, compressed with gzip where the client takes it. `?scope=agent,listener,pool,member`
limits the answer to some of the sections below.

```yaml
# prometheus.yml, with [metrics] listen = \"127.0.0.1:9105\"
scrape_configs:
  - job_name: elb
    static_configs:
      - targets: [\"127.0.0.1:9105\"]
```

- Series are those of the present configuration: what is removed is gone with the next scrape. Counters of
  packets are in BPF maps and go on while no agent runs; those that say so begin anew with the agent.
- Values that are not counters of packets are at most seconds old (`elb_metrics_snapshot_timestamp_seconds`).
- With direct server return, packets of members do not pass elb: what they send, and when they close or reset a
  connection, is not known. What members answer (`…_reply_…`, `…_accepted_connections_total`,
  `elb_listener_server_resets_total`, `elb_member_resets_total`) is there for pools with `forwarding = \"nat\"`, `\"fullnat\"` or `\"nat46\"`, and absent for
  others; a listener has it if its pool is one, or its fallback pool. How many connections are open now does not follow from
  it. Where connections are not recorded, there is no number of
  open ones. Of UDP nothing says which packet is the first of a flow: opened connections are those of TCP.
- Metrics of the API's store (`elb_store_…`) are there where the file has `[api]`. When a configuration was last taken
  over is `elb_config_last_reload_success_timestamp_seconds`.
- There are no rates and no peaks: `rate()` and `max_over_time()` make them.
- With more members than `[metrics] members`, those of the section Members are left out altogether, and
  `elb_metrics_members_left_out` says how many members there are.
- `up == 0` means that no agent answers. The program goes on forwarding, with members' health as it was.

`GET /healthz` answers 200 while the agent's loop runs. `GET /readyz` answers 200 once the maps are as they should be,
the first verdicts are known, and some listener has a member that takes new connections. Otherwise both answer 503 and say
why.
";

/// The whole reference, in Markdown.
pub fn markdown() -> String {
    let mut text = INTRODUCTION.to_owned();
    for (scope, heading) in Scope::ALL.iter().zip([
        "The agent, its host, all traffic",
        "Load balancers and listeners",
        "Pools",
        "Members",
    ]) {
        text += &format!("\n## {heading}\n\nScope `{scope}`.\n\n");
        text += "| metric | type | labels | meaning |\n|---|---|---|---|\n";
        text.extend(FAMILIES.iter().filter(|family| family.scope == *scope).map(row));
    }
    text
}

fn row(family: &MetricFamily) -> String {
    let labels: Vec<_> = family.labels.iter().map(|label| format!("`{label}`")).collect();
    let (name, kind, labels) = (family.name(), family.kind.name(), labels.join(", "));
    format!("| `{name}` | {kind} | {labels} | {} |\n", family.help)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_committed_reference_of_metrics_is_what_the_code_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
        if std::env::var_os("ELB_WRITE_DOCS").is_some() {
            fs::write(path, markdown()).unwrap();
        }
        let committed = fs::read_to_string(path).unwrap_or_default();
        assert!(committed == markdown(), "{path} differs; run: cargo xtask docs");
    }
}
