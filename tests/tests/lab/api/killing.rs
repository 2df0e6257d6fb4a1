//! An agent that is killed while clients change something: it comes back with all that it acknowledged, and with nothing
//! that is half made.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

use anyhow::{Context as _, Error, Result, anyhow, bail, ensure};
use elb_tests::{
    wait::{STUCK, wait_for},
    wire::HTTP_PORT,
};
use serde_json::json;

use super::{ApiScene, ENDPOINT, Made, Session, clients::Client as _, clients::Curl, make_service};

/// Kills.
const ROUNDS: u64 = 8;
/// Changes that are acknowledged before each.
const CHANGES: u64 = 6;

/// What a client changes.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Changed {
    /// Of the first member.
    weight: u64,
    /// Two members that are added together, and deleted together.
    has_others: bool,
}

impl Changed {
    /// The next state: the weight is raised, or the others come or go.
    fn next(self, n: u64) -> Self {
        if n.is_multiple_of(2) {
            Self { weight: self.weight % 3 + 1, ..self }
        } else {
            Self { has_others: !self.has_others, ..self }
        }
    }

    /// Asks for this state instead of another.
    fn ask(self, from: Self, client: &mut Curl, made: &Made) -> Result<u16> {
        let pool = json!({"pool_id": made.pool});
        let places = ["10.0.9.1", "10.0.9.2"]
            .map(|address| json!({"address": address, "protocol_port": HTTP_PORT}));
        let others = places.clone().map(|mut other| {
            other["weight"] = json!(0);
            other
        });
        let (op, args, body) = match (from.has_others, self.has_others) {
            (false, true) => ("batch_create_members", pool, json!({"members": others})),
            (true, false) => ("batch_delete_members", pool, json!({"members": places})),
            _ => (
                "update_member",
                json!({"pool_id": made.pool, "member_id": made.members[0]}),
                json!({"member": {"weight": self.weight}}),
            ),
        };
        Ok(client.call(op, &args, &body)?.0)
    }
}

/// Changes something until there is no answer: the last state that was acknowledged, the one without an answer, and
/// what was there in place of it.
fn changes(
    mut client: Curl,
    made: &Made,
    mut last: Changed,
    acknowledged: &AtomicU64,
) -> Result<([Changed; 2], Error)> {
    for n in 0.. {
        let next = last.next(n);
        match next.ask(last, &mut client, made) {
            Ok(status) => ensure!(status < 300, "{next:?} after {last:?}: {status}"),
            Err(why) => return Ok(([last, next], why)),
        }
        acknowledged.fetch_add(1, Ordering::Relaxed);
        last = next;
    }
    bail!("it goes on")
}

/// What the API has now.
fn found(session: &mut Session<'_>, made: &Made) -> Result<Changed> {
    let members = session.get("list_members", json!({"pool_id": made.pool}), "members")?;
    let members = members.as_array().context("members")?;
    let others = members.iter().filter(|one| {
        one["address"].as_str().is_some_and(|address| address.starts_with("10.0.9."))
    });
    let others = others.count();
    ensure!(others == 0 || others == 2, "{others} of two that are added and deleted together");
    let first = members.iter().find(|one| one["id"] == *made.members[0]).context("the member")?;
    let weight = first["weight"].as_u64().context("a weight")?;
    Ok(Changed { weight, has_others: others == 2 })
}

#[test]
fn what_is_acknowledged_outlives_kills() -> Result<()> {
    let mut scene = ApiScene::start()?;
    let (token, project) = (scene.key.token.clone(), scene.key.project.clone());
    let client = |scene: &ApiScene| Curl::new(&scene.lab, ENDPOINT, &token, &project);
    let made = {
        let mut session = Session { client: Box::new(client(&scene)?), scene: &mut scene };
        Arc::new(make_service(&mut session)?)
    };
    let mut last = Changed { weight: 1, has_others: false };
    for _ in 0..ROUNDS {
        let acknowledged = Arc::new(AtomicU64::new(0));
        let writer: JoinHandle<Result<([Changed; 2], Error)>> = {
            let (client, made, acknowledged) =
                (client(&scene)?, made.clone(), acknowledged.clone());
            thread::spawn(move || changes(client, &made, last, &acknowledged))
        };
        wait_for("changes to be acknowledged", STUCK, || {
            let is_enough = acknowledged.load(Ordering::Relaxed) >= CHANGES;
            Ok((is_enough || writer.is_finished()).then_some(()))
        })?;
        ensure!(
            !writer.is_finished(),
            "no answer before the agent was killed: {:?}",
            writer.join()
        );
        scene.agent.kill()?;
        let (known, _) = writer.join().map_err(|_| anyhow!("the client panicked"))??;
        scene.is_served_by(&[0, 1])?;
        scene.agent.restart()?;
        let mut session = Session { client: Box::new(client(&scene)?), scene: &mut scene };
        last = found(&mut session, &made)?;
        ensure!(
            known.contains(&last),
            "{last:?}: {:?} was acknowledged, {:?} asked for",
            known[0],
            known[1]
        );
        session.is_active(&made.lb)?;
        session.scene.is_served_by(&[0, 1])?;
    }
    Ok(())
}
