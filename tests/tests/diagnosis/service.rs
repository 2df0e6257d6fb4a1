//! The service on the member's host: stopped, too busy, or turning the load balancer away.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::Result;
use elb_tests::{
    config::{Forwarding, HealthMonitor, MonitorKind},
    lab::Lab,
    netns::NetNs,
    running::Running,
    server::{Ports, Server},
    wire::{HTTP_PORT, Service},
};
use socket2::{Domain, Protocol, Socket, Type};

use crate::scene::{self, Scene, at_once, is_named};

const GRPC_PORT: u16 = 50051;

/// Acceptance 101.
#[test]
fn a_service_that_is_stopped_is_not_listening() -> Result<()> {
    let mut scene = Scene::start(HealthMonitor::quick(MonitorKind::Http))?;
    scene.servers[0].kill()?;
    let report = scene.names(0, "listening")?;
    assert!(report.evidence().contains("not listening"), "{}", report.evidence());
    for check in ["security-group", "network-acl", "route", "neighbor", "itself"] {
        assert_eq!(report.outcome(check), "pass", "{check}: {:#}", report.said);
    }
    scene.servers[0].restart()?;
    scene.repaired(0)
}

/// Acceptance 103, first half: a service behind tcp wrappers.
#[test]
fn an_entry_in_hosts_deny_is_named() -> Result<()> {
    let mut scene = Scene::start(HealthMonitor::quick(MonitorKind::Http))?;
    scene.servers[0].kill()?;
    let wrapped = Wrapped::start(&scene.lab, 0)?;
    scene.repaired(0)?;

    fs::write(&wrapped.deny, "ALL: 10.0.0.2\n")?;
    let report = scene.names(0, "hosts-deny")?;
    assert!(report.evidence().contains("/etc/hosts.deny"), "{}", report.evidence());
    assert!(report.fix().contains("remove the entry that covers 10.0.0.2"), "{}", report.fix());
    fs::write(&wrapped.deny, "")?;
    scene.repaired(0)
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

/// One takes requests and answers none, one is stopped, and one closes each connection: from outside
/// as tcp wrappers do, whose files clear them.
#[test]
fn services_that_do_not_answer_are_distinguished() -> Result<()> {
    let mut scene = Scene::start_in(Lab::builder().backends(3), |lab| {
        Ok(scene::config(lab, Forwarding::Ipip, HealthMonitor::quick(MonitorKind::Http)))
    })?;
    scene.servers[0].kill()?;
    let offers = [(Service::Silent, HTTP_PORT)];
    let silent = Server::start_with(scene.lab.backend(0), "silent", &offers, None)?;
    let stopped = scene.servers[1].id();
    scene.run(1, &format!("kill -STOP {stopped}"))?;
    scene.servers[2].kill()?;
    let mut command = scene.lab.backend(2).command("socat");
    command.args([&format!("TCP4-LISTEN:{HTTP_PORT},fork,reuseaddr"), "SYSTEM:exit 1"]);
    let failing = Running::start("a service that fails", command)?;

    at_once(3, |index| {
        if index == 2 {
            let report = scene.names_with_host(2, "listening")?;
            is_named(
                &report,
                "listening",
                "closes each before anything is sent, and hosts.deny is",
            );
            return Ok(());
        }
        let report = scene.names(index, "load")?;
        is_named(&report, "load", "takes connections, but the service answers none within 1s");
        assert_eq!(report.all_that("fail"), Vec::<&str>::new(), "{:#}", report.said);
        Ok(())
    })?;
    let report = scene.names_with_host(1, "load")?;
    is_named(&report, "load", &format!("lab-server (process {stopped}) is stopped"));
    scene.follow(1, &report, &[])?;
    drop((silent, failing));
    for index in [0, 2] {
        scene.servers[index].restart()?;
    }
    at_once(3, |index| scene.repaired(index))
}

/// The kernel takes connections for it, and it cannot take them from the kernel.
#[test]
fn a_service_without_free_descriptors_is_named_by_its_host() -> Result<()> {
    let scene = Scene::start(HealthMonitor::quick(MonitorKind::Http))?;
    let process = scene.servers[0].id();
    // A new one is the lowest that is free: no more than those below it. A probe may have it while it is
    // looked for, so that the lowest of a few looks counts.
    let look = format!("n=0; while [ -e /proc/{process}/fd/$n ]; do n=$((n+1)); done; echo $n");
    let looks = format!("for look in 1 2 3 4 5; do {look}; sleep 0.1; done | sort -n | head -n 1");
    scene.run(0, &format!("prlimit --pid {process} --nofile=$({looks}):"))?;
    let report = scene.names_with_host(0, "load")?;
    is_named(&report, "load", "open files");
    scene.follow(0, &report, &[])?;
    scene.repaired(0)
}

#[test]
fn a_service_that_says_that_it_does_not_serve_is_named() -> Result<()> {
    let scene = Scene::begin(Lab::builder(), |lab| {
        let monitor = HealthMonitor::quick(MonitorKind::Grpc).port(GRPC_PORT);
        Ok(scene::config(lab, Forwarding::Ipip, monitor))
    })?;
    let serve =
        |service| Server::start_with(scene.lab.backend(0), "grpc", &[(service, GRPC_PORT)], None);
    let idle = serve(Service::GrpcNotServing)?;
    scene.wait_for(0, "OFFLINE")?;
    let report = scene.names(0, "listening")?;
    is_named(&report, "listening", "the gRPC check fails");
    assert!(report.fix().contains("the service itself says so"), "{}", report.fix());
    drop(idle);
    let _server = serve(Service::Grpc)?;
    scene.repaired(0)
}

/// The health check has a port of its own, which works: members stay ONLINE, and clients fail.
#[test]
fn a_service_that_is_stopped_behind_a_health_check_that_works_is_named() -> Result<()> {
    let mut scene = Scene::begin(Lab::builder(), |lab| {
        let monitor = HealthMonitor::quick(MonitorKind::Tcp).port(GRPC_PORT);
        Ok(scene::config(lab, Forwarding::Ipip, monitor))
    })?;
    let _health =
        Server::start_with(scene.lab.backend(0), "health", &[(Service::Silent, GRPC_PORT)], None)?;
    scene.repaired(0)?;
    scene.servers[0].kill()?;
    let report = scene.diagnose(0)?;
    is_named(&report, "listening", "succeeds, but clients are sent to 10.0.0.11:80");
    assert!(report.fix().contains("start the service on port 80"), "{}", report.fix());
    scene.servers[0].restart()?;
    scene.repaired(0)
}

/// Acceptance 103, second half: a server that accepts no connection any more.
#[test]
fn a_full_accept_queue_warns_of_load() -> Result<()> {
    let mut scene = Scene::start(HealthMonitor::quick(MonitorKind::Tcp))?;
    scene.servers[0].kill()?;
    let full = Full::start(scene.lab.backend(0), scene.address(0))?;
    let report = scene.names(0, "load")?;
    assert_eq!(report.outcome("load"), "warn", "{:#}", report.said);
    assert!(
        report.evidence().contains("accept queue of the service is full"),
        "{}",
        report.evidence()
    );
    assert_eq!(report.all_that("fail"), Vec::<&str>::new(), "{:#}", report.said);
    drop(full);
    scene.servers[0].restart()?;
    scene.repaired(0)
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
