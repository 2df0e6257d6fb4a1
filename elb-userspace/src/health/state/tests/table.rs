//! Every state with every input, and how many results it takes.

use super::*;

/// A state as the table below writes it: the status, and what its probe does.
fn state(member: &MemberHealth) -> String {
    let status = match member.status() {
        NoMonitor => "none",
        Initial => "initial",
        Online => "online",
        Offline => "offline",
    };
    let phase = match member.phase {
        Phase::Idle => "idle",
        Phase::Waiting(_) => "waits",
        Phase::Probing => "probes",
        Phase::ProbingObsolete => "obsolete",
    };
    format!("{status} {phase}")
}

/// A member in that state: its probe is due after 0.5 s (2.5 s where there is a verdict), or was
/// started at second 100.
fn in_state(name: &str, timing: Timing) -> MemberHealth {
    let (status, phase) = name.split_once(' ').unwrap();
    let status = match status {
        "none" => NoMonitor,
        "initial" => Initial,
        "online" => Online,
        _ => Offline,
    };
    // One that is not monitored any more has a probe under way that was started before.
    let before = if phase == "obsolete" && status == NoMonitor { Online } else { status };
    let mut member = member_due(before, timing, u64::MAX / 2);
    if phase == "probes" || phase == "obsolete" {
        assert!(member.start(now(100)));
    }
    if phase == "obsolete" {
        member.reconfigure((status != NoMonitor).then_some(timing), now(100));
    }
    assert_eq!(state(&member), name);
    member
}

/// Every state with every input, where one result decides.
#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn every_state_with_every_input() {
    let timing = Timing { max_retries: 1, max_retries_down: 1, ..TIMING };
    // From, and what becomes of it: too early to start, start, success, failure, monitor off, on.
    let table = [
        (
            "none idle",
            ["none idle", "none idle", "none idle", "none idle", "none idle", "initial waits"],
        ),
        (
            "none obsolete",
            [
                "none obsolete",
                "none obsolete",
                "none idle",
                "none idle",
                "none obsolete",
                "initial obsolete",
            ],
        ),
        (
            "initial waits",
            [
                "initial waits",
                "initial probes",
                "initial waits",
                "initial waits",
                "none idle",
                "initial waits",
            ],
        ),
        (
            "initial probes",
            [
                "initial probes",
                "initial probes",
                "online waits",
                "offline waits",
                "none obsolete",
                "initial obsolete",
            ],
        ),
        (
            "initial obsolete",
            [
                "initial obsolete",
                "initial obsolete",
                "initial waits",
                "initial waits",
                "none obsolete",
                "initial obsolete",
            ],
        ),
        (
            "online waits",
            [
                "online waits",
                "online probes",
                "online waits",
                "online waits",
                "none idle",
                "online waits",
            ],
        ),
        (
            "online probes",
            [
                "online probes",
                "online probes",
                "online waits",
                "offline waits",
                "none obsolete",
                "online obsolete",
            ],
        ),
        (
            "online obsolete",
            [
                "online obsolete",
                "online obsolete",
                "online waits",
                "online waits",
                "none obsolete",
                "online obsolete",
            ],
        ),
        (
            "offline waits",
            [
                "offline waits",
                "offline probes",
                "offline waits",
                "offline waits",
                "none idle",
                "offline waits",
            ],
        ),
        (
            "offline probes",
            [
                "offline probes",
                "offline probes",
                "online waits",
                "offline waits",
                "none obsolete",
                "offline obsolete",
            ],
        ),
        (
            "offline obsolete",
            [
                "offline obsolete",
                "offline obsolete",
                "offline waits",
                "offline waits",
                "none obsolete",
                "offline obsolete",
            ],
        ),
    ];
    for (from, becomes) in table {
        for (input, to) in becomes.into_iter().enumerate() {
            let mut member = in_state(from, timing);
            let before = member.status();
            let change = match input {
                0 => {
                    assert!(!member.start(now(0)), "{from}: too early");
                    None
                }
                1 => {
                    assert_eq!(member.start(now(101)), from.ends_with("waits"), "{from}");
                    None
                }
                2 => member.finish(now(101), Ok(()), CALM),
                3 => member.finish(now(101), REFUSED, CALM),
                4 => member.reconfigure(None, now(101)),
                _ => member.reconfigure(Some(timing), now(101)),
            };
            assert_eq!(state(&member), to, "{from}, input {input}");
            let expected =
                (member.status() != before).then_some(Change { from: before, to: member.status() });
            assert_eq!(change, expected, "{from}, input {input}");
            assert_eq!(change.is_some(), member.since() == now(101).wall, "{from}, input {input}");
        }
    }
}

/// How many results it takes.
#[test]
fn thresholds() {
    let table: [(OperatingStatus, &[Input], OperatingStatus); 19] = [
        (NoMonitor, &[Success], NoMonitor),
        (NoMonitor, &[Fail], NoMonitor),
        (NoMonitor, &[On], Initial),
        (Initial, &[Success], Online),
        (Initial, &[Fail], Offline),
        (Initial, &[On], Initial),
        (Online, &[Success], Online),
        (Online, &[Fail], Online),
        (Online, &[Fail, Fail], Online),
        (Online, &[Fail, Fail, Fail], Offline),
        (Online, &[Fail, Fail, Success, Fail, Fail], Online),
        (Online, &[Fail, Fail, On, Fail, Fail], Online),
        (Online, &[Off, On], Initial),
        (Offline, &[Fail], Offline),
        (Offline, &[Success], Offline),
        (Offline, &[Success, Success], Online),
        (Offline, &[Success, Fail, Success], Offline),
        (Offline, &[Success, On, Success], Offline),
        (Offline, &[Off, On], Initial),
    ];
    for (from, inputs, to) in table {
        let mut member = member(from);
        for (step, input) in (1..).zip(inputs) {
            apply(&mut member, *input, now(step * 100));
        }
        assert_eq!(member.status(), to, "{from} {inputs:?}");
    }
}
