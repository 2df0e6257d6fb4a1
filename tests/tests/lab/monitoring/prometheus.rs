//! A real Prometheus in a lab's namespace, and its HTTP API.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::PathBuf,
};

use anyhow::{Context as _, Result, ensure};
use elb_tests::{daemon::daemon, lab::Lab, netns::NetNs, process::Process, wait::wait_for};
use serde_json::Value;

use super::files;
use crate::scene::LIMIT;

const AT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);

/// It ends with this.
#[derive(Debug)]
pub(super) struct Prometheus {
    netns: NetNs,
    log: PathBuf,
    _process: Process,
}

impl Prometheus {
    /// Scrapes `target` in the load balancer's namespace every second, with our rules.
    pub(super) fn start(lab: &Lab, target: &str) -> Result<Self> {
        let folder = lab.files().join("prometheus");
        fs::create_dir_all(&folder)?;
        let rules =
            ["elb.rules.yml", "elb-sys-elb.rules.yml"].map(|name| files::folder().join(name));
        let config = serde_json::json!({
            "global": { "scrape_interval": "1s", "evaluation_interval": "1s" },
            "rule_files": rules,
            "scrape_configs": [{ "job_name": "elb", "static_configs": [{ "targets": [target] }] }],
        });
        // JSON is YAML, too.
        let file = folder.join("prometheus.yml");
        fs::write(&file, config.to_string())?;
        let log = folder.join("log");
        let mut command = daemon(lab.lb(), "prometheus")?;
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.tsdb.path={}", folder.join("data").display()));
        command.args([&format!("--web.listen-address={AT}"), "--log.level=warn"]);
        let out = File::create(&log)?;
        command.stdout(out.try_clone()?).stderr(out);
        let process = Process::start("prometheus", command)?;
        Ok(Self { netns: lab.lb().clone(), log, _process: process })
    }

    /// The samples that answer a query: labels and values.
    pub(super) fn query(&self, expression: &str) -> Result<Vec<(Value, f64)>> {
        let answer = self.ask(&format!("/api/v1/query?query={}", escaped(expression)))?;
        ensure!(answer["status"] == "success", "{expression}: {answer}");
        let samples = answer["data"]["result"].as_array().cloned().context("no result")?;
        let sample = |sample: Value| {
            let value = sample["value"][1].as_str().context("a value")?.parse()?;
            Ok((sample["metric"].clone(), value))
        };
        samples.into_iter().map(sample).collect()
    }

    /// Waits until the answer to a query is as wanted.
    pub(super) fn wait(
        &self,
        what: &str,
        expression: &str,
        wanted: impl Fn(&[(Value, f64)]) -> bool,
    ) -> Result<Vec<(Value, f64)>> {
        let mut last = String::new();
        let answer = wait_for(what, LIMIT, || {
            // It takes a moment until it listens.
            let answer = self.query(expression);
            last = format!("{answer:?}");
            Ok(answer.ok().filter(|samples| wanted(samples)))
        });
        answer.with_context(|| {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            format!("{expression}: the last answer: {last}\nits log:\n{log}")
        })
    }

    /// The rules that it evaluates: name, whether all was well, and what was wrong.
    pub(super) fn rules(&self) -> Result<Vec<Value>> {
        let answer = self.ask("/api/v1/rules")?;
        let groups = answer["data"]["groups"].as_array().cloned().context("no groups")?;
        let rules = groups.iter().flat_map(|group| group["rules"].as_array().into_iter().flatten());
        Ok(rules.cloned().collect())
    }

    fn ask(&self, path: &str) -> Result<Value> {
        let request = format!("GET {path} HTTP/1.0\r\nHost: {AT}\r\n\r\n");
        let answer = self.netns.run(|| -> io::Result<String> {
            let mut stream = TcpStream::connect_timeout(&AT, LIMIT)?;
            stream.set_read_timeout(Some(LIMIT))?;
            stream.write_all(request.as_bytes())?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        })??;
        let (_, body) = answer.split_once("\r\n\r\n").context("no body")?;
        serde_json::from_str(body).with_context(|| format!("{path}: {answer}"))
    }
}

/// As a value in a URL.
fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
