//! `elb lb`, `listener`, `pool`, `member`, `healthmonitor` and `ipgroup`: resources of the API, over the agent's socket.

mod asking;
mod body;
mod command;
mod completing;
mod kind;
mod print;

use std::net::IpAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::{Value, json};

use self::asking::{Agent, Refused, id, within};
use self::command::Asked;
pub(super) use self::command::ResourceCommand;
use self::kind::{KINDS, ResourceKind};
use super::written::Written;
use super::{block_on, failure};
use crate::source::store::DocumentKind;

/// How often it is asked how far the data path is.
const LOOK: Duration = Duration::from_millis(100);

pub(super) fn run<const KIND: usize>(command: &ResourceCommand<KIND>) -> Result<ExitCode> {
    let ResourceCommand(asked) = command;
    match block_on(done(&KINDS[KIND], asked)) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            let Some(refused) = error.downcast_ref::<Refused>() else { return Err(error) };
            let code = ExitCode::from(refused.exit);
            failure::report(&error, asked.written().of_errors());
            Ok(code)
        }
    }
}

impl Asked {
    fn text(&self, name: &str) -> Option<&str> {
        self.matches.try_get_one::<String>(name).ok().flatten().map(String::as_str)
    }

    fn is_set(&self, name: &str) -> bool {
        matches!(self.matches.try_get_one::<bool>(name), Ok(Some(true)))
    }

    fn pairs(&self, name: &str) -> Vec<(String, String)> {
        let all = self.matches.try_get_many::<(String, String)>(name).ok().flatten();
        all.into_iter().flatten().cloned().collect()
    }

    fn written(&self) -> Written {
        self.matches.try_get_one("output").ok().flatten().copied().unwrap_or_default()
    }

    /// How long to wait until the data path has it; `None`: not at all.
    fn wait(&self) -> Option<Duration> {
        let timeout = self.matches.try_get_one::<Duration>("wait-timeout").ok().flatten();
        timeout.copied().filter(|_| self.is_set("wait"))
    }
}

async fn done(kind: &ResourceKind, asked: &Asked) -> Result<()> {
    let project = asked.text("project").map(str::to_owned);
    let agent = Agent { socket: asked.agent.path()?, project };
    let resource = asked.text("resource").unwrap_or_default();
    match &*asked.verb {
        "create" => print::one(&create(kind, asked, &agent).await?, asked.written()),
        "set" => print::one(&set(kind, asked, &agent, resource).await?, asked.written()),
        "delete" => delete(kind, asked, &agent, resource).await,
        "show" => print::one(&agent.find(kind, resource).await?, asked.written()),
        _ => {
            let mut filters = asked.pairs("filter");
            if let Some(pool) = asked.text("pool") {
                let pool = agent.find(kind::of(DocumentKind::Pool), pool).await?;
                filters.push(("pool_id".to_owned(), id(&pool).to_owned()));
            }
            print::many(&agent.list(kind, &filters).await?, kind.columns, asked.written())
        }
    }
}

async fn create(kind: &ResourceKind, asked: &Asked, agent: &Agent) -> Result<Value> {
    let mut body = body::body(kind, asked, agent).await?;
    body::complete(kind, &mut body);
    if asked.is_set("if-not-exists")
        && let Some(known) = known(kind, agent, &body).await?
    {
        wait(kind, asked, agent, &known, Vec::new()).await?;
        return Ok(known);
    }
    let (one, many) = kind.keys();
    let path = match (kind.kind, body.remove("pool_id")) {
        (DocumentKind::Member, Some(Value::String(pool))) => format!("pools/{pool}/{many}"),
        (_, pool) => {
            body.extend(pool.map(|pool| ("pool_id".to_owned(), pool)));
            many
        }
    };
    let made = within(kind, agent.call("POST", &path, Some(&json!({one: body}))).await?)?;
    wait(kind, asked, agent, &made, Vec::new()).await?;
    agent.find(kind, id(&made)).await
}

/// The resource that is there already: of this name, or where there may be only one.
async fn known(
    kind: &ResourceKind,
    agent: &Agent,
    body: &serde_json::Map<String, Value>,
) -> Result<Option<Value>> {
    let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let pair = |key: &str, value: String| (key.to_owned(), value);
    let mut filters = match kind.kind {
        DocumentKind::Member => {
            // The API has it in its shortest form.
            let given = text("address");
            let address = given.parse::<IpAddr>().map_or(given, |address| address.to_string());
            vec![pair("pool_id", text("pool_id")), pair("address", address)]
        }
        DocumentKind::HealthMonitor => {
            let pool = agent.find(kind::of(DocumentKind::Pool), &text("pool_id")).await?;
            let monitor = pool["healthmonitor_id"].as_str().unwrap_or_default();
            return if monitor.is_empty() {
                Ok(None)
            } else {
                agent.find_if_any(kind, monitor).await
            };
        }
        DocumentKind::LoadBalancer
        | DocumentKind::Listener
        | DocumentKind::Pool
        | DocumentKind::IpGroup
        | DocumentKind::Job
        | DocumentKind::SecurityPolicy
        | DocumentKind::LogTank
        | DocumentKind::Certificate
        | DocumentKind::ProjectSettings => vec![pair("name", text("name"))],
    };
    if kind.kind == DocumentKind::Listener {
        filters.push(pair("loadbalancer_id", text("loadbalancer_id")));
    }
    if let Some(port) = body.get("protocol_port").filter(|_| kind.kind == DocumentKind::Member) {
        filters.push(pair("protocol_port", port.to_string()));
    }
    let found = agent.list(kind, &filters).await?;
    Ok(found.into_iter().next())
}

async fn set(kind: &ResourceKind, asked: &Asked, agent: &Agent, resource: &str) -> Result<Value> {
    let found = agent.find(kind, resource).await?;
    let before = agent.balancers(kind, &found).await?;
    let body = body::body(kind, asked, agent).await?;
    if body.is_empty() {
        bail!("nothing is to be changed: name an attribute (`elb {} set --help`)", kind.word);
    }
    let (one, _) = kind.keys();
    agent.call("PUT", &Agent::path(kind, &found), Some(&json!({one: body}))).await?;
    let found = agent.find(kind, id(&found)).await?;
    wait(kind, asked, agent, &found, before).await?;
    agent.find(kind, id(&found)).await
}

async fn delete(kind: &ResourceKind, asked: &Asked, agent: &Agent, resource: &str) -> Result<()> {
    let Some(found) = agent.find_if_any(kind, resource).await? else {
        return if asked.is_set("if-exists") {
            Ok(())
        } else {
            agent.find(kind, resource).await.map(drop)
        };
    };
    let before = agent.balancers(kind, &found).await?;
    agent.call("DELETE", &Agent::path(kind, &found), None).await?;
    let is_gone = kind.kind == DocumentKind::LoadBalancer;
    let before = if is_gone { Vec::new() } else { before };
    match asked.wait() {
        Some(time) => active(agent, before, time).await,
        None => Ok(()),
    }
}

/// Waits, if that was asked for, until the load balancers of a resource, and these, are ACTIVE.
async fn wait(
    kind: &ResourceKind,
    asked: &Asked,
    agent: &Agent,
    resource: &Value,
    others: Vec<String>,
) -> Result<()> {
    let Some(time) = asked.wait() else { return Ok(()) };
    let balancers = agent.balancers(kind, resource).await?.into_iter().chain(others).collect();
    active(agent, balancers, time).await
}

async fn active(agent: &Agent, balancers: Vec<String>, time: Duration) -> Result<()> {
    let (begun, kind) = (Instant::now(), kind::of(DocumentKind::LoadBalancer));
    for balancer in balancers {
        loop {
            let found = agent.find(kind, &balancer).await?;
            match found["provisioning_status"].as_str().unwrap_or_default() {
                "ACTIVE" => break,
                "ERROR" => bail!(
                    "it is stored, and load balancer {} cannot be served (`elb status` says why)",
                    found["name"]
                ),
                status if begun.elapsed() + LOOK > time => bail!(
                    "it is stored, and load balancer {} is {status} after {}",
                    found["name"],
                    humantime::format_duration(time)
                ),
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    }
    Ok(())
}
