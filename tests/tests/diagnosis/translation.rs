//! With `nat`, a member whose answers do not come back is named.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use elb_tests::{
    address::Family,
    client::{Load, http_requests},
    config::{Forwarding, HealthMonitor, MonitorKind},
    lab::Lab,
    wire::HTTP_PORT,
};

use crate::scene::{LIMIT, Scene, config, is_named, is_well};

/// Its probes are answered, which come from its own segment; connections of clients hang.
#[test]
fn answers_that_take_another_route() -> Result<()> {
    let scene = Scene::start_in(Lab::builder().two_armed(), |lab| {
        // It is the kernel that finds the client's Ethernet address.
        lab.lb_forwards()?;
        Ok(config(lab, Forwarding::Nat, HealthMonitor::quick(MonitorKind::Tcp)))
    })?;
    let target = scene.lab.service(Family::V4, HTTP_PORT);
    let served = || -> Result<()> {
        let report = http_requests(scene.lab.client(), Load::on(target), 200)?;
        ensure!(report.answered() == report.total(), "{:?}", report.failures());
        Ok(())
    };
    is_well(&scene.diagnose(1)?);

    // Before clients come: what followed in the last minute counts.
    scene.run(1, "elb backend down --all")?;
    let deadline = Instant::now() + LIMIT;
    let named = loop {
        let connect = || {
            let tries = (0..6)
                .map(|_| TcpStream::connect_timeout(&target, Duration::from_millis(150)).is_ok());
            tries.filter(|is_served| *is_served).count()
        };
        scene.lab.client().run(connect)?;
        let said = scene.diagnose(1)?;
        if said.cause().is_some() {
            break said;
        }
        ensure!(Instant::now() < deadline, "it is not noticed: {:#}", said.said);
    };
    is_named(&named, "return-path", "past this load balancer");
    assert_eq!(named.outcome("virtual-address"), "not-applicable");
    let asked = scene.diagnose_with_host(1)?;
    is_named(&asked, "return-path", "not back through the load balancer 10.0.0.2");
    scene.follow(1, &asked, &[])?;
    served()?;
    Ok(())
}
