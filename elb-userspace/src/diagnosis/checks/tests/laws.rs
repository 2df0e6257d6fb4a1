//! What holds of every report, whatever was seen.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;

fn cause() -> impl Strategy<Value = Cause> {
    let by = select(&[MEMBER_ADDRESS, ROUTER, [10, 0, 0, 2]]).prop_map(IpAddr::from);
    let stage = select(&[Stage::Connect, Stage::Handshake, Stage::Request, Stage::Response]);
    prop_oneof![
        by.clone().prop_map(|by| Cause::Refused { by }),
        by.clone().prop_map(|by| Cause::PortUnreachable { by }),
        by.clone().prop_map(|by| Cause::HostUnreachable { by }),
        by.clone().prop_map(|by| Cause::NetUnreachable { by }),
        by.clone().prop_map(|by| Cause::AdminProhibited { by }),
        by.prop_map(|by| Cause::OtherIcmp { by, icmp_type: 12, code: 0 }),
        Just(Cause::NoNeighbor),
        Just(Cause::NoRoute { error: "no route".to_owned() }),
        Just(Cause::NoLocalResource { error: "no port".to_owned() }),
        Just(Cause::NoCommand { error: "no file".to_owned() }),
        Just(Cause::CommandExit { status: 1, said: "no".to_owned() }),
        Just(Cause::CommandSignal { signal: 9, said: "no".to_owned() }),
        Just(Cause::CommandTimeout { said: String::new() }),
        Just(Cause::NoEchoReply),
        stage.clone().prop_map(|stage| Cause::Timeout { stage }),
        stage.clone().prop_map(|stage| Cause::Reset { stage }),
        stage.clone().prop_map(|stage| Cause::Closed { stage }),
        stage.prop_map(|stage| Cause::Broken { stage, error: "broken".to_owned() }),
        Just(Cause::NotTls),
        Just(Cause::TlsAlert { alert: "handshake_failure".to_owned() }),
        Just(Cause::TlsFailed { error: "no".to_owned() }),
        Just(Cause::BadHttp { error: "no".to_owned() }),
        Just(Cause::TooMuch { what: "9 bytes".to_owned() }),
        Just(Cause::Status { expected: "200".to_owned(), seen: 404 }),
        Just(Cause::NoGrpcStatus { status: 200 }),
        Just(Cause::NotServing { seen: 2 }),
    ]
}

fn looked() -> impl Strategy<Value = ProbeOutcome> {
    proptest::option::of(cause()).prop_map(|cause| outcome(cause.map_or(Ok(()), Err)))
}

fn looks() -> impl Strategy<Value = Looks> {
    let quiet = select(&[Quiet::Stays, Quiet::Speaks, Quiet::Closes, Quiet::Resets]);
    let echo = prop_oneof![Just(Ok(())), Just(Err(Cause::NoEchoReply))];
    let asked = (select(&["/", "/x"]), proptest::option::of(cause())).prop_map(|(path, cause)| {
        let host = "10.0.0.11".to_owned();
        HttpAttempt {
            path: path.to_owned(),
            host,
            over_tls: false,
            answer: cause.map_or(Ok(()), Err),
        }
    });
    (
        proptest::option::of(looked()),
        proptest::option::of(looked()),
        proptest::option::of(looked()),
        proptest::option::of(echo),
        any::<Option<bool>>(),
        any::<Option<bool>>(),
        proptest::option::of(quiet),
        proptest::collection::vec(asked, 0..3),
    )
        .prop_map(|(probe, service, control, echo, neighbor, stray, quiet, requests)| Looks {
            probe,
            service,
            control,
            echo,
            neighbor,
            stray,
            quiet,
            requests,
            pinned: None,
            unwraps: None,
            tls: None,
            large: None,
        })
}

fn inspection() -> impl Strategy<Value = Report> {
    const VERDICTS: [Outcome; 4] = [Outcome::Pass, Outcome::Fail, Outcome::Warn, Outcome::Unknown];
    const CHECKS: [Check; 5] =
        [Check::Listening, Check::Firewall, Check::Route, Check::Load, Check::HostsDeny];
    proptest::collection::btree_map(select(&CHECKS), select(&VERDICTS), 0..5).prop_map(|chosen| {
        let finding = |(check, outcome)| Finding::seen(check, outcome, "seen");
        Report::new("b1", true, chosen.into_iter().map(finding).collect())
    })
}

fn evidence() -> impl Strategy<Value = Evidence> {
    (looks(), any::<bool>(), any::<bool>(), any::<bool>(), proptest::option::of(inspection()))
        .prop_map(|(looks, is_http, routed, is_udp, inspection)| {
            let mut evidence = healthy();
            evidence.looks = looks;
            evidence.inspection = inspection;
            if is_http {
                evidence.wanted.probe = Some(probe(http("/x")));
            }
            if routed {
                behind_a_router(&mut evidence);
            }
            if is_udp {
                evidence.wanted.pool.protocol = Protocol::Udp;
            }
            evidence
        })
}

proptest! {
    #[test]
    fn a_report_has_each_check_once_and_one_explanation(evidence in evidence()) {
        let report = member(&evidence);
        let order: Vec<Check> = report.findings.iter().map(|finding| finding.check).collect();
        prop_assert_eq!(order, MEMBER);
        let inferred = report.findings.iter().filter(|finding| {
            finding.outcome == Outcome::Fail && finding.basis == Basis::Inferred
        });
        prop_assert!(inferred.count() <= 1, "{:#?}", report);
        // Whatever does not work is explained or said to be undecided, and what works is no cause.
        prop_assert!(evidence.works() || report.conclusion != Conclusion::Healthy);
        prop_assert!(report.findings.iter().all(|finding| !finding.evidence.is_empty()));
        for finding in report.findings.iter().filter(|one| one.outcome == Outcome::Fail) {
            let seen = evidence.inspection.as_ref().and_then(|said| said.finding(finding.check));
            prop_assert!(finding.fix.is_some() || seen == Some(finding), "{:?}", finding);
        }
    }

    #[test]
    fn what_the_host_said_of_itself_is_not_contradicted(evidence in evidence()) {
        let report = member(&evidence);
        let said = evidence.inspection.iter().flat_map(|inspection| &inspection.findings);
        for said in said.filter(|finding| finding.outcome != Outcome::Unknown) {
            let found = report.finding(said.check).unwrap();
            // Only what is certain from outside as well may stand in its place.
            prop_assert!(found == said || found.basis == Basis::Seen, "{:?} {:?}", said, found);
        }
    }

    #[test]
    fn who_answers_is_not_said_to_be_kept_from_answering(evidence in evidence()) {
        let report = member(&evidence);
        let refuted = [Check::SecurityGroup, Check::NetworkAcl, Check::Route];
        if evidence.works() && evidence.looks.probe.is_some() && evidence.inspection.is_none() {
            for check in refuted {
                let outcome = report.finding(check).unwrap().outcome;
                prop_assert_eq!(outcome, Outcome::Pass, "{:#?}", report);
            }
        }
    }
}
