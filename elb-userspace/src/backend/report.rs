//! What was done, step by step.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;

use super::AttachedMode;
use super::answer_rule::AnswerRule;
use super::service_port::ServicePort;
use super::status::shown;
use super::sysctl::Sysctl;
use crate::model::ipgroup::Cidr;

/// The steps in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct BackendReport {
    /// Whether anything is different now.
    pub changed: bool,
    /// Done, or found done already.
    pub steps: Vec<Step>,
}

/// One step. Its text is a line without an end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "step", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the texts below say what each step is")]
pub enum Step {
    SysctlSet { sysctl: Sysctl, from: i32, to: i32 },
    SysctlAlready { sysctl: Sysctl, value: i32 },
    SysctlRestored { sysctl: Sysctl, from: i32, to: i32 },
    SysctlLeft { sysctl: Sysctl, value: i32, set: i32 },
    SysctlGone { sysctl: Sysctl },
    AddressAdded { vip: IpAddr },
    AddressAlready { vip: IpAddr, interface: String },
    AddressRemoved { vip: IpAddr },
    AddressLeft { vip: IpAddr },
    AddressGone { vip: IpAddr },
    VipAdded { vip: IpAddr },
    VipAlready { vip: IpAddr },
    VipRemoved { vip: IpAddr },
    Upgraded { directory: PathBuf },
    SourcesSet { from: Vec<Cidr>, was: Option<Vec<Cidr>> },
    SourcesAlready { from: Vec<Cidr> },
    SourcesRestored { from: Vec<Cidr> },
    MssSet { route: String, from: u32, to: u32 },
    MssAlready { route: String, mss: u32 },
    MssRestored { route: String, from: u32, to: u32 },
    DefaultRoute { via: IpAddr },
    RouteSet { via: IpAddr, table: u32, was: Option<IpAddr> },
    RouteAlready { via: IpAddr, table: u32 },
    RouteRemoved { via: IpAddr, table: u32 },
    RuleAdded { rule: AnswerRule },
    RuleAlready { rule: AnswerRule },
    RuleRemoved { rule: String },
    RuleRestored { rule: String },
    Attached { interface: String, mode: AttachedMode, native_refused: Option<String> },
    AttachedAlready { interface: String, mode: AttachedMode },
    Detached { interface: String },
    PinsRemoved { directory: PathBuf },
    NotSetUp { vip: Option<IpAddr> },
    PortNotSetUp { port: ServicePort },
}

impl BackendReport {
    /// The report of these steps.
    pub(super) fn of(steps: Vec<Step>) -> Self {
        Self { changed: steps.iter().any(Step::changed), steps }
    }
}

impl Step {
    /// Whether the step made a difference.
    pub fn changed(&self) -> bool {
        match self {
            Self::SysctlSet { .. }
            | Self::SysctlRestored { .. }
            | Self::AddressAdded { .. }
            | Self::AddressRemoved { .. }
            | Self::VipAdded { .. }
            | Self::VipRemoved { .. }
            | Self::Upgraded { .. }
            | Self::MssSet { .. }
            | Self::MssRestored { .. }
            | Self::SourcesSet { .. }
            | Self::SourcesRestored { .. }
            | Self::RouteSet { .. }
            | Self::RouteRemoved { .. }
            | Self::RuleAdded { .. }
            | Self::RuleRemoved { .. }
            | Self::RuleRestored { .. }
            | Self::Attached { .. }
            | Self::Detached { .. }
            | Self::PinsRemoved { .. } => true,
            Self::SysctlAlready { .. }
            | Self::SysctlLeft { .. }
            | Self::SysctlGone { .. }
            | Self::AddressAlready { .. }
            | Self::AddressLeft { .. }
            | Self::AddressGone { .. }
            | Self::VipAlready { .. }
            | Self::SourcesAlready { .. }
            | Self::MssAlready { .. }
            | Self::DefaultRoute { .. }
            | Self::RouteAlready { .. }
            | Self::RuleAlready { .. }
            | Self::AttachedAlready { .. }
            | Self::NotSetUp { .. }
            | Self::PortNotSetUp { .. } => false,
        }
    }
}

impl fmt::Display for BackendReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps.iter().try_for_each(|step| writeln!(f, "{step}"))
    }
}

impl fmt::Display for Step {
    #[expect(clippy::too_many_lines, reason = "one line for each step")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SysctlSet { sysctl, from, to } => write!(f, "set {sysctl} from {from} to {to}"),
            Self::SysctlAlready { sysctl, value } => write!(f, "{sysctl} is {value} already"),
            Self::SysctlRestored { sysctl, from, to } => {
                write!(f, "set {sysctl} back from {from} to {to}")
            }
            Self::SysctlLeft { sysctl, value, set } => {
                write!(f, "left {sysctl} at {value}: the {set} that was set here was changed since")
            }
            Self::SysctlGone { sysctl } => write!(f, "{sysctl} is gone with its interface"),
            Self::AddressAdded { vip } => write!(f, "added {} to lo", host(*vip)),
            Self::AddressAlready { vip, interface } => {
                write!(f, "{} is on {interface} already", host(*vip))
            }
            Self::AddressRemoved { vip } => write!(f, "removed {} from lo", host(*vip)),
            Self::AddressLeft { vip } => {
                write!(f, "left {}: it was there before", host(*vip))
            }
            Self::AddressGone { vip } => write!(f, "{} is not on lo any more", host(*vip)),
            Self::VipAdded { vip } => write!(f, "decap unwraps packets for {vip} now"),
            Self::VipAlready { vip } => write!(f, "decap unwraps packets for {vip} already"),
            Self::VipRemoved { vip } => write!(f, "decap unwraps packets for {vip} no more"),
            Self::MssSet { route, from, to } => {
                write!(f, "set advmss of the route {route} from {} to {to}", unset(*from))
            }
            Self::MssAlready { route, mss } => {
                write!(f, "advmss of the route {route} is {mss} already")
            }
            Self::MssRestored { route, from, to } => {
                write!(f, "set advmss of the route {route} back from {from} to {}", unset(*to))
            }
            Self::Upgraded { directory } => {
                write!(f, "took over what an older version pinned in {}", directory.display())
            }
            Self::SourcesSet { from, was: None } => {
                write!(f, "decap takes packets from {} only", shown(from))
            }
            Self::SourcesSet { from, was: Some(was) } => {
                write!(
                    f,
                    "decap takes packets from {} now, no more from {}",
                    shown(from),
                    shown(was)
                )
            }
            Self::SourcesAlready { from } => {
                write!(f, "decap takes packets from {} already", shown(from))
            }
            Self::SourcesRestored { from } => {
                write!(f, "decap takes packets from {} again", shown(from))
            }
            Self::DefaultRoute { via } => {
                write!(
                    f,
                    "the default route leads to {via} already: answers go there, nothing is needed"
                )
            }
            Self::RouteSet { via, table, was: None } => {
                write!(f, "set the default route of table {table} to {via}")
            }
            Self::RouteSet { via, table, was: Some(was) } => {
                write!(f, "set the default route of table {table} from {was} to {via}")
            }
            Self::RouteAlready { via, table } => {
                write!(f, "the default route of table {table} leads to {via} already")
            }
            Self::RouteRemoved { via, table } => {
                write!(f, "removed the default route of table {table} to {via}")
            }
            Self::RuleAdded { rule } => write!(f, "added {rule}"),
            Self::RuleAlready { rule } => write!(f, "{rule} is there already"),
            Self::RuleRemoved { rule } => write!(f, "removed {rule}"),
            Self::RuleRestored { rule } => write!(f, "added {rule} again"),
            Self::Attached { interface, mode, native_refused: None } => {
                write!(f, "attached decap to {interface} ({})", mode.name())
            }
            Self::Attached { interface, mode, native_refused: Some(why) } => {
                write!(
                    f,
                    "attached decap to {interface} ({}, which is slower: the driver refused native \
                     XDP: {why})",
                    mode.name()
                )
            }
            Self::AttachedAlready { interface, mode } => {
                write!(f, "decap is attached to {interface} already ({})", mode.name())
            }
            Self::Detached { interface } => write!(f, "detached decap from {interface}"),
            Self::PinsRemoved { directory } => {
                write!(f, "removed the pins in {}", directory.display())
            }
            Self::NotSetUp { vip: Some(vip) } => write!(f, "{vip} is not set up here"),
            Self::PortNotSetUp { port } => {
                write!(f, "answers of {port} are not led through a load balancer here")
            }
            Self::NotSetUp { vip: None } => f.write_str("no virtual address is set up here"),
        }
    }
}

/// A size of segments; 0 is that of the interface.
fn unset(mss: u32) -> String {
    if mss == 0 { "none".to_owned() } else { mss.to_string() }
}

/// An address with the prefix it has on `lo`.
fn host(vip: IpAddr) -> String {
    format!("{vip}/{}", if vip.is_ipv4() { 32 } else { 128 })
}
