//! Clients of the API that others made: curl with a token, the public SDK, which signs, and OpenStack's SDK and command.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use elb_tests::{
    environment::python,
    lab::Lab,
    process::{Ended, ended, output},
    wait::STUCK,
};
use serde_json::{Value, json};

/// Calls an operation by its name in the SDK: the status, and the reply or the error.
pub(crate) trait Client {
    fn call(&mut self, op: &str, args: &Value, body: &Value) -> Result<(u16, Value)>;

    /// Whether it speaks version 2 of the API.
    fn is_version_2(&self) -> bool {
        false
    }

    /// Whether it shows how a member is for each listener.
    fn has_statuses_by_listener(&self) -> bool {
        true
    }
}

/// curl, on the load balancer's host, with a token.
pub(crate) struct Curl {
    command: Box<dyn Fn() -> Command + Send>,
    endpoint: String,
    token: String,
    project: String,
    operations: Value,
}

impl Curl {
    pub(crate) fn new(lab: &Lab, endpoint: &str, token: &str, project: &str) -> Result<Self> {
        let table = concat!(env!("CARGO_MANIFEST_DIR"), "/../elb-userspace/data/elb_v3.json");
        let table: Value = serde_json::from_str(&fs::read_to_string(table)?)?;
        let host = lab.lb().clone();
        Ok(Self {
            command: Box::new(move || host.command("curl")),
            endpoint: endpoint.to_owned(),
            token: token.to_owned(),
            project: project.to_owned(),
            operations: table["operations"].clone(),
        })
    }
}

impl Client for Curl {
    fn call(&mut self, op: &str, args: &Value, body: &Value) -> Result<(u16, Value)> {
        let operation = &self.operations[op];
        let text = |key: &str| operation[key].as_str().with_context(|| format!("{op}: {key}"));
        let mut path = text("path")?.replace("{project_id}", &self.project);
        let mut query = Vec::new();
        for (name, value) in args.as_object().context("arguments")? {
            let pattern = format!("{{{name}}}");
            match value.as_str() {
                Some(value) if path.contains(&pattern) => path = path.replace(&pattern, value),
                _ => {
                    let values = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
                    let text = |value: &Value| match value.as_str() {
                        Some(text) => text.to_owned(),
                        None => value.to_string(),
                    };
                    query.extend(values.iter().map(|value| format!("{name}={}", text(value))));
                }
            }
        }
        let mut command = (self.command)();
        command.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "20"]);
        command.args(["--write-out", "\n%{http_code}", "--request", text("method")?]);
        command.args(["--header", &format!("X-Auth-Token: {}", self.token)]);
        if !body.is_null() {
            command.args([
                "--header",
                "Content-Type: application/json",
                "--data",
                &body.to_string(),
            ]);
        }
        command.arg(format!("{}{path}?{}", self.endpoint, query.join("&")));
        let printed = output(command, STUCK)?;
        let (reply, status) =
            printed.trim_end().rsplit_once('\n').with_context(|| printed.clone())?;
        let reply =
            if reply.trim().is_empty() { Value::Null } else { serde_json::from_str(reply)? };
        Ok((status.parse()?, reply))
    }
}

/// A public SDK, on the load balancer's host.
pub(crate) struct Sdk {
    script: &'static str,
    is_version_2: bool,
    child: Child,
    calls: ChildStdin,
    replies: BufReader<ChildStdout>,
}

/// The certificate that clients trust, among the files of a lab, where the API is served by TLS.
pub(crate) const TRUSTED: &str = "api-cert.pem";

/// The script that runs the cloud's SDK.
const OWN: &str = "sdk.py";

impl Sdk {
    /// The cloud's: endpoint, access, secret and project are its arguments.
    pub(crate) fn start(lab: &Lab, arguments: [&str; 4]) -> Result<Self> {
        Self::run(lab, OWN, &arguments, false)
    }

    /// The cloud's, with version 2 of the API.
    pub(crate) fn version_2(
        lab: &Lab,
        [endpoint, access, secret, project]: [&str; 4],
    ) -> Result<Self> {
        Self::run(lab, OWN, &[endpoint, access, secret, project, "v2"], true)
    }

    /// OpenStack's, or the cloud's extensions of it: the name of the proxy, endpoint, token and project are its
    /// arguments.
    pub(crate) fn openstack(lab: &Lab, arguments: [&str; 4]) -> Result<Self> {
        Self::run(lab, "openstack_sdk.py", &arguments, arguments[0] != "vlb")
    }

    fn run(
        lab: &Lab,
        script: &'static str,
        arguments: &[&str],
        is_version_2: bool,
    ) -> Result<Self> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(script);
        let mut command = lab.lb().command(python()?);
        command.arg(path).args(arguments);
        alone(&mut command, lab);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let calls = child.stdin.take().context("its input")?;
        let replies = BufReader::new(child.stdout.take().context("its output")?);
        Ok(Self { script, is_version_2, child, calls, replies })
    }
}

/// Clients write into their home as soon as they are loaded, and ask a proxy where one is named.
fn alone(command: &mut Command, lab: &Lab) {
    command.env("HOME", lab.files());
    for name in ["NO_PROXY", "no_proxy"] {
        command.env(name, "127.0.0.1,::1");
    }
    let trusted = lab.files().join(TRUSTED);
    if trusted.exists() {
        command.env("REQUESTS_CA_BUNDLE", trusted);
    }
}

/// `openstack loadbalancer`, on the load balancer's host: how it ends with these words.
pub(crate) fn openstack(lab: &Lab, endpoint: &str, token: &str, words: &[&str]) -> Result<Ended> {
    let mut command = lab.lb().command(python()?.with_file_name("openstack"));
    command.args(["--os-auth-type", "admin_token", "--os-endpoint", endpoint, "--os-token", token]);
    command.arg("loadbalancer").args(words);
    alone(&mut command, lab);
    ended(command, STUCK)
}

impl Client for Sdk {
    fn is_version_2(&self) -> bool {
        self.is_version_2
    }

    fn has_statuses_by_listener(&self) -> bool {
        self.script == OWN && !self.is_version_2
    }

    fn call(&mut self, op: &str, args: &Value, body: &Value) -> Result<(u16, Value)> {
        let mut call = json!({"op": op, "args": args});
        if !body.is_null() {
            call["body"] = body.clone();
        }
        writeln!(self.calls, "{call}")?;
        let mut line = String::new();
        ensure!(self.replies.read_line(&mut line)? > 0, "the SDK ended at {op}");
        let reply: Value = serde_json::from_str(&line)?;
        let status = reply["status"].as_u64().and_then(|status| status.try_into().ok());
        let status = status.with_context(|| format!("{op}: {reply}"))?;
        let error = || {
            ensure!(reply["request_id"].as_str().is_some_and(|id| id.len() == 32), "{reply}");
            Ok(json!({"error_code": reply["code"], "error_msg": reply["message"]}))
        };
        Ok((status, if status < 300 { reply["reply"].clone() } else { error()? }))
    }
}

impl Drop for Sdk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
