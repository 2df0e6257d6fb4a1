//! A script, played in a world before the eyes of the oracle.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::host::Host;
use crate::oracle::{Oracle, Span};
use crate::packet::Ends;
use crate::script::{FLOWS, Packet, Script, Step, Wanted, listener_of, twin_of};
use crate::world::{Datapath, World};

/// So many histories, those of a thread: the same for the same seed. Others are for `ELB_MODEL_SEED` to choose.
pub fn histories(cases: u32, thread: u32) -> TestRunner {
    let seed: u32 = std::env::var("ELB_MODEL_SEED").map_or(0, |seed| seed.parse().unwrap());
    let config = Config { failure_persistence: None, ..Config::with_cases(cases) };
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&(seed + thread).to_le_bytes());
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

/// Whether all promises were kept.
pub fn run(
    datapath: &mut impl Datapath,
    other: &mut Host,
    script: &Script,
) -> Result<(), TestCaseError> {
    let mut world = World::new(datapath, &script.wanted);
    let mut oracle = Oracle::new(script.wanted.clone());
    let mut steps = script.steps.iter();
    let result = steps
        .try_for_each(|step| play(&mut world, &mut oracle, *step))
        .and_then(|()| comes_to_rest(&mut world, other, oracle.wanted()));
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
        Step::Sweep => {
            world.sweep();
            oracle.swept(Span { from, to: world.datapath.clock() });
        }
        Step::Restart => world.restart(),
        Step::Change(change) => {
            let mut wanted = oracle.wanted().clone();
            wanted.apply(change);
            world.follow(&wanted);
            oracle.change(change, Span { from, to: world.datapath.clock() });
        }
        Step::Send(flow, packet) => {
            if oracle.may_send(flow, packet) {
                let refused = world.datapath.refused();
                let member = world.send(flow, packet);
                let refused = world.datapath.refused() > refused;
                let span = Span { from, to: world.datapath.clock() };
                oracle.look(span);
                oracle.sent((flow, packet), member, refused, span)?;
                answered(world, (flow, packet), member)?;
            }
        }
    }
    oracle.look(Span { from, to: world.datapath.clock() });
    Ok(())
}

/// What a member answers goes to the client, from where that sent its packet to: whatever else the member serves, and
/// whatever changes. A client that resets its connection gets no answer.
fn answered(
    world: &mut World<'_, impl Datapath>,
    (flow, packet): (u8, Packet),
    member: Option<u8>,
) -> Result<(), TestCaseError> {
    let Some(member) = member.filter(|member| world.translates(*member)) else { return Ok(()) };
    if packet != Packet::Rst {
        let back = world.answer(flow, member, packet);
        prop_assert_eq!(back, Some(Ends::of(flow).back()), "the answer to flow {}", flow);
    }
    Ok(())
}

/// When all flows are silent, every slot settles, and nothing of before is left. The rings then show
/// nothing of their past: any agent that has the same pools sends a flow to the same member.
///
/// The last change of all is the cut of a member that left, one delay after that, or the last step of one that
/// rises. Then slots convert
/// after an idle timeout, or four where flows were refused, and settle with the next sweep; seconds are
/// whole.
fn comes_to_rest(
    world: &mut World<'_, impl Datapath>,
    other: &mut Host,
    wanted: &Wanted,
) -> Result<(), TestCaseError> {
    let drain = wanted.pools.iter().filter_map(|pool| pool.drain).max();
    let drain = drain.map_or(0, |delay| delay.max(25) + 1);
    let rise = wanted.pools.iter().map(|pool| pool.slow_start + 1).max().unwrap_or(0);
    world.datapath.pass(drain.max(rise) * 1000);
    world.cut();
    let idle = wanted.listeners.iter().map(|listener| listener.idle).max().unwrap_or(0);
    for _ in 0..5 {
        world.datapath.pass((idle + 2) * 1000);
        world.sweep();
    }
    prop_assert!(world.is_at_rest(), "something goes on, although no flow needs it");
    let mut other = World::new(other, wanted);
    let [here, there] = [answers(world, wanted), answers(&mut other, wanted)];
    other.leave();
    prop_assert_eq!(here, there, "another load balancer sends flows elsewhere");
    Ok(())
}

/// Where new flows go, of listeners whose pools go by a hash. What is noted of flows with a twin lasts for hours, so that
/// others are sent in their place.
fn answers(world: &mut World<'_, impl Datapath>, wanted: &Wanted) -> Vec<Option<u8>> {
    let by_hash =
        |flow: &u8| !wanted.pools[wanted.listeners[listener_of(*flow)].pool].algorithm.is_tracked();
    let new = (1..=FLOWS + 2).filter(|flow| twin_of(*flow).is_none());
    new.filter(by_hash).map(|flow| world.send(flow, Packet::Opening)).collect()
}
