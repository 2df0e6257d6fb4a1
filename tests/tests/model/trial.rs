//! A script, played in a world before the eyes of the oracle.

use proptest::prelude::*;

use crate::host::Host;
use crate::oracle::{Oracle, Span};
use crate::script::{FLOWS, MEMBERS, Packet, Pool, Script, Step};
use crate::world::{Datapath, World};

/// Whether all promises were kept.
pub fn run(datapath: &mut impl Datapath, script: &Script) -> Result<(), TestCaseError> {
    let mut world = World::new(datapath, &script.pool);
    let mut oracle = Oracle::new(script.pool.clone());
    let mut steps = script.steps.iter();
    let result = steps
        .try_for_each(|step| play(&mut world, &mut oracle, *step))
        .and_then(|()| comes_to_rest(&mut world, oracle.pool()));
    world.leave();
    result
}

fn play(
    world: &mut World<'_, impl Datapath>,
    oracle: &mut Oracle,
    step: Step,
) -> Result<(), TestCaseError> {
    if let Step::Wait(milliseconds) = step {
        world.datapath.pass(milliseconds);
    }
    let from = world.datapath.clock();
    world.cut();
    oracle.look(Span { from, to: world.datapath.clock() });
    match step {
        Step::Wait(_) => {}
        Step::Settle => world.settle(),
        Step::Restart => world.restart(),
        Step::Change(change) => {
            let mut pool = oracle.pool().clone();
            pool.apply(change);
            world.follow(&pool);
            oracle.change(change, Span { from, to: world.datapath.clock() });
        }
        Step::Send(flow, packet) => {
            if oracle.may_send(flow, packet) {
                let member = world.send(flow, packet);
                let span = Span { from, to: world.datapath.clock() };
                oracle.look(span);
                oracle.sent((flow, packet), member, span)?;
            }
        }
    }
    oracle.look(Span { from, to: world.datapath.clock() });
    Ok(())
}

/// When all flows are silent, every slot settles. The ring then tells nothing of its past: whoever
/// has the same pool sends a flow to the same member.
fn comes_to_rest(world: &mut World<'_, impl Datapath>, pool: &Pool) -> Result<(), TestCaseError> {
    // Where flows are cut meanwhile, slots are watched for as long again.
    for _ in 0..=MEMBERS {
        world.datapath.pass(pool.idle * 1000 + 3000);
        world.cut();
        world.settle();
    }
    prop_assert!(!world.is_moving, "slots go on moving, although nothing needs them to");
    if pool.algorithm.is_tracked() {
        return Ok(());
    }
    let mut host = Host::default();
    let mut other = World::new(&mut host, pool);
    for flow in 1..=FLOWS {
        let [here, there] = [world.send(flow, Packet::Opening), other.send(flow, Packet::Opening)];
        prop_assert_eq!(here, there, "flow {} differs from another load balancer's", flow);
    }
    Ok(())
}
