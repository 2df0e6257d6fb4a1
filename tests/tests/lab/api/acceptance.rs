//! What users of the service rely on, by the API and on packets. Each test says which of the acceptance behaviours it
//! shows, by their numbers.

mod access;
mod limits;
mod listeners;
mod protections;
mod refusals;
mod state;

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use elb_tests::{
    address::Family,
    client::HeldConnections,
    status,
    wait::wait_for,
    wire::{ECHO_PORT, HTTP_PORT},
};
use serde_json::{Value, json};

use super::{ApiScene, Made, Session, make_service};
use crate::scene::LIMIT;

/// How long a client that is to get no answer waits.
const PATIENCE: Duration = Duration::from_millis(500);
const BEAT: Duration = Duration::from_millis(50);

impl ApiScene {
    fn echo(&self) -> SocketAddr {
        self.lab.service(Family::V4, ECHO_PORT)
    }

    /// What `elb explain` says of a first packet of the client to a port.
    fn explained(&self, port: u16) -> Result<Value> {
        let src = self.lab.client_addr(Family::V4).to_string();
        let dst = self.lab.service(Family::V4, port).to_string();
        self.agent.ask(&["explain", "--src", &src, "--dst", &dst, "--proto", "tcp", "--syn"])
    }

    fn packets_of(&self, reason: &str) -> Result<u64> {
        Ok(status::packets_of(&self.agent.status()?, reason))
    }

    /// Whether a new connection to the echo service is answered by a client that waits so long.
    fn attempt(&self, patience: Duration) -> Result<Option<TcpStream>> {
        let target = self.echo();
        let talk = move || {
            let mut stream = TcpStream::connect_timeout(&target, patience)?;
            stream.set_read_timeout(Some(patience))?;
            stream.write_all(b"hello\n")?;
            let count = stream.read(&mut [0; 64])?;
            std::io::Result::Ok((count > 0).then_some(stream))
        };
        Ok(self.lab.client().run(talk)?.ok().flatten())
    }

    /// A new connection to the echo service, which is let in.
    fn let_in(&self) -> Result<TcpStream> {
        self.attempt(LIMIT)?.context("a new connection is not answered")
    }

    /// No new connection to the echo service is let in, and that is counted by this reason.
    fn keeps_out(&self, reason: &str) -> Result<()> {
        let before = self.packets_of(reason)?;
        ensure!(
            self.attempt(PATIENCE)?.is_none(),
            "a client is let in, and not kept out by {reason}"
        );
        ensure!(self.packets_of(reason)? > before, "no packet is counted as {reason}");
        Ok(())
    }

    /// Connections to the echo service that stay.
    fn hold(&self, count: usize) -> Result<HeldConnections> {
        HeldConnections::open(self.lab.client(), self.echo(), count, BEAT)
    }
}

/// Each connection got more answers since it was asked, and none has failed.
fn go_on(held: &HeldConnections) -> Result<()> {
    let before = held.so_far();
    wait_for("answers on every connection", LIMIT, || {
        Ok(held.so_far().is_beyond(&before, 3).then_some(()))
    })?;
    ensure!(held.so_far().broken().is_empty(), "{:?}", held.so_far().broken());
    Ok(())
}

/// Begins with a client for a scene.
fn session(scene: &mut ApiScene) -> Result<Session<'_>> {
    let client = scene.curl()?;
    Ok(Session { client, scene })
}

impl Session<'_> {
    /// A load balancer with the lab's address.
    fn balancer(&mut self) -> Result<String> {
        let vip = self.scene.lab.vip4().to_string();
        let lb = json!({"name": "web", "vip_address": vip, "availability_zone_list": []});
        self.make("create_load_balancer", json!({}), "loadbalancer", lb)
    }

    /// A listener of the echo service with a pool of both backends.
    fn echo_service(&mut self, lb: &str, protocol: &str) -> Result<Made> {
        let listener =
            json!({"loadbalancer_id": lb, "protocol": protocol, "protocol_port": ECHO_PORT});
        let listener = self.make("create_listener", json!({}), "listener", listener)?;
        let pool =
            json!({"listener_id": listener, "protocol": protocol, "lb_algorithm": "ROUND_ROBIN"});
        let pool = self.make("create_pool", json!({}), "pool", pool)?;
        let mut members = Vec::new();
        for index in [0, 1] {
            let address = self.scene.lab.member_addr(index, Family::V4).to_string();
            let member = json!({"address": address, "protocol_port": ECHO_PORT});
            let in_pool = json!({"pool_id": pool});
            members.push(self.make("create_member", in_pool, "member", member)?);
        }
        self.is_active(lb)?;
        Ok(Made { lb: lb.to_owned(), listener, pool, members })
    }

    /// Changes a resource, and waits until packets meet that.
    fn set(&mut self, kind: &str, id: &str, lb: &str, body: Value) -> Result<()> {
        let (op, args) = match kind {
            "loadbalancer" => ("update_load_balancer", json!({"loadbalancer_id": id})),
            "listener" => ("update_listener", json!({"listener_id": id})),
            "pool" => ("update_pool", json!({"pool_id": id})),
            other => anyhow::bail!("no {other}"),
        };
        self.done(op, args, json!({kind: body}), 200)?;
        self.is_active(lb)
    }

    /// Something is refused with this status and code, and said with these words.
    fn refuses(
        &mut self,
        (op, args, body): (&str, Value, Value),
        (status, code): (u16, &str),
        words: &str,
    ) -> Result<()> {
        let (found, reply) = self.call(op, args, body)?;
        let said = reply["error_msg"].as_str().unwrap_or_default();
        ensure!(found == status && reply["error_code"] == code, "{op}: {found} {reply}");
        ensure!(said.contains(words), "{op}: {reply}");
        Ok(())
    }
}
