//! Chaos: real connections while the host under the load balancer changes, other programs meddle, and
//! the agent dies.
//!
//! After each event everything is as the file wants it within ten seconds (twenty where a member has
//! another Ethernet address and says so to no one). No connection with a member
//! that the event leaves alone waits for long, and whatever does not work is said. `ELB_LAB_CHAOS` is
//! how many seconds it lasts; the seed is printed, and `ELB_LAB_SEED` repeats it.
//!
//! The wall clock that is set is the agent's (`ELB_LAB_CLOCK` of `elb-next`), since the machine's is everyone's,
//! and no namespace has one of its own. That it decides nothing is also said without a lab
//! (`agent/members/tests.rs`).

mod event;
mod host;
mod scene;
mod watch;

use std::{
    ops::Range,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use elb_tests::{
    client::{HeldConnections, Passing, PassingConnections, Talk},
    environment,
};

use self::{
    event::{Event, Events},
    host::Host,
    scene::{MEMBERS, Scene, problems},
    watch::Watch,
};

/// Seconds, unless `ELB_LAB_CHAOS` says how many.
const SECONDS: usize = 45;
const HELD: usize = 200;
const BEAT: Duration = Duration::from_millis(200);
/// A client repeats what was lost while the interface was away, later and later.
const PATIENCE: Duration = Duration::from_secs(30);
/// Connections that come and go.
const EVERY: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_secs(1);
/// Their ports, so many that shares of connections are not those of a few flows that come again and again.
pub(crate) const PORTS: Range<u16> = 200..10_000;

/// The longest that a connection may wait which no event concerns.
const WAIT: Duration = Duration::from_secs(3);
/// Waiting connections that the agent has no word about.
const SILENCE: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(100);
const PAUSE: Duration = Duration::from_secs(1);

#[test]
fn what_happens_to_the_host_is_put_right_and_said() -> Result<()> {
    let seed = environment::number("ELB_LAB_SEED", fastrand::usize(..))?;
    println!("ELB_LAB_SEED={seed}");
    let mut scene = Scene::start()?;
    let talk = Talk { target: scene.service(), beat: BEAT, patience: PATIENCE };
    let held = HeldConnections::open_for(scene.lab.client(), HELD, talk)?;
    let passing = Passing { talk, every: EVERY, longest: LONGEST, ports: PORTS, seed: seed as u64 };
    let passing = PassingConnections::start(scene.lab.client(), passing)?;
    let events = Events::new(MEMBERS, seed as u64);
    let mut chaos = Chaos { events, history: Vec::new(), host: scene.host()? };
    let outcome = chaos.run(&mut scene, &held);
    // Not an error but a panic, which makes the agent show its log.
    outcome.unwrap_or_else(|error| panic!("seed {seed}: {error:#}\n{}", chaos.history.join("\n")));
    println!("{}", chaos.history.join("\n"));
    let (held, passed) = (held.stop()?, passing.stop()?);
    for broken in held.broken().iter().chain(&passed.broken()) {
        println!("broken: {broken:?}");
    }
    assert_eq!((held.broken().len(), passed.broken().len()), (0, 0), "connections broke");
    println!("{HELD} connections held, {} came and went", passed.connections.len());
    Ok(())
}

/// Events, and what came of them.
struct Chaos {
    events: Events,
    history: Vec<String>,
    /// As it was before.
    host: Host,
}

impl Chaos {
    fn run(&mut self, scene: &mut Scene, held: &HeldConnections) -> Result<()> {
        let end = Duration::from_secs(environment::number("ELB_LAB_CHAOS", SECONDS)? as u64);
        let begun = Instant::now();
        while begun.elapsed() < end {
            let event = self.events.next();
            let outcome = self.put_right(scene, held, event);
            let at = begun.elapsed().as_secs_f64();
            self.history.push(match &outcome {
                Ok(outcome) => format!("{at:6.2} s {event}: {outcome}"),
                Err(_) => format!("{at:6.2} s {event}: NOT put right"),
            });
            outcome.with_context(|| event.to_string())?;
            sleep(PAUSE.mul_f64(self.events.random()));
        }
        Ok(())
    }

    /// Makes it happen, and waits until all is as the file wants it. What came of it, in words.
    fn put_right(
        &mut self,
        scene: &mut Scene,
        held: &HeldConnections,
        event: Event,
    ) -> Result<String> {
        let mut watch = Watch::begin(&held.so_far(), Instant::now());
        std::thread::scope(|scope| -> Result<()> {
            let making = scope.spawn(|| scene.make(event));
            while !making.is_finished() {
                sleep(LOOK);
                watch.look(&held.so_far(), Instant::now());
            }
            making.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })?;
        let made = Instant::now();
        let mut last = scene.agent.status()?;
        let mut silent_since: Option<Instant> = None;
        let all = |_: &str| true;
        let untouched = |name: &str| {
            let touched = event.touches();
            touched.is_none() || scene.member_called(name) != touched
        };
        // What was taken away is missed after a moment.
        let is_right = |watch: &Watch, last: &_| {
            made.elapsed() >= PAUSE
                && scene.is_as_wanted(last)
                && scene.host().is_ok_and(|host| host == self.host)
                && !watch.is_silent(5 * BEAT, Instant::now(), all)
        };
        while !is_right(&watch, &last) {
            ensure!(
                made.elapsed() < event.restored_within(),
                "not as the file wants it after {:?}; problems {:?}; host: {}; {last}",
                event.restored_within(),
                problems(&last),
                scene.host()?.differs_from(&self.host)
            );
            sleep(LOOK);
            watch.look(&held.so_far(), Instant::now());
            last = scene.agent.status()?;
            let silent =
                watch.is_silent(SILENCE, Instant::now(), untouched) && scene.is_as_wanted(&last);
            let since = silent.then(|| *silent_since.get_or_insert_with(Instant::now));
            ensure!(
                since.is_none_or(|since| since.elapsed() < SILENCE),
                "connections get no answer, and all is said to be well: {last}"
            );
            silent_since = since;
        }
        let took = made.elapsed();
        let broken = held.first_broken();
        ensure!(broken.is_none(), "a connection broke: {broken:?}");
        let longest = watch.longest(untouched);
        ensure!(
            event.cuts_the_interface() || longest <= WAIT,
            "a connection waited for {longest:?}"
        );
        Ok(format!("right after {took:.1?}, the longest wait {longest:.1?}"))
    }
}
