//! A resource as the API has it, without what follows from others.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::model::ResourceId;
use crate::model::value::{Invalid, choice};

/// Attributes by their names.
pub type Body = Map<String, Value>;

choice! {
    /// What a document describes.
    DocumentKind {
        /// A load balancer.
        LoadBalancer = "loadbalancer",
        /// A listener.
        Listener = "listener",
        /// A backend server group.
        Pool = "pool",
        /// A backend server.
        Member = "member",
        /// How the members of a pool are probed.
        HealthMonitor = "healthmonitor",
        /// Networks under a name.
        IpGroup = "ipgroup",
        /// Which TLS HTTPS listeners take.
        SecurityPolicy = "security_policy",
        /// Where an access log goes.
        LogTank = "logtank",
        /// What HTTPS listeners show, or judge their clients by.
        Certificate = "certificate",
        /// What a project has set for itself.
        ProjectSettings = "project_settings",
        /// What was asked for under one name for all of it.
        Job = "job",
    }
    not yet: [], use "a kind of resource"
}

impl DocumentKind {
    /// The attributes that refer to other resources.
    pub(super) const fn references(self) -> &'static [&'static str] {
        match self {
            Self::Listener => &["loadbalancer_id", "default_pool_id", "ipgroup"],
            Self::Pool | Self::LogTank => &["loadbalancer_id"],
            Self::Member | Self::HealthMonitor => &["pool_id"],
            Self::LoadBalancer
            | Self::IpGroup
            | Self::Job
            | Self::SecurityPolicy
            | Self::Certificate
            | Self::ProjectSettings => &[],
        }
    }

    /// Whether a configuration file has resources of this kind: others are of the API alone.
    pub const fn is_in_files(self) -> bool {
        match self {
            Self::LoadBalancer
            | Self::Listener
            | Self::Pool
            | Self::Member
            | Self::HealthMonitor
            | Self::IpGroup => true,
            Self::Job
            | Self::SecurityPolicy
            | Self::LogTank
            | Self::Certificate
            | Self::ProjectSettings => false,
        }
    }
}

/// The attributes that are private keys: no record, no message and no log has them.
pub const SECRETS: [&str; 2] = ["private_key", "enc_private_key"];

/// What is shown in the place of a private key.
pub const MASK: &str = "*****";

/// Puts the mask into the place of all private keys.
pub fn mask(body: &mut Body) {
    for key in SECRETS {
        if let Some(Value::String(text)) = body.get_mut(key)
            && !text.is_empty()
        {
            MASK.clone_into(text);
        }
    }
}

/// A resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// What it is.
    pub kind: DocumentKind,
    /// Which one.
    pub id: ResourceId,
    /// Whose it is.
    pub project: String,
    /// What was asked for, with defaults.
    pub body: Body,
    /// In the order of their keys.
    pub tags: BTreeMap<String, String>,
    /// When it was made: UTC, to the second.
    pub created: String,
    /// When it was changed last.
    pub updated: String,
    /// The revision of the store that it was made with.
    pub first: u64,
    /// The revision of the store that it was changed with last.
    pub revision: u64,
}

impl Document {
    /// Its attributes as records have them: without private keys.
    pub fn recorded(&self) -> Body {
        let mut body = self.body.clone();
        mask(&mut body);
        body
    }

    /// A text attribute; empty if there is none.
    pub fn text(&self, key: &str) -> &str {
        self.body.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    /// A reference to another document: its id, or a table with the id.
    pub fn reference(&self, key: &str) -> Option<ResourceId> {
        let value = self.body.get(key)?;
        let id = value.as_object().map_or(Some(value), |table| table.get(&format!("{key}_id")));
        id?.as_str()?.parse().ok()
    }

    /// A switch; on if it is not there.
    pub fn is_on(&self, key: &str) -> bool {
        self.body.get(key).and_then(Value::as_bool).unwrap_or(true)
    }

    /// A switch; off if it is not there.
    pub fn is_set(&self, key: &str) -> bool {
        self.body.get(key).and_then(Value::as_bool).unwrap_or(false)
    }

    /// A number; 0 if it is not there.
    pub fn number(&self, key: &str) -> i64 {
        self.body.get(key).and_then(Value::as_i64).unwrap_or(0)
    }
}
