//! What never meets the program is explained as such.

use anyhow::Result;
use elb_tests::{
    address::{Families, Family},
    agent::Agent,
    client::{Load, http_requests},
    config::{Config, Forwarding, Pool, Protocol},
    lab::Lab,
    status,
    wait::STUCK,
    wire::HTTP_PORT,
};

/// Packets of the load balancer itself never meet the program, and those of a member to a virtual address that
/// it has reach itself: `elb explain` says so instead of where they would go.
#[test]
fn packets_that_never_come_here_are_explained_as_such() -> Result<()> {
    for family in [Family::V4, Family::V6] {
        let lab = Lab::builder().backends(2).families(Families::Both).start()?;
        let mut servers = lab.serve()?;
        lab.backends_up(Forwarding::Ipip)?;
        let pool = Pool::of(&lab, "web", family, Protocol::Tcp, HTTP_PORT);
        let config = Config::new(&lab).balance(&lab, family, HTTP_PORT, pool);
        let agent = Agent::start(&lab, &config)?;
        agent.wait_status("all members to serve", STUCK, status::all_serve)?;
        let vip = lab.service(family, HTTP_PORT).to_string();
        let explain = |source: &str| {
            let source =
                if family == Family::V6 { format!("[{source}]") } else { source.to_owned() };
            let source = format!("{source}:50000");
            let arguments = ["explain", "--src", &source, "--dst", &vip, "--syn"];
            Ok::<_, anyhow::Error>((agent.ask(&arguments)?, agent.run(&arguments)?))
        };
        let own = if family == Family::V4 { "10.0.0.2" } else { "fd00::2" };
        let (told, text) = explain(own)?;
        assert_eq!(told["verdict"]["fate"], "not seen", "{told}");
        assert!(text.contains(&format!("{own} is an address of this host")), "{text}");
        assert!(text.contains("without meeting the program"), "{text}");

        let member = lab.member_addr(0, family).to_string();
        let (told, text) = explain(&member)?;
        assert_eq!(told["verdict"]["fate"], "not seen", "{told}");
        assert!(text.contains("reaches itself"), "{text}");
        // So it is.
        servers[0].kill()?;
        let refused = http_requests(lab.backend(0), Load::on(lab.service(family, HTTP_PORT)), 3)?;
        assert_eq!(refused.answered(), 0, "its own service does not run");

        let client = lab.client_addr(family).to_string();
        let (told, _) = explain(&client)?;
        assert_eq!(told["verdict"]["fate"], "forwarded", "{told}");
    }
    Ok(())
}
