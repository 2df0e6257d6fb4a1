//! Questions to the agent: operations of the API, by names as well as by ids.

use std::path::PathBuf;

use anyhow::{Result, anyhow, bail};
use serde_json::{Map, Value};

use super::kind::{self, ResourceKind};
use crate::api::client::{self, ApiAnswer};
use crate::model::ResourceId;
use crate::source::store::DocumentKind;

/// Resources of a page.
const PAGE: usize = 1000;

/// The agent, and whose resources are meant.
pub(super) struct Agent {
    pub(super) socket: PathBuf,
    pub(super) project: Option<String>,
}

/// Why the API refused, with the exit code for that.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct Refused {
    pub(super) exit: u8,
    message: String,
}

impl Refused {
    /// There is no such resource.
    pub(super) const NONE: u8 = 3;
    /// Another one is in the way.
    const IN_THE_WAY: u8 = 4;

    fn none(kind: &ResourceKind, text: &str) -> anyhow::Error {
        let message =
            format!("there is no {} {text:?}: `elb {} list` shows all", kind.noun, kind.word);
        Self { exit: Self::NONE, message }.into()
    }
}

impl Agent {
    /// An operation of the API: its answer.
    pub(super) async fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value> {
        let project = self.project.as_deref().unwrap_or("%7Bproject_id%7D");
        let path = format!("/v3/{project}/elb/{path}");
        let ApiAnswer { status, body } = client::api(&self.socket, method, &path, body).await?;
        if status < 300 {
            return Ok(body);
        }
        let text = |key: &str| body[key].as_str().unwrap_or_default();
        let exit = match status {
            404 => Refused::NONE,
            409 => Refused::IN_THE_WAY,
            _ => 1,
        };
        let message = format!(
            "{} ({}, request {})",
            text("error_msg"),
            text("error_code"),
            text("request_id")
        );
        Err(Refused { exit, message }.into())
    }

    /// All resources of a kind that these filters let through.
    pub(super) async fn list(
        &self,
        kind: &ResourceKind,
        filters: &[(String, String)],
    ) -> Result<Vec<Value>> {
        let (_, many) = kind.keys();
        let (mut all, mut marker): (Vec<Value>, Option<String>) = (Vec::new(), None);
        loop {
            let mut query = filters.to_vec();
            query.push(("limit".to_owned(), PAGE.to_string()));
            query.extend(marker.take().map(|marker| ("marker".to_owned(), marker)));
            let query = serde_urlencoded::to_string(&query)?;
            let mut page = self.call("GET", &format!("{many}?{query}"), None).await?;
            all.extend(page[&many].as_array_mut().map(std::mem::take).unwrap_or_default());
            match page["page_info"]["next_marker"].as_str() {
                Some(next) => marker = Some(next.to_owned()),
                None => return Ok(all),
            }
        }
    }

    /// The resource that a text names.
    pub(super) async fn find(&self, kind: &ResourceKind, text: &str) -> Result<Value> {
        let mut found = self.candidates(kind, text).await?;
        if found.len() > 1 {
            let ids: Vec<&str> = found.iter().map(id).collect();
            bail!("{text:?} is the name of several resources, use an id: {}", ids.join(", "));
        }
        found.pop().ok_or_else(|| Refused::none(kind, text))
    }

    /// As [`Self::find`]; `None`: there is none.
    pub(super) async fn find_if_any(
        &self,
        kind: &ResourceKind,
        text: &str,
    ) -> Result<Option<Value>> {
        match self.find(kind, text).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if is_none(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn candidates(&self, kind: &ResourceKind, text: &str) -> Result<Vec<Value>> {
        let filter = |key: &str, value: &str| vec![(key.to_owned(), value.to_owned())];
        if text.parse::<ResourceId>().is_ok() {
            let by_id = self.list(kind, &filter("id", text)).await?;
            if !by_id.is_empty() {
                return Ok(by_id);
            }
        }
        let by_name = self.list(kind, &filter("name", text)).await?;
        if !by_name.is_empty() {
            return Ok(by_name);
        }
        match kind.kind {
            DocumentKind::Member => self.by_address(kind, text).await,
            DocumentKind::Listener => {
                let Some((lb, name)) = text.split_once('/') else { return Ok(Vec::new()) };
                let balancer =
                    Box::pin(self.find(kind::of(DocumentKind::LoadBalancer), lb)).await?;
                let mut filters = filter("name", name);
                filters.extend(filter("loadbalancer_id", id(&balancer)));
                self.list(kind, &filters).await
            }
            DocumentKind::HealthMonitor => {
                let pools = Box::pin(self.candidates(kind::of(DocumentKind::Pool), text)).await?;
                let mut found = Vec::new();
                for pool in pools.iter().filter_map(|pool| pool["healthmonitor_id"].as_str()) {
                    if !pool.is_empty() {
                        found.extend(self.list(kind, &filter("id", pool)).await?);
                    }
                }
                Ok(found)
            }
            DocumentKind::LoadBalancer
            | DocumentKind::Pool
            | DocumentKind::IpGroup
            | DocumentKind::Job
            | DocumentKind::SecurityPolicy
            | DocumentKind::LogTank
            | DocumentKind::Certificate
            | DocumentKind::ProjectSettings => Ok(Vec::new()),
        }
    }

    /// Members by their address, or address and port.
    async fn by_address(&self, kind: &ResourceKind, text: &str) -> Result<Vec<Value>> {
        let socket: Option<std::net::SocketAddr> = text.parse().ok();
        let address = socket.map(|socket| socket.ip()).or_else(|| text.parse().ok());
        let Some(address) = address else { return Ok(Vec::new()) };
        let mut found = self.list(kind, &[("address".to_owned(), address.to_string())]).await?;
        found.retain(|member| {
            socket.is_none_or(|socket| member["protocol_port"] == u64::from(socket.port()))
        });
        Ok(found)
    }

    /// The path of a resource.
    pub(super) fn path(kind: &ResourceKind, resource: &Value) -> String {
        let (_, many) = kind.keys();
        if kind.kind == DocumentKind::Member {
            let pool = resource["pool_id"].as_str().unwrap_or_default();
            return format!("pools/{pool}/{many}/{}", id(resource));
        }
        format!("{many}/{}", id(resource))
    }

    /// The load balancers that a resource belongs to.
    pub(super) async fn balancers(
        &self,
        kind: &ResourceKind,
        resource: &Value,
    ) -> Result<Vec<String>> {
        let ids = |value: &Value| -> Vec<String> {
            let all = value.as_array().into_iter().flatten();
            all.filter_map(|one| one["id"].as_str().map(str::to_owned)).collect()
        };
        let above = match kind.kind {
            DocumentKind::LoadBalancer => return Ok(vec![id(resource).to_owned()]),
            DocumentKind::Job
            | DocumentKind::SecurityPolicy
            | DocumentKind::LogTank
            | DocumentKind::Certificate
            | DocumentKind::ProjectSettings => {
                return Ok(Vec::new());
            }
            DocumentKind::Listener | DocumentKind::Pool => {
                return Ok(ids(&resource["loadbalancers"]));
            }
            DocumentKind::Member => (
                DocumentKind::Pool,
                resource["pool_id"].as_str().map(str::to_owned).into_iter().collect(),
            ),
            DocumentKind::HealthMonitor => (DocumentKind::Pool, ids(&resource["pools"])),
            DocumentKind::IpGroup => (DocumentKind::Listener, ids(&resource["listeners"])),
        };
        let (kind, above): (_, Vec<String>) = above;
        let mut all = Vec::new();
        for text in above {
            let one = match self.find(kind::of(kind), &text).await {
                Err(error) if is_none(&error) && kind == DocumentKind::Pool => bail!(
                    "{} belongs to a master/slave pool, which the API alone changes, as a whole (docs/api.md)",
                    id(resource)
                ),
                found => found?,
            };
            all.extend(ids(&one["loadbalancers"]));
        }
        Ok(all)
    }
}

/// Whether an error says that there is no such resource.
pub(super) fn is_none(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Refused>().is_some_and(|refused| refused.exit == Refused::NONE)
}

/// The id of a resource.
pub(super) fn id(resource: &Value) -> &str {
    resource["id"].as_str().unwrap_or_default()
}

/// A resource in the answer to an operation.
pub(super) fn within(kind: &ResourceKind, mut answer: Value) -> Result<Value> {
    let (one, _) = kind.keys();
    let found: Option<&mut Map<String, Value>> = answer.as_object_mut();
    found.and_then(|all| all.remove(one)).ok_or_else(|| anyhow!("the agent's answer has no {one}"))
}
