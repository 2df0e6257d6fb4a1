//! A script, played in a world before the eyes of the oracle.

use proptest::prelude::*;

use crate::host::Host;
use crate::oracle::{Oracle, Span};
use crate::script::{FLOWS, Packet, Pool, Script, Step};
use crate::world::{Datapath, World};

/// Whether all promises were kept.
pub fn run(
    datapath: &mut impl Datapath,
    other: &mut Host,
    script: &Script,
) -> Result<(), TestCaseError> {
    let mut world = World::new(datapath, &script.pool);
    let mut oracle = Oracle::new(script.pool.clone());
    let mut steps = script.steps.iter();
    let result = steps
        .try_for_each(|step| play(&mut world, &mut oracle, *step))
        .and_then(|()| comes_to_rest(&mut world, other, oracle.pool()));
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
///
/// The last change of all is the cut of a member that left, one delay after that. Then a slot is
/// watched for the idle timeout, and 2 s more, as seconds are whole.
fn comes_to_rest(
    world: &mut World<'_, impl Datapath>,
    other: &mut Host,
    pool: &Pool,
) -> Result<(), TestCaseError> {
    world.datapath.pass(pool.drain.map_or(0, |delay| (delay + 1) * 1000));
    world.cut();
    world.datapath.pass((pool.idle + 2) * 1000);
    world.settle();
    prop_assert!(!world.is_moving, "slots go on moving, although nothing needs them to");
    if pool.algorithm.is_tracked() {
        return Ok(());
    }
    let mut other = World::new(other, pool);
    let [here, there] = [answers(world), answers(&mut other)];
    other.leave();
    prop_assert_eq!(here, there, "another load balancer sends flows elsewhere");
    Ok(())
}

/// Where new flows go.
fn answers(world: &mut World<'_, impl Datapath>) -> Vec<Option<u8>> {
    (1..=FLOWS).map(|flow| world.send(flow, Packet::Opening)).collect()
}
