//! The ELB V3 API over HTTP: operations and models as `data/elb_v3.json` has them, on the documents of a store.

pub mod apply;
mod authentication;
mod call;
pub mod described;
pub(in crate::api) mod face;
mod failures;
mod field;
mod further;
pub mod keys;
mod list;
pub mod local;
mod member_checks;
mod operations;
mod query;
mod refusal;
mod resources;
mod route;
mod server;
mod signature;
mod table;
mod validation;

pub use self::resources::{ApiLimits, MemberHealths};
pub use self::server::ApiServer;

#[cfg(test)]
pub(in crate::api) mod tests;
