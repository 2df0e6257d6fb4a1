//! A load balancer in a lab.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result};
use elb_tests::address::{Family, Host, Network};
use elb_tests::agent::Agent;
use elb_tests::config::{Config, Forwarding, Pool, Protocol};
use elb_tests::lab::{Builder, Lab};
use elb_tests::netns::NetNs;
use elb_tests::process::{self, Process};
use elb_tests::status;
use elb_tests::wait::wait_for;

use super::programs::{folders, nginx, start, stream};

/// Names of those that translate.
pub const NAT: &str = "elb, nat, two interfaces";
pub const NFT: &str = "nft, DNAT, two interfaces";

const PORT: u16 = 80;
const LIMIT: Duration = Duration::from_secs(15);

/// Something that a client can connect to, with everything behind it.
pub struct Contender {
    pub name: &'static str,
    /// Where the client connects to.
    pub target: SocketAddr,
    // Fields go in this order: what runs ends while its namespace is there.
    _agent: Option<Agent>,
    _programs: Vec<Process>,
    lab: Lab,
}

impl Contender {
    /// A backend itself: what the client and one backend can do.
    pub fn none() -> Result<Self> {
        let (lab, programs) = lab()?;
        let target = SocketAddr::new(lab.member_addr(0, Family::V4), PORT);
        Self::ready("no load balancer, one backend", target, None, programs, lab)
    }

    pub fn haproxy() -> Result<Self> {
        let (lab, mut programs) = lab()?;
        let configuration = format!(
            "global\n  nbthread 2\n  maxconn 4000\n\
             defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 10s\n  timeout server 10s\n\
             frontend web\n  bind :{PORT}\n  default_backend web\n\
             backend web\n  balance roundrobin\n  server a {}\n  server b {}\n",
            backend(&lab, 0),
            backend(&lab, 1)
        );
        programs.push(start(lab.lb(), lab.files(), "haproxy", &configuration, &["-db", "-f"])?);
        Self::on_the_balancer("haproxy, TCP", programs, lab)
    }

    pub fn nginx() -> Result<Self> {
        let (lab, mut programs) = lab()?;
        let module = stream().context("nginx has no module for TCP")?;
        let module = format!("load_module {};", module.display());
        let stream = format!(
            "worker_processes 2;\nstream {{\n  upstream web {{\n    \
             server {};\n    server {};\n  }}\n  server {{ listen {PORT} backlog=4096; proxy_pass \
             web; }}\n}}",
            backend(&lab, 0),
            backend(&lab, 1)
        );
        programs.push(nginx(lab.lb(), lab.files(), &module, &stream)?);
        Self::on_the_balancer("nginx, stream", programs, lab)
    }

    /// Destination NAT by the kernel. Backends answer through it.
    pub fn nft() -> Result<Self> {
        let (lab, programs) = lab()?;
        translate_by_kernel(&lab, balancer())?;
        let client = lab.client_addr(Family::V4);
        for backend in lab.backends() {
            backend.ip(&format!("route add {client}/32 via {}", balancer()))?;
        }
        Self::on_the_balancer("nft, DNAT", programs, lab)
    }

    /// As [`Self::nft`], from the clients' network to that of the backends.
    pub fn nft_between() -> Result<Self> {
        let (lab, programs) = lab_of(Lab::builder().two_armed())?;
        lab.route_backends_through_lb()?;
        let vip = Network::Front.address(Family::V4, Host::LoadBalancer);
        translate_by_kernel(&lab, vip)?;
        Self::ready(NFT, SocketAddr::new(vip, PORT), None, programs, lab)
    }

    /// What [`Self::nft_between`] does.
    pub fn nat() -> Result<Self> {
        let (lab, programs) = lab_of(Lab::builder().two_armed())?;
        lab.route_backends_through_lb()?;
        lab.lb_forwards()?;
        Self::elb_in(NAT, Forwarding::Nat, programs, lab)
    }

    pub fn elb(name: &'static str, mode: Forwarding) -> Result<Self> {
        let (lab, programs) = lab()?;
        lab.backends_up(mode)?;
        Self::elb_in(name, mode, programs, lab)
    }

    fn elb_in(
        name: &'static str,
        mode: Forwarding,
        programs: Vec<Process>,
        lab: Lab,
    ) -> Result<Self> {
        let pool = Pool::of(&lab, "web", Family::V4, Protocol::Tcp, PORT).forwarding(mode);
        let config = Config::new(&lab).balance(&lab, Family::V4, PORT, pool);
        let agent = Agent::start(&lab, &config)?;
        agent.wait_status("all members to serve", LIMIT, status::all_serve)?;
        let target = lab.service(Family::V4, PORT);
        Self::ready(name, target, Some(agent), programs, lab)
    }

    /// Where the client is.
    pub fn client(&self) -> &NetNs {
        self.lab.client()
    }

    fn on_the_balancer(name: &'static str, programs: Vec<Process>, lab: Lab) -> Result<Self> {
        Self::ready(name, SocketAddr::new(balancer(), PORT), None, programs, lab)
    }

    /// Waits until it takes connections.
    fn ready(
        name: &'static str,
        target: SocketAddr,
        agent: Option<Agent>,
        programs: Vec<Process>,
        lab: Lab,
    ) -> Result<Self> {
        wait_for(&format!("{name} to take connections"), LIMIT, || {
            let connect = || TcpStream::connect_timeout(&target, Duration::from_secs(1)).ok();
            Ok(lab.client().run(connect)?.map(drop))
        })?;
        Ok(Self { name, target, _agent: agent, _programs: programs, lab })
    }
}

/// Lets the kernel translate what is for `vip` to both backends.
fn translate_by_kernel(lab: &Lab, vip: IpAddr) -> Result<()> {
    let rules = format!(
        "table ip nat {{\n  chain prerouting {{\n    type nat hook prerouting priority dstnat;\n    \
         ip daddr {vip} tcp dport {PORT} dnat to numgen inc mod 2 map {{ 0 : {}, 1 : {} }}\n  }}\n}}\n",
        lab.member_addr(0, Family::V4),
        lab.member_addr(1, Family::V4)
    );
    let file = lab.files().join("rules.nft");
    fs::write(&file, rules)?;
    let mut nft = lab.lb().command("nft");
    nft.arg("-f").arg(&file);
    process::output(nft, LIMIT)?;
    lab.lb().sysctl("ipv4/ip_forward", "1")?;
    for scope in ["all", "default", "lb0"] {
        lab.lb().sysctl(&format!("ipv4/conf/{scope}/send_redirects"), "0")?;
    }
    // Else the table of connections fills up with those that are over.
    lab.lb().sysctl("netfilter/nf_conntrack_tcp_timeout_time_wait", "1")
}

/// A client, a load balancer that does nothing yet, and two backends with nginx.
fn lab() -> Result<(Lab, Vec<Process>)> {
    lab_of(Lab::builder())
}

fn lab_of(builder: Builder) -> Result<(Lab, Vec<Process>)> {
    let lab = builder.backends(2).start()?;
    for end in [lab.lb(), lab.client()] {
        end.sysctl("ipv4/ip_local_port_range", "1024 65535")?;
        end.sysctl("ipv4/tcp_tw_reuse", "1")?;
    }
    let http = format!(
        "worker_processes 1;\nhttp {{\n  {}\n  access_log off;\n  keepalive_timeout 0;\n  server {{ listen \
         {PORT} backlog=4096; return 200 \"hello\\n\"; }}\n}}",
        folders(lab.files())
    );
    let serve = |netns| nginx(netns, lab.files(), "", &http);
    let programs = lab.backends().iter().map(serve).collect::<Result<_>>()?;
    Ok((lab, programs))
}

fn balancer() -> IpAddr {
    Network::Back.address(Family::V4, Host::LoadBalancer)
}

fn backend(lab: &Lab, index: usize) -> SocketAddr {
    SocketAddr::new(lab.member_addr(index, Family::V4), PORT)
}
