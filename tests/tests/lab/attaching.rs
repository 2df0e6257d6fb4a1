//! Interfaces that the program cannot be attached to, and what helps.

use anyhow::Result;
use elb_tests::{
    address::{Family, Host, Network},
    agent::Agent,
    client::{Load, http_requests},
    config::Forwarding,
    lab::Lab,
    wire::HTTP_PORT,
};

use crate::scene::{config, wait_until_serving};

#[test]
fn an_interface_that_is_missing_is_named_and_the_others_are_served() -> Result<()> {
    let lab = Lab::builder().backends(1).start()?;
    let mut config = config(&lab, Forwarding::L2, |pool| pool);
    config.agent.interfaces.push("lan7".to_owned());
    let agent = Agent::start(&lab, &config)?;
    wait_until_serving(&agent)?;
    assert!(lab.lb().ip("link show dev lb0")?.contains("prog/xdp"));
    let said = agent.run(&["status"])?;
    let expected = "PROBLEM XDP program on lan7: there is no interface of this name";
    assert!(said.contains(expected), "{said}");
    Ok(())
}

/// A bridge forwards in software: no driver of it runs XDP.
#[test]
fn an_interface_without_native_xdp_is_refused_and_works_in_generic_mode() -> Result<()> {
    let lab = Lab::builder().start()?;
    let _servers = lab.serve()?;
    lab.backends_up(Forwarding::L2)?;
    let own = Network::Back.address(Family::V4, Host::LoadBalancer);
    lab.lb().ip(&format!(
        "link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0\n\
         link set br0 mtu 1600\n\
         addr del {own}/24 dev lb0\n\
         link set lb0 master br0\n\
         addr add {own}/24 dev br0\n\
         link set br0 up"
    ))?;
    let mut config = config(&lab, Forwarding::L2, |pool| pool);
    config.agent.interfaces = vec!["br0".to_owned()];

    let refusal = Agent::refusal(&lab, &config.text()?)?;
    assert_eq!(refusal.code, Some(1), "{}", refusal.said);
    for expected in ["interface \"br0\" cannot run XDP in its driver", "attach_mode = \"generic\""]
    {
        assert!(refusal.said.contains(expected), "{}", refusal.said);
    }

    config.agent.attach_mode = "generic".to_owned();
    let agent = Agent::start(&lab, &config)?;
    wait_until_serving(&agent)?;
    assert_eq!(agent.status()?["agent"]["attach_mode"], "generic");
    let report = http_requests(lab.client(), Load::on(lab.service(Family::V4, HTTP_PORT)), 200)?;
    assert_eq!(report.failures().len(), 0, "{:?}", report.failures());
    assert_eq!(report.answers_by_backend().len(), 2);
    Ok(())
}

#[test]
fn an_interface_with_a_foreign_program_is_left_alone() -> Result<()> {
    let lab = Lab::builder().backends(1).start()?;
    let _theirs = elb_tests::xdp::XdpPass::attach(lab.lb(), &["lb0"])?;
    let config = config(&lab, Forwarding::L2, |pool| pool);
    let refusal = Agent::refusal(&lab, &config.text()?)?;
    assert_eq!(refusal.code, Some(1), "{}", refusal.said);
    let expected = "interface \"lb0\" already carries another XDP program; detach it";
    assert!(refusal.said.contains(expected), "{}", refusal.said);
    Ok(())
}
