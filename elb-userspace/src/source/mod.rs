//! Where models come from.

pub mod api;
pub mod file;
pub mod flow_log;
pub mod import;
mod metrics;
pub mod notify;
pub mod settings;
pub mod sflow;
pub mod store;
pub mod subnet;
pub mod unreadable;
