//! A lab: a client, a load balancer and backends, each in a network namespace, joined by a switch.

mod builder;

use std::{
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

pub use self::builder::Builder;
use crate::{
    address::{Families, Family, Host, Network},
    host::PinDir,
    netns::NetNs,
    process,
    server::Server,
    topology::{self, DEVICE, Switch},
    veth::{self, End},
    wait::{STUCK, wait_for_interrupt},
    xdp::XdpPass,
};

/// A running lab; dropping it removes all of it.
#[derive(Debug)]
pub struct Lab {
    pass: XdpPass,
    pins: PinDir,
    files: TempDir,
    shape: Builder,
    client: NetNs,
    lb: NetNs,
    standby: Option<(NetNs, XdpPass)>,
    backends: Vec<NetNs>,
    router: Option<NetNs>,
    switch: Switch,
}

impl Lab {
    /// A lab to be described.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The client's namespace.
    pub fn client(&self) -> &NetNs {
        &self.client
    }

    /// The load balancer's namespace.
    pub fn lb(&self) -> &NetNs {
        &self.lb
    }

    /// The namespace of the second load balancer, in a lab that has one.
    pub fn standby(&self) -> &NetNs {
        let (netns, _) = self.standby.as_ref().expect("a lab with a second load balancer");
        netns
    }

    /// Lets the client find the load-balanced IPv4 address at `host`, a load balancer, for good and
    /// whatever the address is announced by.
    pub fn lead_client_to(&self, host: Host) -> Result<()> {
        let [a, b, c, d, e, f] = host.mac(self.shape.arms.client_network(), false);
        let mac = format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
        let vip = self.vip4();
        let line = format!("neigh replace {vip} lladdr {mac} dev {DEVICE} nud permanent");
        self.client.ip(&line).map(drop)
    }

    /// Takes the load balancer's device of the clients' network away, as when its driver goes.
    pub fn remove_lb_device(&self) -> Result<()> {
        let (_, device) = self.shape.arms.devices()[0];
        self.lb.ip(&format!("link del {device}")).map(drop)
    }

    /// Makes that device again: the same name, Ethernet address and addresses, another index.
    pub fn make_lb_device(&mut self) -> Result<()> {
        let mtu = self.shape.mtu;
        let ports: Result<Vec<String>> = self.shape.arms.devices()[..1]
            .iter()
            .map(|(network, device)| {
                self.switch.connect(&self.lb, device, Host::LoadBalancer, *network, mtu)
            })
            .collect();
        let ports = ports?;
        let ports: Vec<&str> = ports.iter().map(String::as_str).collect();
        self.pass = XdpPass::attach(self.switch.netns(), &ports)?;
        self.switch.wait_until_forwarding()
    }

    /// Connects another device of the load balancer to the backends' segment, with this last byte of its
    /// Ethernet address.
    pub fn add_lb_device(&self, device: &str, last: u8) -> Result<XdpPass> {
        let port = format!("b-{device}");
        let end = |netns: &NetNs, name: &str, mac| End {
            netns: netns.clone(),
            name: name.to_owned(),
            mac,
            mtu: self.shape.mtu,
            addresses: Vec::new(),
        };
        let near = end(&self.lb, device, [2, 0, 0, 0, 0xbb, last]);
        let far = end(self.switch.netns(), &port, [2, 0, 0, 0, 0xcc, last]);
        veth::join(&near, &far)?;
        self.switch.netns().ip(&format!("link set {port} master back"))?;
        self.switch.wait_until_forwarding()?;
        XdpPass::attach(self.switch.netns(), &[&port])
    }

    /// Pulls the load balancer's cable out of the switch, or puts it back in.
    pub fn set_lb_cable(&self, state: &str) -> Result<()> {
        let (network, _) = self.shape.arms.devices()[0];
        let port = topology::port(Host::LoadBalancer, network);
        self.switch.netns().ip(&format!("link set {port} {state}")).map(drop)
    }

    /// Pulls all cables of a load balancer out of the switch, or puts them back in.
    pub fn set_cables_of(&self, host: Host, state: &str) -> Result<()> {
        for (network, _) in self.shape.arms.devices() {
            let port = topology::port(host, *network);
            self.switch.netns().ip(&format!("link set {port} {state}"))?;
        }
        Ok(())
    }

    /// The namespace of a backend, counted from 0.
    pub fn backend(&self, index: usize) -> &NetNs {
        &self.backends[index]
    }

    /// The namespaces of all backends.
    pub fn backends(&self) -> &[NetNs] {
        &self.backends
    }

    /// The namespace of the router that joins the networks of a two-armed lab: devices front, back.
    pub fn router(&self) -> &NetNs {
        self.router.as_ref().expect("a two-armed lab has a router")
    }

    /// What the server of a backend calls itself.
    pub fn backend_name(&self, index: usize) -> String {
        name_of(index)
    }

    /// The versions of IP that this lab speaks.
    pub fn families(&self) -> Families {
        self.shape.families
    }

    /// The load balancer's devices: lb0, and in a two-armed lab lb1, which goes to the backends.
    pub fn lb_interfaces(&self) -> Vec<&'static str> {
        self.shape.arms.devices().iter().map(|(_, device)| *device).collect()
    }

    /// The device of every host but the load balancer and the router.
    pub fn device(&self) -> &'static str {
        DEVICE
    }

    /// The load-balanced address of `family`.
    pub fn vip(&self, family: Family) -> IpAddr {
        self.shape.arms.client_network().address(family, Host::Vip)
    }

    /// The load-balanced IPv4 address.
    pub fn vip4(&self) -> IpAddr {
        self.vip(Family::V4)
    }

    /// The load-balanced IPv6 address.
    pub fn vip6(&self) -> IpAddr {
        self.vip(Family::V6)
    }

    /// A port of the load-balanced address of `family`.
    pub fn service(&self, family: Family, port: u16) -> SocketAddr {
        SocketAddr::new(self.vip(family), port)
    }

    /// The address of a backend, counted from 0.
    pub fn member_addr(&self, index: usize, family: Family) -> IpAddr {
        let index = u8::try_from(index).expect("a lab has at most 32 backends");
        Network::Back.address(family, Host::Backend(index))
    }

    /// The addresses of `family` that tunnel packets of the load balancers come from: the one's, and
    /// the standby's, by either arm.
    pub fn lb_addrs(&self, family: Family) -> Vec<IpAddr> {
        let arms = self.shape.arms.devices().iter().map(|(network, _)| *network);
        let both = [Host::LoadBalancer, Host::Standby];
        let mut all: Vec<IpAddr> =
            arms.flat_map(|network| both.map(|host| network.address(family, host))).collect();
        all.sort_unstable();
        all
    }

    /// Makes the load balancer the backends' route to everything else, which their answers take then.
    pub fn route_backends_through_lb(&self) -> Result<()> {
        for backend in self.backends() {
            for family in self.families().list() {
                let lb = Network::Back.address(*family, Host::LoadBalancer);
                backend.ip(&format!("route replace default via {lb} dev {DEVICE}"))?;
            }
        }
        Ok(())
    }

    /// Lets the load balancer's kernel forward what it gets, by whatever interface its answer would leave.
    pub fn lb_forwards(&self) -> Result<()> {
        topology::make_router(&self.lb, self.families())
    }

    /// Takes the load balancer out of the clients' network of a two-armed lab: clients reach it, and it reaches
    /// them, by the router, on the backends' segment.
    pub fn leave_front(&self) -> Result<()> {
        self.lb.ip("link set lb0 down")?;
        for family in self.families().list() {
            let router = Network::Back.address(*family, Host::Router);
            self.lb.ip(&format!("route replace default via {router} dev lb1"))?;
        }
        Ok(())
    }

    /// A virtual address on the backends' segment.
    pub fn back_vip(&self, family: Family) -> IpAddr {
        Network::Back.address(family, Host::Vip)
    }

    /// The options of `elb backend up` that name the load balancers; none where there is no tunnel.
    pub fn from_lbs(&self, mode: &str) -> Vec<String> {
        let families = self.families().list();
        let families = if mode == "l2" { &[][..] } else { families };
        let all = families.iter().flat_map(|family| self.lb_addrs(*family));
        all.flat_map(|address| ["--from".to_owned(), address.to_string()]).collect()
    }

    /// The address of the client.
    pub fn client_addr(&self, family: Family) -> IpAddr {
        self.shape.arms.client_network().address(family, Host::Client)
    }

    /// A directory for configuration, sockets and logs of this lab.
    pub fn files(&self) -> &Path {
        self.files.path()
    }

    /// A directory for pins of this lab in the BPF file system.
    pub fn pins(&self) -> &Path {
        self.pins.path()
    }

    /// A name that is free for the pins of backend `index`.
    pub(crate) fn backend_pins(&self, index: usize) -> PathBuf {
        self.pins().join(name_of(index))
    }

    /// Starts a server with the usual ports in every backend.
    pub fn serve(&self) -> Result<Vec<Server>> {
        let named = self.backends.iter().enumerate();
        named.map(|(index, netns)| Server::start(netns, &name_of(index))).collect()
    }

    /// Pulls the cable of a backend out of the switch: from now on it is silent.
    pub fn unplug(&self, index: usize) -> Result<()> {
        self.set_cable(index, "down")
    }

    /// Puts the cable of a backend back in, and waits until its port forwards.
    pub fn plug(&self, index: usize) -> Result<()> {
        self.set_cable(index, "up")?;
        self.switch.wait_until_forwarding()
    }

    /// The switch forgets from now on who is where: it sends every frame to everyone.
    pub fn flood(&self) -> Result<()> {
        self.switch.netns().ip("link set back type bridge ageing_time 0").map(drop)
    }

    /// Whether the client joins packets that it sends (TSO, GSO), and the switch leaves them so on their way
    /// to the load balancer: as between virtual machines of one host.
    pub fn join_packets(&self, on: bool) -> Result<()> {
        let state = if on { "on" } else { "off" };
        let port = topology::port(Host::LoadBalancer, Network::Back);
        for (netns, device) in [(self.switch.netns(), &*port), (&self.client, DEVICE)] {
            let mut command = netns.command("ethtool");
            command.args(["-K", device, "tx", state, "tso", state, "gso", state]);
            process::output(command, STUCK)?;
        }
        Ok(())
    }

    /// Hosts leave checksums and segments to their devices, and join what comes in, as they do unless they are set
    /// otherwise. The switch computes them where a cable leaves it, as a card does before the wire.
    pub fn offload(&self) -> Result<()> {
        let one = |netns| (netns, vec![DEVICE]);
        let mut hosts: Vec<(&NetNs, Vec<&str>)> = self.backends.iter().map(one).collect();
        hosts.extend([one(&self.client), (&self.lb, self.lb_interfaces())]);
        hosts.extend(self.router.iter().map(|router| (router, vec!["front", "back"])));
        for (netns, devices) in hosts {
            for device in devices {
                offload(netns, device, "on")?;
            }
        }
        Ok(())
    }

    /// Whether the switch's ports to the load balancer compute checksums; if not, packets between hosts of this
    /// machine come to it without.
    pub fn compute_checksums(&self, on: bool) -> Result<()> {
        let state = if on { "off" } else { "on" };
        for (network, _) in self.shape.arms.devices() {
            let port = topology::port(Host::LoadBalancer, *network);
            offload(self.switch.netns(), &port, state)?;
        }
        Ok(())
    }

    /// Runs lines of a shell in the switch, where the other ends of all devices are.
    pub fn at_the_switch(&self, lines: &str) -> Result<()> {
        let mut command = self.switch.netns().command("sh");
        command.args(["-ec", lines]);
        process::output(command, STUCK).map(drop)
    }

    fn set_cable(&self, index: usize, state: &str) -> Result<()> {
        let index = u8::try_from(index).context("a lab has at most 32 backends")?;
        let port = topology::port(Host::Backend(index), Network::Back);
        self.switch.netns().ip(&format!("link set {port} {state}")).map(drop)
    }

    /// How to get a shell in each namespace.
    pub fn how_to_enter(&self) -> String {
        let mut text = String::new();
        let mut say = |role: &str, netns: &NetNs| {
            writeln!(text, "{role:<11} {}", netns.how_to_enter()).expect("a string takes text");
        };
        say("client", &self.client);
        say("lb", &self.lb);
        if let Some((standby, _)) = &self.standby {
            say("standby", standby);
        }
        for (index, backend) in self.backends.iter().enumerate() {
            say(&name_of(index), backend);
        }
        if let Some(router) = &self.router {
            say("router", router);
        }
        say("switch", self.switch.netns());
        text
    }

    /// Prints how to enter and keeps the lab until Ctrl-C or SIGTERM.
    pub fn hold(&self) -> Result<()> {
        println!("{}held until Ctrl-C", self.how_to_enter());
        wait_for_interrupt()
    }
}

/// Whether a device computes checksums, makes segments, and joins them.
fn offload(netns: &NetNs, device: &str, state: &str) -> Result<()> {
    let mut command = netns.command("ethtool");
    command.args(["-K", device]);
    command.args(["tx", "tso", "gso", "gro"].iter().flat_map(|what| [*what, state]));
    process::output(command, STUCK).map(drop)
}

fn name_of(index: usize) -> String {
    format!("backend-{index}")
}
