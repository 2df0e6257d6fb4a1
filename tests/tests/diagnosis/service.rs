//! The service on the member's host: stopped, too busy, or turning the load balancer away.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::Result;
use elb_tests::{
    config::{HealthMonitor, MonitorKind},
    lab::Lab,
    netns::NetNs,
    running::Running,
    server::{Ports, Server},
    wire::HTTP_PORT,
};
use socket2::{Domain, Protocol, Socket, Type};

use crate::scene::Scene;

/// Acceptance 101.
#[test]
fn a_service_that_is_stopped_is_not_listening() -> Result<()> {
    let mut scene = Scene::start(HealthMonitor::quick(MonitorKind::Http))?;
    scene.servers[0].kill()?;
    let told = scene.names(0, "listening")?;
    assert!(told.evidence().contains("not listening"), "{}", told.evidence());
    for check in ["security-group", "network-acl", "route", "neighbor", "itself"] {
        assert_eq!(told.verdict(check), "pass", "{check}: {:#}", told.said);
    }
    scene.servers[0].restart()?;
    scene.mended(0)
}

/// Acceptance 103, first half: a service behind tcp wrappers.
#[test]
fn an_entry_in_hosts_deny_is_named() -> Result<()> {
    let mut scene = Scene::start(HealthMonitor::quick(MonitorKind::Http))?;
    scene.servers[0].kill()?;
    let wrapped = Wrapped::start(&scene.lab, 0)?;
    scene.mended(0)?;

    fs::write(&wrapped.deny, "ALL: 10.0.0.2\n")?;
    let told = scene.names(0, "hosts-deny")?;
    assert!(told.evidence().contains("/etc/hosts.deny"), "{}", told.evidence());
    assert!(told.fix().contains("remove the entry that covers 10.0.0.2"), "{}", told.fix());
    fs::write(&wrapped.deny, "")?;
    scene.mended(0)
}

/// HTTP behind tcp wrappers, with tables of its own in place of those in `/etc`.
struct Wrapped {
    deny: std::path::PathBuf,
    _wrapper: Running,
    _server: Server,
}

impl Wrapped {
    fn start(lab: &Lab, index: usize) -> Result<Self> {
        const BEHIND: Ports = Ports { http: 8091, echo: 8092 };
        let (deny, allow) = (lab.files().join("hosts.deny"), lab.files().join("hosts.allow"));
        fs::write(&deny, "")?;
        fs::write(&allow, "")?;
        let server = Server::start_on(lab.backend(index), "wrapped", BEHIND)?;
        let listen = format!(
            "TCP4-LISTEN:{HTTP_PORT},fork,reuseaddr,tcpwrap=lab,deny-table={},allow-table={}",
            deny.display(),
            allow.display()
        );
        let mut command = lab.backend(index).command("socat");
        command.arg(listen).arg(format!("TCP4:127.0.0.1:{}", BEHIND.http));
        let wrapper = Running::start("a tcp wrapper", command)?;
        Ok(Self { deny, _wrapper: wrapper, _server: server })
    }
}

/// Acceptance 103, second half: a server that accepts no connection any more.
#[test]
fn a_full_accept_queue_warns_of_load() -> Result<()> {
    let mut scene = Scene::start(HealthMonitor::quick(MonitorKind::Tcp))?;
    scene.servers[0].kill()?;
    let full = Full::start(scene.lab.backend(0), scene.address(0))?;
    let told = scene.names(0, "load")?;
    assert_eq!(told.verdict("load"), "warn", "{:#}", told.said);
    assert!(told.evidence().contains("accept queue of the service is full"), "{}", told.evidence());
    assert_eq!(told.all_that("fail"), Vec::<&str>::new(), "{:#}", told.said);
    drop(full);
    scene.servers[0].restart()?;
    scene.mended(0)
}

/// A socket that listens and never accepts, and connections that fill its queue.
struct Full {
    _listener: Socket,
    _waiting: Vec<Socket>,
}

impl Full {
    fn start(netns: &NetNs, address: IpAddr) -> Result<Self> {
        let address = SocketAddr::new(address, HTTP_PORT);
        netns.run(|| {
            let listener = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
            listener.set_reuse_address(true)?;
            listener.bind(&address.into())?;
            listener.listen(1)?;
            let mut waiting = Vec::new();
            // One more than may wait: the last finds no room.
            for _ in 0..3 {
                let client = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
                let connected = client.connect_timeout(&address.into(), Duration::from_millis(200));
                if connected.is_ok() {
                    waiting.push(client);
                }
            }
            assert_eq!(waiting.len(), 2, "the queue of one has room for two");
            Ok(Self { _listener: listener, _waiting: waiting })
        })?
    }
}
