//! Other load balancers of Linux next to elb, in labs of the same shape, in one run.
//!
//! Each has a lab of its own: a client, the load balancer, and two backends with nginx, joined by one
//! bridge, or by two where the load balancer has an interface in each, offloads off on all devices. They are measured in turn, round after round, so that what
//! disturbs the machine disturbs all alike. Client, load balancer and backends share the machine, so
//! connections a second say less about the load balancer than CPU time a connection does.

mod contender;
mod load;
mod programs;

use std::time::Duration;

use anyhow::{Result, ensure};
use elb_tests::config::Forwarding;

use self::contender::Contender;
use self::load::Load;
use crate::effort::Effort;
use crate::report::{Bar, Figure, Row, Section};
use crate::trials::Trials;

/// How many times the connections of nft elb must translate.
const TIMES_NFT: f64 = 1.15;

pub fn section(effort: Effort) -> Result<Section> {
    programs::require()?;
    let contenders = [
        Contender::none()?,
        Contender::haproxy()?,
        Contender::nginx()?,
        Contender::nft()?,
        Contender::elb("elb, l2", Forwarding::L2)?,
        Contender::elb("elb, ipip", Forwarding::Ipip)?,
        Contender::elb("elb, gue", Forwarding::Gue)?,
        Contender::nft_between()?,
        Contender::nat()?,
    ];
    let (rounds, length) = effort.of((3, 1), (7, 2));
    let mut loads: Vec<Vec<Load>> = contenders.iter().map(|_| Vec::new()).collect();
    // The first round warms up.
    for round in 0..=rounds {
        for (contender, loads) in contenders.iter().zip(&mut loads) {
            let load =
                load::run(contender.client(), contender.target, Duration::from_secs(length))?;
            ensure!(load.connections > 0, "{} serves no client", contender.name);
            if round > 0 {
                loads.push(load);
            }
        }
    }
    let mut rows: Vec<Row> =
        contenders.iter().zip(&loads).map(|(one, loads)| row(one.name, loads)).collect();
    bar(&mut rows, &contenders, &loads);
    let notes = vec![format!(
        "`wrk` with 64 connections at a time, a new one for each request, {length} s, medians of \
         {rounds}. CPU time is that of the whole machine: client, load balancer, backends, and \
         whatever else runs. `failed`: requests without an answer, in percent."
    )];
    Ok(Section { name: "peers", rows, notes })
}

/// What translates is compared with what translates, round by round.
fn bar(rows: &mut [Row], contenders: &[Contender], loads: &[Vec<Load>]) {
    let place = |name: &str| contenders.iter().position(|one| one.name == name);
    let (Some(nat), Some(nft)) = (place(contender::NAT), place(contender::NFT)) else { return };
    let rounds = loads[nat].iter().zip(&loads[nft]);
    let times = rounds.map(|(nat, nft)| nat.rate() / nft.rate()).collect::<Trials>().median();
    rows[nat].bars.push(Bar::at_least(times, TIMES_NFT, "× nft"));
}

fn row(name: &str, loads: &[Load]) -> Row {
    let of = |figure: fn(&Load) -> f64| loads.iter().map(figure).collect::<Trials>();
    let rates = of(|load| load.rate());
    let failed = of(|load| load.failed as f64 / (load.connections + load.failed) as f64 * 100.0);
    let figures = vec![
        Figure::new("connections_a_second", 0, rates.median()),
        Figure::new("spread", 0, rates.spread() * 100.0),
        Figure::new(
            "CPU_µs_a_connection",
            1,
            of(|load| load.cpu_seconds * 1e6 / load.connections as f64).median(),
        ),
        Figure::new("failed", 2, failed.median()),
    ];
    Row { case: name.to_owned(), figures, bars: Vec::new() }
}
