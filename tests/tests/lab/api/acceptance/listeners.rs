//! Ports: which ones listeners may have, and what becomes of packets at those without a listener.

use std::net::{IpAddr, UdpSocket};

use elb_tests::{
    client::{FailureKind, HttpReport, Load, UdpFlows, http_requests, ping},
    server::{Ports, Server},
};

use super::*;

impl ApiScene {
    fn requests_to(&self, port: u16) -> Result<HttpReport> {
        let load = Load { timeout: LIMIT, ..Load::on(self.lab.service(Family::V4, port)) };
        http_requests(self.lab.client(), load, 8)
    }

    /// TCP and UDP to a port are refused, each time.
    fn refuses_packets_to(&self, port: u16) -> Result<()> {
        let kinds: Vec<_> =
            self.requests_to(port)?.failures().iter().map(|failure| failure.kind).collect();
        ensure!(kinds == [FailureKind::Refused; 8], "{port}: {kinds:?}");
        let target = self.lab.service(Family::V4, port);
        let ask = move || {
            let socket = UdpSocket::bind(("0.0.0.0", 0))?;
            socket.connect(target)?;
            socket.set_read_timeout(Some(LIMIT))?;
            socket.send(b"question")?;
            std::io::Result::Ok(socket.recv(&mut [0; 64]).err().map(|error| error.kind()))
        };
        for _ in 0..3 {
            let found = self.lab.client().run(ask)??;
            ensure!(found == Some(std::io::ErrorKind::ConnectionRefused), "{port}: {found:?}");
        }
        Ok(())
    }
}

/// Acceptance 48: UDP has a port next to TCP, and both are served; no other protocol over TCP has it. Acceptance 57: a
/// port without a listener answers with a reset or with "port unreachable", each time.
#[test]
fn ports_are_apart_by_protocol() -> Result<()> {
    let mut scene = ApiScene::start()?;
    let mut session = session(&mut scene)?;
    let lb = session.balancer()?;
    session.echo_service(&lb, "TCP")?;
    session.echo_service(&lb, "UDP")?;
    session.scene.hold(4)?.stop()?;
    UdpFlows::open(session.scene.lab.client(), session.scene.echo(), 4, BEAT)?.stop()?;
    for protocol in ["TCP", "UDP", "HTTP"] {
        let body = json!({"listener": {
            "loadbalancer_id": lb, "protocol": protocol, "protocol_port": ECHO_PORT}});
        session.refuses(
            ("create_listener", json!({}), body),
            (409, "ELB.8907"),
            "is that of listener",
        )?;
    }
    session.scene.refuses_packets_to(HTTP_PORT)?;
    session.scene.refuses_packets_to(65_535)
}

/// Acceptance 50: in a range, members get packets at the port that the client named, and a port beyond it is closed.
#[test]
fn a_range_reaches_the_port_that_the_client_named() -> Result<()> {
    let mut scene = ApiScene::start()?;
    let mut more = Vec::new();
    for (index, netns) in scene.lab.backends().iter().enumerate() {
        for ports in [Ports { http: 1007, echo: 1008 }, Ports { http: 1010, echo: 1011 }] {
            more.push(Server::start_on(netns, &scene.lab.backend_name(index), ports)?);
        }
    }
    let mut session = session(&mut scene)?;
    let lb = session.balancer()?;
    let listener = json!({"loadbalancer_id": lb, "protocol": "TCP", "protocol_port": 0,
        "port_ranges": [{"start_port": 1000, "end_port": 1010}]});
    let listener = session.make("create_listener", json!({}), "listener", listener)?;
    let pool = json!({"listener_id": listener, "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN",
        "any_port_enable": true});
    let pool = session.make("create_pool", json!({}), "pool", pool)?;
    for index in [0, 1] {
        let address = session.scene.lab.member_addr(index, Family::V4).to_string();
        let member = json!({"address": address});
        session.make("create_member", json!({"pool_id": pool}), "member", member)?;
    }
    session.is_active(&lb)?;
    for port in [1007, 1010] {
        let report = session.scene.requests_to(port)?;
        ensure!(report.answered() == 8, "{port}: {:?}", report.failures());
    }
    // Servers listen there, too.
    session.scene.refuses_packets_to(1011)?;
    session.scene.refuses_packets_to(999)
}

/// Acceptance 58: an address answers echo requests while it has a listener, those of a client that the listener keeps
/// out, too.
#[test]
fn an_address_with_a_listener_answers_pings() -> Result<()> {
    let mut scene = ApiScene::start()?;
    let mut session = session(&mut scene)?;
    let (client, vip) = (session.scene.lab.client().clone(), session.scene.lab.vip4());
    let pings = |vip: IpAddr, patience| ping(&client, vip, 3, patience);
    let lb = session.balancer()?;
    session.is_active(&lb)?;
    ensure!(pings(vip, PATIENCE)? == 0, "no listener, and an answer");
    let Made { listener, .. } = session.echo_service(&lb, "TCP")?;
    ensure!(pings(vip, LIMIT)? == 3);
    let group = json!({"ip_list": [{"ip": "0.0.0.0/0"}]});
    let group = session.make("create_ip_group", json!({}), "ipgroup", group)?;
    let access = json!({"ipgroup": {"ipgroup_id": group, "type": "black", "enable_ipgroup": true}});
    session.set("listener", &listener, &lb, access)?;
    session.scene.keeps_out("access_denied")?;
    ensure!(pings(vip, LIMIT)? == 3, "a client that is kept out gets no answer");
    session.done("delete_listener_force", json!({"listener_id": listener}), Value::Null, 204)?;
    session.is_active(&lb)?;
    ensure!(pings(vip, PATIENCE)? == 0, "no listener any more, and an answer");
    Ok(())
}
