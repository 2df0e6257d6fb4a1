//! Faults of this load balancer: each is named, with what to do, and before any member is.

use super::super::balancer::{Balancer, WrittenTo, balancer, not_served, placed};
use super::*;
use crate::control::network::UnservedWay;
use crate::kernel::host::kept::KeptObject;

type Fault = (&'static str, Balancer, Check, &'static str, &'static str);

fn sound() -> Balancer {
    Balancer {
        file: "/etc/elb/elb.toml".into(),
        state_dir: "/var/lib/elb/elb.sock".into(),
        ..Balancer::default()
    }
}

fn of(change: impl FnOnce(&mut Balancer)) -> Balancer {
    let mut balancer = sound();
    change(&mut balancer);
    balancer
}

fn behind_eth1() -> UnservedWay {
    let members = [MEMBER_ADDRESS.into()].into();
    UnservedWay {
        interface: "eth1".to_owned(),
        members,
        ports: Default::default(),
        has_ports: false,
    }
}

#[test]
fn a_member_behind_an_interface_that_is_not_served_is_not_suspected() {
    let mut evidence = failing(Cause::Timeout { stage: Stage::Connect });
    evidence.way.unserved = Some(behind_eth1());
    let report = member(&evidence);
    assert_eq!(report.cause, Some(Check::Neighbor), "{report:#?}");
    assert!(evidence_of(&report).contains("would leave by eth1"), "{report:#?}");
}

/// K1, K5, K6, K7 and K8 of what the world does.
#[expect(clippy::too_many_lines, reason = "a table of cases")]
pub(super) fn faults() -> Vec<Fault> {
    let missing =
        |object: KeptObject, why: &str| of(|b| b.missing = vec![(object, why.to_owned())]);
    let unwritten = |store, why: &str| of(|b| b.unwritten = vec![(store, why.to_owned())]);
    let not_in_force = |why: &str| of(|b| b.not_in_force = vec![why.to_owned()]);
    let ipv6_off = ("IPv6 is switched off on eth0".to_owned(), "sysctl -w".to_owned());
    vec![
        (
            "IPv6 that is off",
            of(|b| b.ipv6_off = Some(ipv6_off)),
            Check::WayOut,
            "IPv6 is switched off on eth0",
            "sysctl -w",
        ),
        (
            "an interface without the program",
            missing(KeptObject::Program("eth0".to_owned()), "another program is on it"),
            Check::Kept,
            "XDP program on eth0: another program is on it",
            "ip -d link show eth0",
        ),
        (
            "a way of probes that cannot be restored",
            missing(KeptObject::ProbePath, "rule 90 is refused"),
            Check::Kept,
            "path of health probes: rule 90",
            "ip rule",
        ),
        (
            "members behind an interface that is not served",
            of(|b| b.unserved = vec![behind_eth1()]),
            Check::WayOut,
            "10.0.0.11 are dropped (no_device): they would leave by eth1",
            "add \"eth1\" to interfaces in [agent]",
        ),
        (
            "a pin directory that another agent has",
            of(|b| b.taken = vec!["pin_dir is in use by process 7 (elb agent)".to_owned()]),
            Check::Owner,
            "process 7 (elb agent)",
            "stop that process",
        ),
        (
            "no memory for a map",
            unwritten(WrittenTo::Maps, "cannot write a BPF map: no memory"),
            Check::Written,
            "cannot write a BPF map",
            "MemoryMax",
        ),
        (
            "no room in a map",
            unwritten(WrittenTo::Room, "listener web: no room"),
            Check::Written,
            "no room",
            "max_*",
        ),
        (
            "a full disk",
            unwritten(WrittenTo::State, "cannot save the numbers: No space left on device"),
            Check::Written,
            "No space left",
            "df -h /var/lib/elb/elb.sock",
        ),
        (
            "a wrong file at a start",
            not_in_force("the last good configuration serves pool \"web\" in its place"),
            Check::InForce,
            "the last good configuration",
            "correct /etc/elb/elb.toml, then: elb check && systemctl reload elb",
        ),
        (
            "a reload that is refused",
            not_in_force("the configuration is rejected"),
            Check::InForce,
            "rejected",
            "elb check",
        ),
        (
            "a task that does not run",
            of(|b| b.idle = vec![("netlink".to_owned(), "no socket".to_owned())]),
            Check::Tasks,
            "task netlink does not run, and is begun again: no socket",
            "journalctl -u elb",
        ),
    ]
}

#[test]
fn each_fault_is_named_with_what_to_do() {
    for (name, fault, check, said, fix) in faults() {
        let report = balancer(&fault).unwrap();
        assert_eq!(report.cause, Some(check), "{name}: {report:#?}");
        assert!(evidence_of(&report).contains(said), "{name}: {report:#?}");
        assert!(fix_of(&report).contains(fix), "{name}: {report:#?}");
    }
    assert_eq!(balancer(&sound()), None);
}

#[test]
fn what_is_over_or_only_remarked_is_no_fault() {
    let panicked = of(|b| b.panicked = vec!["task probe panicked once".to_owned()]);
    let own = of(|b| b.own_addresses = vec!["10.0.0.100 is an address of this host".to_owned()]);
    let joined = of(|b| b.joined = Some(("generic mode".to_owned(), "ethtool".to_owned())));
    for balanced in [panicked, own, joined] {
        let report = balancer(&balanced).unwrap();
        assert_eq!((report.conclusion, report.cause), (Conclusion::Healthy, None), "{report:#?}");
        let reports = placed(Some(report), vec![member(&healthy())]);
        assert_eq!(reports[0].subject, member(&healthy()).subject);
        assert_eq!(reports.len(), 2);
    }
}

#[test]
fn of_several_faults_what_carries_packets_comes_first() {
    let all = of(|b| {
        b.missing = vec![(KeptObject::Pins, "bpffs is read-only".to_owned())];
        b.unwritten =
            vec![(WrittenTo::State, "full".to_owned()), (WrittenTo::Maps, "full".to_owned())];
        b.not_in_force = vec!["rejected".to_owned()];
    });
    let report = balancer(&all).unwrap();
    assert_eq!(report.cause, Some(Check::Kept));
    let written = report.finding(Check::Written).unwrap().fix.clone().unwrap();
    assert!(written.contains("MemoryMax") && written.contains("df -h"), "{written}");
}

#[test]
fn what_only_the_file_has_is_said_to_be_not_in_force() {
    let report = not_served(&sound(), "web/b9");
    assert_eq!(report.cause, Some(Check::InForce));
    assert!(
        evidence_of(&report).contains("\"web/b9\", but it is not served: the file was changed")
    );
    assert_eq!(fix_of(&report), "elb check && systemctl reload elb");
    let wrong = of(|b| b.not_in_force = vec!["weight 101 is out of range".to_owned()]);
    let report = not_served(&wrong, "web/b9");
    assert!(evidence_of(&report).ends_with("not served: weight 101 is out of range"));
    assert!(fix_of(&report).starts_with("correct /etc/elb/elb.toml"));
}
