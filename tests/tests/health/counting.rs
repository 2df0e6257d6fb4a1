//! How results count: acceptance 4, 5 and 26 of the semantics.

use anyhow::{Context as _, Result};
use elb_tests::{
    address::Family,
    client::{Load, http_requests},
    wait::wait_for,
    wire::HTTP_PORT,
};

use crate::times::{last_event, not_at_midnight, probes};
use crate::watched::{LIMIT, Watched, every_second, results};

#[test]
fn a04_a_member_is_back_after_three_successes_in_a_row() -> Result<()> {
    not_at_midnight()?;
    let scene = Watched::start(1, every_second(3, 2))?;
    scene.wait(0, "ONLINE")?;
    scene.scripts[0].answer(&[500]);
    scene.wait(0, "OFFLINE")?;
    // Two successes are not enough, and a failure makes them count no more.
    scene.scripts[0].answer(&[200, 200, 500, 200]);
    scene.wait(0, "ONLINE")?;

    let at = last_event(&scene.agent, "web", "recovered")?;
    // By then three probes had succeeded since the last failure, and a fourth had not started.
    let member = scene.member(0)?;
    let probes = probes(&member)?;
    let last = probes.iter().rposition(|probe| probe.result != "OK").context("no failure")?;
    let started: Vec<f64> = probes[last + 1..].iter().map(|probe| probe.began).collect();
    assert!(started.len() >= 3 && started[2] <= at, "{at} {started:?}");
    assert!(started.get(3).is_none_or(|fourth| at <= *fourth), "{at} {started:?}");
    assert_eq!(results(&member)[last - 2..last], ["OK", "OK"]);
    // timeout x 3 + interval x 2, within one interval.
    let window = at - started[0];
    assert!(window > 1.0 && window < 5.0 + 1.0, "{window}");
    Ok(())
}

#[test]
fn a05_a_success_resets_the_streak() -> Result<()> {
    let scene = Watched::start(1, every_second(1, 3))?;
    scene.wait(0, "ONLINE")?;
    let since = scene.member(0)?["since"].clone();
    scene.scripts[0].answer(&[500, 500, 200, 500, 500, 200]);
    wait_for("the script to be over", LIMIT, || {
        let answers = scene.scripts[0].answers();
        let failures = answers.iter().filter(|answer| **answer == 500).count();
        Ok((failures == 4 && answers.last() == Some(&200)).then_some(()))
    })?;
    let member = scene.probed(0, 1)?;
    let seen = results(&member).join(" ");
    let mismatch = "RESPONSE_MISMATCH RESPONSE_MISMATCH";
    assert!(seen.contains(&format!("{mismatch} OK {mismatch} OK")), "{seen}");
    assert_eq!(member["operating_status"], "ONLINE");
    assert_eq!(member["since"], since);
    assert_eq!(member["health"]["turned_unhealthy"], 0);

    // The third in a row decides, and is no accident of the clock: the server counts as well.
    let before = scene.scripts[0].answers().len();
    scene.scripts[0].answer(&[500]);
    scene.wait(0, "OFFLINE")?;
    assert!(scene.scripts[0].answers()[before..].iter().filter(|code| **code == 500).count() >= 3);
    let member = scene.member(0)?;
    assert_eq!(member["reason"]["reason_code"], "RESPONSE_MISMATCH");
    assert_eq!(member["reason"]["expected_response"], "200");
    assert_eq!(member["reason"]["healthcheck_response"], "500");
    assert_eq!(member["health"]["turned_unhealthy"], 1);
    Ok(())
}

#[test]
fn a26_a_member_with_weight_0_is_probed_and_gets_nothing() -> Result<()> {
    let scene = Watched::start_of(2, every_second(1, 2), |_, mut config| {
        config.pools[0].members[1].weight = 0;
        config
    })?;
    (0..2).try_for_each(|member| scene.wait(member, "ONLINE"))?;
    let load = Load::on(scene.lab.service(Family::V4, HTTP_PORT));
    let report = http_requests(scene.lab.client(), load, 100)?;
    assert_eq!(report.answers_by_backend(), [("backend-0".to_owned(), 100)].into());

    let before = scene.scripts[1].answers().len();
    wait_for("more probes", LIMIT, || {
        Ok((scene.scripts[1].answers().len() >= before + 3).then_some(()))
    })?;
    assert_eq!(scene.member(1)?["operating_status"], "ONLINE");
    scene.scripts[1].answer(&[503]);
    scene.wait(1, "OFFLINE")?;
    scene.scripts[1].answer(&[200]);
    scene.wait(1, "ONLINE")?;
    assert_eq!(scene.member(1)?["slots"], 0);
    Ok(())
}
