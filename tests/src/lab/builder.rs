//! How a lab is built: namespace by namespace, each connected as it is made.

use anyhow::{Result, ensure};

use super::{Lab, name_of};
use crate::{
    address::{Families, Host, Network},
    host,
    netns::NetNs,
    topology::{self, Arms, CLIENT_MTU, DEVICE, Switch},
    xdp::XdpPass,
};

const MOST_BACKENDS: u8 = 32;

/// The greatest packet between load balancer and backends: room for every encapsulation.
const TUNNEL_MTU: u32 = 1600;

/// What a lab shall look like.
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    backends: u8,
    pub(super) families: Families,
    pub(super) arms: Arms,
    pub(super) mtu: u32,
    has_standby: bool,
}

impl Default for Builder {
    fn default() -> Self {
        let (families, arms, mtu) = (Families::V4, Arms::One, TUNNEL_MTU);
        Self { backends: 2, families, arms, mtu, has_standby: false }
    }
}

impl Builder {
    /// How many backends, 1 to 32; 2 if not said.
    pub fn backends(mut self, backends: u8) -> Self {
        self.backends = backends;
        self
    }

    /// Which versions of IP it speaks; IPv4 if not said.
    pub fn families(mut self, families: Families) -> Self {
        self.families = families;
        self
    }

    /// Clients and backends in networks of their own, with a device of the load balancer in each.
    pub fn two_armed(mut self) -> Self {
        self.arms = Arms::Two;
        self
    }

    /// The greatest packet behind the load balancer; 1600 if not said. With 1500, a full packet of
    /// a client does not fit into a tunnel.
    pub fn mtu(mut self, mtu: u32) -> Self {
        self.mtu = mtu;
        self
    }

    /// With a second load balancer, which may take the place of the first.
    pub fn standby(mut self) -> Self {
        self.has_standby = true;
        self
    }

    /// Builds it; when this returns, every host reaches every other.
    pub fn start(self) -> Result<Lab> {
        ensure!(
            (1..=MOST_BACKENDS).contains(&self.backends),
            "a lab has 1 to {MOST_BACKENDS} backends, not {}",
            self.backends
        );
        let switch = Switch::new(self.arms, self.families)?;
        let (client, client_router) = self.connect_client(&switch)?;
        let (lb, pass) = self.connect_load_balancer(&switch, "lb", Host::LoadBalancer)?;
        let connect = || self.connect_load_balancer(&switch, "standby", Host::Standby);
        let standby = self.has_standby.then(connect).transpose()?;
        let backends = self.connect_backends(&switch)?;
        switch.wait_until_forwarding()?;
        Ok(Lab {
            pass,
            pins: host::PinDir::create()?,
            files: host::files()?,
            shape: self,
            client,
            lb,
            standby,
            backends,
            router: client_router,
            switch,
        })
    }

    fn connect_client(&self, switch: &Switch) -> Result<(NetNs, Option<NetNs>)> {
        let client = topology::host("client", self.families)?;
        // Connections by the ten thousand: a new one must find a port.
        client.sysctl("ipv4/ip_local_port_range", "1024 65535")?;
        client.sysctl("ipv4/tcp_tw_reuse", "1")?;
        let network = self.arms.client_network();
        // On the backends' segment too, a client sends no more than 1500 bytes at once.
        switch.connect(&client, DEVICE, Host::Client, network, CLIENT_MTU)?;
        if self.arms == Arms::One {
            return Ok((client, None));
        }
        let router = topology::host("router", self.families)?;
        topology::make_router(&router, self.families)?;
        switch.connect(&router, "front", Host::Router, Network::Front, CLIENT_MTU)?;
        switch.connect(&router, "back", Host::Router, Network::Back, self.mtu)?;
        topology::route_through_router(&client, network, self.families)?;
        Ok((client, Some(router)))
    }

    fn connect_load_balancer(
        &self,
        switch: &Switch,
        role: &str,
        host: Host,
    ) -> Result<(NetNs, XdpPass)> {
        let lb = topology::host(role, self.families)?;
        let mut ports = Vec::new();
        for (network, device) in self.arms.devices() {
            ports.push(switch.connect(&lb, device, host, *network, self.mtu)?);
        }
        let ports: Vec<&str> = ports.iter().map(String::as_str).collect();
        let pass = XdpPass::attach(switch.netns(), &ports)?;
        Ok((lb, pass))
    }

    fn connect_backends(&self, switch: &Switch) -> Result<Vec<NetNs>> {
        let mut backends = Vec::new();
        for index in 0..self.backends {
            let backend = topology::host(&name_of(index.into()), self.families)?;
            let host = Host::Backend(index);
            switch.connect(&backend, DEVICE, host, Network::Back, self.mtu)?;
            if self.arms == Arms::Two {
                topology::route_through_router(&backend, Network::Back, self.families)?;
            }
            backends.push(backend);
        }
        Ok(backends)
    }
}
