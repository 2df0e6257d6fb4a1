//! Instructions a packet, where the clock counts instructions (`cargo xtask bench insns`). Caches do
//! not matter there, so few flows say as much as many.

use anyhow::{Context as _, Result, ensure};

use super::cases::{Against, CASES, Case};
use super::load::{Load, Scale};
use crate::report::{Figure, Row, Section};
use crate::trials::Trials;

const SCALE: Scale = Scale {
    cycles: 24,
    most_flows: 1 << 12,
    few_records: 1 << 10,
    usual_records: 1 << 14,
    many_records: 1 << 15,
};

pub fn section() -> Result<Section> {
    let mut load = Load::new(SCALE)?;
    // Two programs side by side are no case for a baseline: one of them is another case already.
    let own = CASES.iter().filter(|case| !matches!(case.bar, Some((_, Against::Uncounted))));
    let rows = own.map(|case| row(&mut load, case).context(case.name));
    let rows = rows.collect::<Result<_>>()?;
    ensure!(load.records_on_settled_rings()? == 0, "packets on settled rings made records");
    Ok(Section { name: "instructions", rows, notes: Vec::new() })
}

/// The median of the cycles: ticks of the clock are in few of them.
fn row(load: &mut Load, case: &Case) -> Result<Row> {
    let cycles = load.trial(case)?;
    let net: Trials = cycles.iter().map(|cycle| cycle.subject - cycle.nothing).collect();
    let figures = vec![Figure::new("net_ns", 1, net.median())];
    Ok(Row { case: case.name.to_owned(), figures, bars: Vec::new() })
}
