//! What is kept of members, and when their probes start.

use std::time::{Duration, SystemTime};

use super::*;
use crate::control::assign::{AssignedMember, AssignedRing};
use crate::control::reconcile::Renamed;
use crate::control::ring::shape::Shape;
use crate::health::{Cause, Failure, History, OperatingStatus};
use crate::model::monitor::ProbePath;
use crate::source::file;

fn at(seconds: u64) -> Now {
    let passed = Duration::from_secs(seconds);
    Now { time: Time::ZERO + passed, wall: SystemTime::UNIX_EPOCH + passed }
}

/// A pool with more lines and so many members, the first of which are 10.0.0.1 and 10.0.0.2.
fn model(pool: &str, lines: &str, members: u16) -> Model {
    let mut text = format!(
        "[agent]\ninterfaces = [\"eth0\"]\n[[pool]]\nname = \"{pool}\"\nprotocol = \"TCP\"\n\
         forwarding = \"ipip\"\n{lines}\n"
    );
    for n in 1..=members {
        let [high, low] = n.to_be_bytes();
        text += &format!(
            "[[pool.member]]\nname = \"{pool}-{n}\"\naddress = \"10.0.{high}.{low}\"\n\
             protocol_port = 80\n"
        );
    }
    file::parse("test", &text).unwrap().model
}

fn socket(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 80))
}

/// Ends the probe of a member that is due.
fn probe(members: &mut Members, number: u32, result: Result<(), Failure>, now: Now) -> Effect {
    let outcome = ProbeOutcome {
        result,
        duration: Duration::ZERO,
        path: ProbePath::Direct,
        other: None,
        vips: Vec::new(),
    };
    members.probed(number, outcome, now)
}

const MONITOR: &str = "healthmonitor = { type = \"TCP\", delay = 50 }";

#[test]
fn all_first_probes_start_within_a_second_but_no_more_than_may_be_under_way() {
    let mut members = Members::default();
    members.follow(&model("web", MONITOR, 10_000), &mut saved::SavedHealth::default(), at(100));
    assert_eq!(members.due(at(101), 300).len(), 300);
    let later = members.due(at(101), usize::MAX);
    assert_eq!(later.len(), 9_700, "those that had to wait come at once");
    let tenths = later.iter().map(|probe| probe.due.since(at(100).time).as_millis() / 100);
    let mut in_tenth = [0; 10];
    tenths.for_each(|tenth| in_tenth[tenth as usize] += 1);
    assert!(in_tenth[1..].iter().all(|n| (800..1_200).contains(n)), "{in_tenth:?}");

    let numbers: Vec<u32> = later.iter().map(|probe| probe.member).collect();
    for number in &numbers {
        let effect = probe(&mut members, *number, Ok(()), at(102));
        assert!(effect.standing_changed && effect.is_news);
    }
    let halfway = members.due(at(127), usize::MAX).len();
    assert!((4_500..5_200).contains(&halfway), "{halfway} of 9,700 in half of the interval");
}

#[test]
fn those_that_a_reload_adds_are_probed_at_once_too() {
    let mut members = Members::default();
    members.follow(&model("web", MONITOR, 2), &mut saved::SavedHealth::default(), at(0));
    for due in members.due(at(1), 9) {
        probe(&mut members, due.member, Ok(()), at(1));
    }
    members.follow(&model("web", MONITOR, 3), &mut saved::SavedHealth::default(), at(1));
    let due = members.due(at(2), 9);
    let sockets: Vec<_> = due.iter().map(|d| members.watched[&d.member].socket).collect();
    assert!(sockets.contains(&socket(3)), "{sockets:?}");
}

/// A verdict that it does not serve changes what its pool waits for.
#[test]
fn any_first_verdict_is_one_to_publish() {
    let mut members = Members::default();
    members.follow(&model("web", MONITOR, 1), &mut saved::SavedHealth::default(), at(0));
    let number = members.due(at(1), 9)[0].member;
    let refused = || Err(Failure::new(Cause::Refused { by: socket(1).ip() }));
    assert!(members.watched[&number].health.is_undecided());
    assert!(probe(&mut members, number, refused(), at(1)).standing_changed);
    assert_eq!(members.due(at(51), 9).len(), 1);
    assert!(!probe(&mut members, number, refused(), at(60)).standing_changed, "it is no news");
}

/// Under other names, a pool and its members are what they were, probes under way included.
#[test]
fn pools_and_members_with_other_names_keep_their_verdicts() {
    let (before, after) = (model("web", MONITOR, 2), model("site", MONITOR, 2));
    let mut members = Members::default();
    members.follow(&before, &mut saved::SavedHealth::default(), at(0));
    let due: Vec<u32> = members.due(at(1), 9).iter().map(|probe| probe.member).collect();
    probe(&mut members, due[0], Ok(()), at(1));
    let known = members.watched[&due[0]].socket;
    let (health, next) = (members.watched[&due[0]].health.clone(), members.next_probe());

    let [from, to] = ["web", "site"].map(ResourceId::of_pool);
    members.rename(&[Renamed { from, to }]);
    members.follow(&after, &mut saved::SavedHealth::default(), at(2));
    let watched = members.get(to, known).unwrap();
    assert_eq!((&watched.health, members.next_probe()), (&health, next));
    assert_eq!(
        (watched.pool_name.as_str(), watched.health.status()),
        ("site", OperatingStatus::Online)
    );
    assert!(watched.name.starts_with("site-") && watched.history != History::default());
    assert!(members.get(from, known).is_none() && members.watched.len() == 2);
    assert!(probe(&mut members, due[1], Ok(()), at(2)).is_news, "it was under way");
    assert_eq!(members.saved().keys().collect::<Vec<_>>(), [&to]);
}

#[test]
fn a_member_has_the_id_that_was_assigned_last() {
    let model = model("web", "", 2);
    let mut members = Members::default();
    members.follow(&model, &mut saved::SavedHealth::default(), at(0));

    let ring = AssignedRing { base: 0, shape: Shape::default() };
    let mut pool = AssignedPool::new(1, ring, 0);
    pool.members = [(7, 1), (8, 2)].map(|(id, n)| AssignedMember::new(id, socket(n))).into();
    let web = ResourceId::of_pool("web");
    let ids = |members: &Members| {
        [1, 2].map(|n| members.get(web, socket(n)).and_then(|watched| watched.backend))
    };
    assert_eq!(ids(&members), [None, None]);
    members.assigned(&BTreeMap::from([(web, pool.clone())]));
    assert_eq!(ids(&members), [Some(7), Some(8)]);
    pool.members[0].id = 9;
    pool.members[1].removed = true;
    members.assigned(&BTreeMap::from([(web, pool)]));
    assert_eq!(ids(&members), [Some(9), None]);
}

/// What was decided in a history of probes.
type Decided = (Vec<Step>, Vec<(OperatingStatus, u64)>);
/// How many probes began, and who stands how.
type Step = (usize, Vec<OperatingStatus>);

/// What is decided in a history of probes: the steps, and events with how long it had been otherwise.
fn history(random: RandomState, wall: impl Fn(u64) -> SystemTime) -> Decided {
    let mut members = Members { random, ..Members::default() };
    let now = |second| Now { wall: wall(second), ..at(second) };
    members.follow(&model("web", MONITOR, 4), &mut saved::SavedHealth::default(), now(0));
    let (mut steps, mut events) = (Vec::new(), Vec::new());
    for second in 0..2_000 {
        let due = members.due(now(second), usize::MAX);
        for probe_due in &due {
            let works = (second / 400 + u64::from(probe_due.member)).is_multiple_of(2);
            let refused = || Failure::new(Cause::Refused { by: socket(1).ip() });
            let result = if works { Ok(()) } else { Err(refused()) };
            let event = probe(&mut members, probe_due.member, result, now(second)).event;
            events.extend(event.map(|event| (event.from, event.lasted)));
        }
        let stands = (1..=4).map(|number| members.watched[&number].health.status());
        steps.push((due.len(), stands.collect()));
    }
    (steps, events)
}

/// A wall clock that is set forward or back between any two probes changes nothing but what is shown.
#[test]
fn a_wall_clock_that_is_set_decides_nothing() {
    let random = RandomState::new();
    let smooth = |second| SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + second);
    let day = Duration::from_secs(86_400);
    let forward = move |second| smooth(second) + day * u32::from(second > 700);
    let back = move |second| smooth(second) - day * u32::from(second > 700);
    let to_and_fro =
        move |second| if second % 7 < 3 { smooth(second) } else { smooth(second) - day };
    let stands = |_| smooth(0);
    let undisturbed = history(random.clone(), smooth);
    assert!(undisturbed.1.len() > 8, "members change");
    assert_eq!(history(random.clone(), forward), undisturbed);
    assert_eq!(history(random.clone(), back), undisturbed);
    assert_eq!(history(random.clone(), to_and_fro), undisturbed);
    assert_eq!(history(random, stands), undisturbed);
}
