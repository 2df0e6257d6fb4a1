//! The API of version 2, as OpenStack's clients (Octavia) and those of the cloud speak it: a translation. Every change
//! is an operation of the V3 API, on the same resources.

mod attributes;
mod dialect;
mod fixed;
mod list;
mod listed;
mod networks;
mod path;
mod request;
mod server;
mod shown;
mod tags;
mod versions;

pub use self::server::router;

#[cfg(test)]
mod tests;
