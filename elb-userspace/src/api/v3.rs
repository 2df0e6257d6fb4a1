//! The ELB V3 API over HTTP: operations and models as `data/elb_v3.json` has them, on the documents of a store.

pub mod apply;
mod authentication;
mod bodies;
mod call;
mod checking;
pub mod described;
pub(in crate::api) mod face;
mod failures;
mod field;
mod further;
mod identity;
mod ids;
mod key_file;
pub mod keys;
mod list;
pub mod local;
mod member_checks;
pub mod openapi;
mod operations;
mod page;
mod query;
mod refusal;
mod replays;
pub(in crate::api) mod requests;
mod resources;
mod route;
mod server;
mod signature;
mod signed_dates;
mod table;
pub mod untrusted;
mod validation;

pub use self::failures::wrong_credentials;
pub use self::requests::requests;
pub use self::resources::{ApiHost, ApiLimits, MemberHealths};
pub use self::server::{ApiFiles, ApiServer};
pub use self::signed_dates::SignedGap;

#[cfg(test)]
pub(in crate::api) mod tests;
