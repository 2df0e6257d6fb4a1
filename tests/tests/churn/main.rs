//! Churn: ten thousand connections, held for a minute in which members come and go, change their
//! weights, are drained, crash, fall silent and recover at random, and the listener changes its pool.
//!
//! The held connections are with steady members, which are never removed and never fail. Others
//! come and go all the time, are with any member, and use the same ports again and again; some stay for
//! seconds, more for moments, and most are generated: thousands a second. A connection may break only if
//! its own member was out of order meanwhile.
//!
//! The seed of the changes is printed; `ELB_LAB_SEED` repeats them, if not their effect to the
//! millisecond.

mod change;
mod scene;
mod trouble;

use std::{
    env,
    fmt::Write as _,
    ops::Range,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use elb_tests::{
    client::{HeldConnection, HeldConnections, HeldReport, Passing, PassingConnections, Talk},
    generated::Stream,
    wait::wait_for,
};

use self::{
    change::{Change, Changes},
    scene::{FREE_PORTS, OTHERS, STEADY, Scene},
    trouble::Troubles,
};

/// Connections with steady members.
const HELD: usize = 10_000;
/// 3,300 lines a second on all of them, which is half a core for everyone who has part in it.
const BEAT: Duration = Duration::from_secs(3);
/// Forty connections a second come, stay for six seconds on average, and talk twice a second.
const EVERY: Duration = Duration::from_millis(25);
const LONGEST: Duration = Duration::from_secs(12);
const PASSING_BEAT: Duration = Duration::from_millis(500);
/// Their ports, none of them one that the kernel gives to held connections. One is used again after
/// twenty seconds, so that its slot has moved and settled meanwhile, or has not.
const PORTS: Range<u16> = FREE_PORTS.start..1_000;
/// Up to five hundred more a second stay for moments.
const BRIEF_EVERY: Duration = Duration::from_millis(2);
const BRIEF_LONGEST: Duration = Duration::from_millis(200);
const BRIEF_PORTS: Range<u16> = 1_000..FREE_PORTS.end;
/// Generated connections a second: at least, and what is tried.
const CROWD: u32 = 3_000;
const CROWD_TRIED: u32 = 2 * CROWD;
/// How long an answer may take. Longer than a load on this machine can make it.
const PATIENCE: Duration = Duration::from_secs(20);

const CHURN: Duration = Duration::from_secs(60);
/// From one change to the next: half a second, and up to one and a half more.
const PAUSE: Duration = Duration::from_millis(500);
const MORE: f64 = 1.5;
/// From one look at the agent's status to the next.
const LOOK: Duration = Duration::from_millis(250);

#[test]
fn ten_thousand_connections_outlive_a_minute_of_random_changes() -> Result<()> {
    let seed = seed()?;
    println!("ELB_LAB_SEED={seed}");
    let scene = Scene::start()?;
    let talk = Talk { target: scene.service(), beat: BEAT, patience: PATIENCE };
    let held = HeldConnections::open_for(scene.lab.client(), HELD, talk)?;
    let passing = Passing {
        talk: Talk { beat: PASSING_BEAT, ..talk },
        every: EVERY,
        longest: LONGEST,
        ports: PORTS,
        seed,
    };
    let brief = Passing {
        every: BRIEF_EVERY,
        longest: BRIEF_LONGEST,
        ports: BRIEF_PORTS,
        ..passing.clone()
    };
    let passing = [passing, brief];
    let passing = passing.map(|passing| PassingConnections::start(scene.lab.client(), passing));
    let passing = passing.into_iter().collect::<Result<Vec<_>>>()?;
    let crowd = scene.crowd(CROWD_TRIED)?;
    let mut churn = Churn::new(scene, Changes::new(STEADY, OTHERS, seed));
    let outcome = churn.run(&held).and_then(|()| churn.judge(held, passing, crowd));
    // Not an error but a panic, which makes the agent show its log.
    outcome.unwrap_or_else(|error| panic!("seed {seed}: {error:#}\n{}", churn.history()));
    Ok(())
}

fn seed() -> Result<u64> {
    match env::var("ELB_LAB_SEED") {
        Ok(text) => text.parse().with_context(|| format!("ELB_LAB_SEED={text} is no number")),
        Err(_) => Ok(fastrand::u64(..)),
    }
}

/// Changes, carried out, and what came of them.
struct Churn {
    scene: Scene,
    changes: Changes,
    begun: Instant,
    done: Vec<(Instant, Change)>,
    troubles: Troubles,
    /// Slots that were moving at the last look.
    moving: u64,
    /// Slots that have settled, at least: those that begin to move at the same time hide others.
    settled: u64,
}

impl Churn {
    fn new(scene: Scene, changes: Changes) -> Self {
        Self {
            scene,
            changes,
            begun: Instant::now(),
            done: Vec::new(),
            troubles: Troubles::default(),
            moving: 0,
            settled: 0,
        }
    }

    fn run(&mut self, held: &HeldConnections) -> Result<()> {
        while self.begun.elapsed() < CHURN {
            self.change()?;
            let next =
                Instant::now() + PAUSE + Duration::from_secs_f64(self.changes.random() * MORE);
            while Instant::now() < next {
                thread::sleep(LOOK);
                self.look()?;
                all_live(held, self.begun)?;
            }
        }
        let before = held.so_far();
        wait_for("one more answer on every connection", PATIENCE, || {
            all_live(held, self.begun)?;
            Ok(held.so_far().is_beyond(&before, 1).then_some(()))
        })
    }

    fn change(&mut self) -> Result<()> {
        let change = self.changes.next();
        self.done.push((Instant::now(), change));
        if let Change::Kill { member } | Change::Unplug { member } = change {
            self.troubles.begin(member, Instant::now());
        }
        self.scene.apply(change)?;
        if let Change::Restart { member } | Change::Plug { member } = change {
            self.troubles.end(member, Instant::now());
        }
        Ok(())
    }

    /// Sees what settles, and which members that are out of order get no new connections any more.
    fn look(&mut self) -> Result<()> {
        let status = self.scene.agent.status()?;
        let moving = self.scene.moving(&status);
        self.settled += self.moving.saturating_sub(moving);
        self.moving = moving;
        for member in self.troubles.unnoticed() {
            if self.scene.is_out(&status, member) {
                self.troubles.notice(member, Instant::now());
            }
        }
        Ok(())
    }

    fn judge(
        &self,
        held: HeldConnections,
        passing: Vec<PassingConnections>,
        crowd: Stream,
    ) -> Result<()> {
        let rate = crowd.rate();
        let generated = crowd.stop()?;
        ensure!(rate >= CROWD.into(), "only {rate:.0} generated connections a second");
        let passing = passing.into_iter().map(PassingConnections::stop);
        let passing = passing.collect::<Result<Vec<_>>>()?;
        let connections = passing.into_iter().flat_map(|report| report.connections).collect();
        let (passing, held) = (HeldReport { connections }, held.stop()?);
        ensure!(held.broken().is_empty(), "{}", list(held.broken(), self.begun));
        let steady: usize = (0..STEADY).map(|one| self.on(&held, one).len()).sum();
        ensure!(steady == HELD, "{steady} connections are with steady members");

        let (excused, broken): (Vec<_>, Vec<_>) = passing
            .broken()
            .into_iter()
            .partition(|broken| self.troubles.excuse(broken, self.scene.member_of(broken)));
        ensure!(broken.is_empty(), "{}", list(broken, self.begun));
        let others = STEADY..STEADY + OTHERS;
        let others: usize = others.map(|one| self.on(&passing, one).len()).sum();
        ensure!(others > 0 && self.settled > 0, "nothing was put to the test");
        println!(
            "{HELD} connections held, slowest answer {:?}; {} came and went, {others} of them with \
             others than steady members, {} broke with their members, {generated} were generated, \
             {rate:.0} a second; {} changes, {} slots settled",
            held.slowest(),
            passing.connections.len(),
            excused.len(),
            self.done.len(),
            self.settled,
        );
        Ok(())
    }

    fn on<'a>(&self, report: &'a HeldReport, member: usize) -> Vec<&'a HeldConnection> {
        report.on(&self.scene.lab.backend_name(member))
    }

    fn history(&self) -> String {
        let mut text = String::new();
        for (at, change) in &self.done {
            writeln!(text, "{} {change}", since(*at, self.begun)).expect("a string takes text");
        }
        text
    }
}

fn all_live(held: &HeldConnections, begun: Instant) -> Result<()> {
    let broken = held.first_broken();
    ensure!(broken.is_none(), "{}", list(broken.iter().collect(), begun));
    Ok(())
}

/// What broke, with times since `begun`.
fn list(broken: Vec<&HeldConnection>, begun: Instant) -> String {
    const SHOWN: usize = 20;
    let mut text = format!("{} connections broke:", broken.len());
    for one in broken.iter().take(SHOWN) {
        let failure = one.failure.as_ref().expect("it broke");
        write!(
            text,
            "\n{} {failure}; opened {}, {:?} with {:?}, {} answers, slowest {:?}",
            since(failure.at, begun),
            since(one.opened, begun),
            one.local,
            one.backend,
            one.round_trips,
            one.slowest
        )
        .expect("a string takes text");
    }
    text
}

fn since(at: Instant, begun: Instant) -> String {
    match at.checked_duration_since(begun) {
        Some(after) => format!("{:6.2} s", after.as_secs_f64()),
        None => "before".to_owned(),
    }
}
