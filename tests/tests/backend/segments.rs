//! Servers ask clients for smaller segments, and their routes come back as they were.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};

use anyhow::Result;
use elb_tests::address::Family;
use socket2::Socket;

use crate::scene::*;

/// The largest segments that the client sends to a server on an address of the host.
fn segments_to(bench: &Bench, address: IpAddr) -> Result<u32> {
    let listener = bench.host().run(|| TcpListener::bind((address, 0)))??;
    let target = SocketAddr::new(address, listener.local_addr()?.port());
    let client = bench.lab.client().run(|| TcpStream::connect_timeout(&target, LIMIT))??;
    let _served = listener.accept()?;
    Ok(Socket::from(client).tcp_mss()?)
}

#[test]
fn clients_are_asked_for_smaller_segments() -> Result<()> {
    let bench = Bench::new()?;
    let [v4, v6] = bench.vips();
    bench.host().ip(&format!(
        "route add default via 10.0.0.10 dev {DEVICE} metric 7\n\
         route add 10.77.0.0/16 via 10.0.0.10 dev {DEVICE} mtu 1400 advmss 1300"
    ))?;
    let before = bench.look()?;
    let members = FAMILIES.map(|family| bench.lab.member_addr(0, family));
    for member in members {
        assert!(segments_to(&bench, member)? > 1400);
    }

    let up = format!("up --mode l2 --interface {DEVICE} {}", list(&[v4, v6]));
    for wrong in [535, 1461] {
        let error = bench.refused(&format!("{up} --mss {wrong}"))?;
        assert!(error.contains("give 536 to 1460"), "{error}");
    }
    assert_eq!(bench.look()?, before);
    let said = bench.elb(&format!("{up} --mss 1360"))?;
    assert!(said.contains("set advmss of the route default interface"), "{said}");
    assert!(said.contains("10.77.0.0/16 interface"), "{said}");
    for member in members {
        let mss = segments_to(&bench, member)?;
        assert!((1300..=1360).contains(&mss), "{mss} to {member}");
    }
    let again = bench.elb(&format!("{up} --mss 1360"))?;
    assert!(
        again.contains("advmss of the route default") && again.contains("is 1360 already"),
        "{again}"
    );
    bench.elb(&format!("{up} --mss 1340"))?;
    let member = bench.lab.member_addr(0, Family::V4);
    assert!(segments_to(&bench, member)? <= 1340);
    assert!(!bench.elb("status")?.contains("problem"), "{}", bench.elb("status")?);

    // Made anew, as by a DHCP client; and one that a harmless size came with.
    bench.host().ip(&format!(
        "route replace default via 10.0.0.10 dev {DEVICE} metric 7\n\
         route add 10.78.0.0/16 via 10.0.0.10 dev {DEVICE} mtu 1300"
    ))?;
    let shown = elb_tests::process::ended(bench.command("status"), LIMIT)?;
    assert_eq!(shown.code, Some(1), "{shown:?}");
    let shown = shown.printed;
    assert_eq!(shown.matches("problem: ").count(), 1, "{shown}");
    let words = "the route default interface";
    assert!(shown.contains(words) && shown.contains("again, with --mss 1340"), "{shown}");
    bench.elb(&format!("{up} --mss 1340"))?;
    assert!(!bench.elb("status")?.contains("problem"), "{}", bench.elb("status")?);
    bench.host().ip("route del 10.78.0.0/16")?;

    // What another changed since stays; the rest is as it was.
    bench.elb("down --all")?;
    assert_eq!(bench.look()?, before);
    Ok(())
}

#[test]
fn a_unit_repeats_the_command() -> Result<()> {
    let bench = Bench::new()?;
    let before = bench.look()?;
    let vip = bench.lab.vip4();
    let unit = bench.elb(&format!(
        "up --vip {vip} --mode ipip --from 10.0.0.2 --interface {DEVICE} --print-unit"
    ))?;
    assert_eq!(bench.look()?, before, "it is only printed");
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart="));
    let stop = unit.lines().find_map(|line| line.strip_prefix("ExecStop="));
    let run = |line: Option<&str>| -> Result<()> {
        let mut words = line.unwrap_or_default().split(' ');
        let mut command = bench.host().command(words.next().unwrap_or_default());
        command.args(words);
        elb_tests::process::output(command, LIMIT).map(drop)
    };
    run(start)?;
    assert!(bench.serves(Family::V4, vip)?);
    run(stop)?;
    assert_eq!(bench.look()?, before);
    Ok(())
}
