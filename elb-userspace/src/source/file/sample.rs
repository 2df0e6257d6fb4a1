//! Texts of configurations for tests: one table after the other, each with the keys that it must have.

use super::parse;
use crate::model::Model;

/// A text that grows table by table.
pub(crate) struct Sample(String);

/// A load balancer at 192.0.2.10.
pub(crate) fn balancer(name: &str) -> Sample {
    let agent = "[agent]\ninterfaces = [\"eth0\"]\n".to_owned();
    let address = "vip_address = \"192.0.2.10\"";
    Sample(agent).keys("[[load_balancer]]").keys(&format!("name = \"{name}\"\n{address}"))
}

impl Sample {
    /// A TCP listener of the load balancer.
    pub(crate) fn listener(self, name: &str, port: u16, pool: &str) -> Self {
        self.keys("[[load_balancer.listener]]\nprotocol = \"TCP\"")
            .keys(&format!("name = \"{name}\"\nprotocol_port = {port}\ndefault_pool = \"{pool}\""))
    }

    /// A TCP pool.
    pub(crate) fn pool(self, name: &str) -> Self {
        let keys = "protocol = \"TCP\"\nforwarding = \"ipip\"";
        self.keys("[[pool]]").keys(&format!("name = \"{name}\"\n{keys}"))
    }

    /// A member of the last pool.
    pub(crate) fn member(self, address: &str, port: u16) -> Self {
        let keys = format!("address = \"{address}\"\nprotocol_port = {port}");
        self.keys("[[pool.member]]").keys(&keys)
    }

    /// Lines at the end: more keys of the last table.
    pub(crate) fn keys(self, lines: &str) -> Self {
        Self(self.0 + lines + "\n")
    }

    pub(crate) fn text(self) -> String {
        self.0
    }

    pub(crate) fn model(&self) -> Model {
        parse("sample", &self.0).unwrap_or_else(|errors| panic!("{errors}")).model
    }
}
