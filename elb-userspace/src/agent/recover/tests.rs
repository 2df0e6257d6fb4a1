//! Verdicts of an agent that was killed: what it wrote down, and what it had published since.

use std::time::SystemTime;

use elb_common::backend::backend_flags::{DRAINED, ESTABLISHED, NEW, REACHABLE};

use super::*;
use crate::health::{Cause, Failure, Stage};
use crate::source::file;

const TIMEOUT: Failure = Failure::new(Cause::Timeout { stage: Stage::Connect });
const SERVES: u8 = REACHABLE | ESTABLISHED | NEW;
const ENDS: u8 = REACHABLE | ESTABLISHED;

/// What is known of the only member of a pool, 10.0.0.1.
struct Scene {
    pool: &'static str,
    number: AssignedMember,
    record: Backend,
    is_drained: bool,
    is_backup: bool,
    written: Option<Verdict>,
}

fn member() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 80))
}

fn verdict(status: OperatingStatus, reason: Option<Failure>) -> Verdict {
    Verdict { status, since: SystemTime::UNIX_EPOCH, reason, streak: 2, decided: None }
}

/// Written down as this; published with these flags.
fn scene(written: OperatingStatus, flags: u8) -> Scene {
    let reason = Some(TIMEOUT).filter(|_| written == OperatingStatus::Offline);
    Scene {
        pool: "",
        number: AssignedMember::new(7, member()),
        record: Backend { flags, weight: 1, ..Backend::default() },
        is_drained: false,
        is_backup: false,
        written: Some(verdict(written, reason)),
    }
}

impl Scene {
    /// What is known after all.
    fn recovered(&self) -> Option<Verdict> {
        let text = format!(
            "[agent]\ninterfaces = [\"eth0\"]\n[[pool]]\nname = \"web\"\nprotocol = \"TCP\"\n\
             forwarding = \"ipip\"\n{}\n[[pool.member]]\naddress = \"10.0.0.1\"\nprotocol_port = 80\n\
             backup = {}\n",
            self.pool, self.is_backup
        );
        let model = file::parse("test", &text).unwrap().model;
        let observed =
            Image { backends: BTreeMap::from([(self.number.id, self.record)]), ..Image::default() };
        let web = || ResourceId::of_pool("web");
        let ring = AssignedRing { base: 0, shape: Shape { size: 4093, algorithm: 0, cid: (0, 0) } };
        let mut pool = AssignedPool::new(1, ring, 0);
        pool.members.push(self.number);
        let mut numbers = Numbers::default();
        numbers.assignments.pools.insert(web(), pool);
        let mut drained = Drained::default();
        let pool_of_model = &model.pools()[0];
        if self.is_drained {
            drained.start(pool_of_model, &pool_of_model.members[0]);
        }
        let known = saved::SavedMember {
            member: member(),
            verdict: self.written.clone(),
            history: History::default(),
        };
        let mut health = saved::SavedHealth::default();
        health.pools.insert(web(), vec![known]);
        published_since(&model, &observed, &numbers, &drained, &mut health);
        health.pools[&web()][0].verdict.clone()
    }
}

#[test]
fn what_was_published_is_newer_than_what_was_written() {
    let online = scene(OperatingStatus::Offline, SERVES).recovered().unwrap();
    assert_eq!((online.status, online.reason, online.streak), (OperatingStatus::Online, None, 0));
    assert!(online.since > SystemTime::UNIX_EPOCH, "the time of the change is not known");
    let offline = scene(OperatingStatus::Online, ENDS).recovered().unwrap();
    assert_eq!((offline.status, offline.reason), (OperatingStatus::Offline, None));
}

#[test]
fn what_agrees_stays_as_it_was_written() {
    for (status, flags) in [(OperatingStatus::Online, SERVES), (OperatingStatus::Offline, ENDS)] {
        let scene = scene(status, flags);
        assert_eq!(scene.recovered(), scene.written);
    }
}

/// Killed within a second of the first verdict, before that was written down.
#[test]
fn a_first_verdict_that_was_published_is_known() {
    let pool = "healthmonitor = { type = \"TCP\" }";
    let first =
        |flags| Scene { pool, written: None, ..scene(OperatingStatus::Online, flags) }.recovered();
    assert_eq!(first(SERVES).map(|verdict| verdict.status), Some(OperatingStatus::Online));
    assert_eq!(first(ENDS), None, "it may not have been probed yet");
}

/// Each of these explains by itself that a healthy member took no new flows.
#[test]
fn maps_that_say_nothing_of_health_change_nothing() {
    let serving = || scene(OperatingStatus::Online, ENDS);
    let drained = Scene { is_drained: true, ..serving() };
    let in_reserve = Scene { is_backup: true, ..serving() };
    // The drain was cancelled and written down, but not published yet.
    let still_drained = scene(OperatingStatus::Online, ENDS | DRAINED);
    let weightless = Scene { record: Backend { weight: 0, ..serving().record }, ..serving() };
    let unreachable = scene(OperatingStatus::Online, 0);
    let removed =
        Scene { number: AssignedMember { removed: true, ..serving().number }, ..serving() };
    let without_verdict = Scene { written: None, ..serving() };
    // Here, one that is not healthy took some.
    let all_serve = Scene {
        pool: "pool_health = { minimum_healthy_member_count = 1 }",
        ..scene(OperatingStatus::Offline, SERVES)
    };
    for (name, scene) in [
        ("drained", drained),
        ("in reserve", in_reserve),
        ("drained, by what the maps say", still_drained),
        ("without weight", weightless),
        ("unreachable", unreachable),
        ("removed", removed),
        ("without a verdict", without_verdict),
        ("all serve", all_serve),
    ] {
        assert_eq!(scene.recovered(), scene.written, "{name}");
    }
}

/// Records of other modes were another pool's.
#[test]
fn a_record_of_a_member_with_ipv6_that_serves_ipv4_holds_its_address() {
    let text = "[agent]\ninterfaces = [\"eth0\"]\n[snat]\nv6 = \"2001:db8:1:64::/64\"\n[[pool]]\nname = \"web\"\n\
                protocol = \"TCP\"\nforwarding = \"nat46\"\n";
    let model = file::parse("test", text).unwrap().model;
    let member: std::net::Ipv6Addr = "2001:db8:9::11".parse().unwrap();
    let of = |mode| {
        let address = bytemuck::cast(member.octets());
        address_of(&model, &Backend { mode, address, ..Backend::default() })
    };
    assert_eq!(of(mode::NAT46), Some(member.into()));
    assert_eq!(of(mode::NAT), None);
    let other = text.replace("nat46", "nat");
    let other = file::parse("test", &other).unwrap().model;
    assert_eq!(address_of(&other, &Backend { mode: mode::NAT46, ..Backend::default() }), None);
}

fn address_of(model: &Model, record: &Backend) -> Option<IpAddr> {
    address(&model.pools()[0], record)
}
