//! What a packet costs: the forwarding program against a floor, in one run.
//!
//! The method and its reasons: `elb_tests_ebpf::bench` and [`crate::cycles`]. Absolute times are those of
//! the machine; the ratios are the result.

mod cases;
pub mod instructions;
mod load;
mod sources;

use anyhow::{Context as _, Result, ensure};

use self::cases::{Against, CASES, Case};
use self::load::{Load, Scale};
use crate::cpu;
use crate::cycles::{self, Counted, Cycles};
use crate::effort::Effort;
use crate::report::{Bar, Figure, Row, Section};
use crate::turns::CYCLES;

/// As many records as an agent makes room for by default, and more than there are flows in the
/// cases that record them all.
const SCALE: Scale = Scale {
    cycles: CYCLES,
    most_flows: u32::MAX,
    few_records: 1 << 16,
    usual_records: 1 << 20,
    many_records: 1 << 22,
};

pub fn section(effort: Effort) -> Result<Section> {
    // Where code and maps come to lie differs from load to load, and with it what a packet costs.
    let (loads, passes) = effort.of((3, 1..=2), (9, 2..=12));
    let mut found = Found::default();
    let mut records = 0;
    for _ in 0..loads {
        found.0.iter_mut().for_each(|loads| loads.push(Cycles::new()));
        records += cpu::alone(|| found.measure(*passes.start(), *passes.end()))?;
    }
    ensure!(records == 0, "packets on settled rings made {records} records in the flow tables");
    let limits = found.limits();
    let mut rows = vec![floor(&found.0[0], &limits)];
    rows.extend(CASES.iter().zip(&found.0).map(|(case, loads)| row(case, loads, &limits)));
    let all: usize = found.0.iter().flatten().map(Vec::len).sum();
    let loads_of_all = found.0.iter().flat_map(|loads| loads.iter().zip(&limits));
    let quiet = loads_of_all.map(|(cycles, limit)| cycles::quiet(cycles, *limit).len());
    let notes = vec![
        format!(
            "Medians of {loads} loads of the programs; `spread`: half of their ratios are within so \
             many percent of the median. `quiet`: cycles that were not disturbed, {:.0} % of all; \
             where there are none, the least disturbed ones counted.",
            quiet.sum::<usize>() as f64 / all as f64 * 100.0
        ),
        format!(
            "Records that packets on settled rings, the SYN flood included, made in the flow \
             tables: {records}."
        ),
    ];
    Ok(Section { name: "packets", rows, notes })
}

/// The cycles of each case, in each load.
struct Found(Vec<Vec<Cycles>>);

impl Default for Found {
    fn default() -> Self {
        Self(vec![Vec::new(); CASES.len()])
    }
}

impl Found {
    /// Goes through all cases `least` times, and then up to `most` times through those that were
    /// disturbed too often. How many records were made that should not be.
    fn measure(&mut self, least: usize, most: usize) -> Result<usize> {
        let mut load = Load::new(SCALE)?;
        for pass in 0..most {
            let limit = self.limits().pop().unwrap_or(f64::INFINITY);
            for (case, loads) in CASES.iter().zip(&mut self.0) {
                let cycles = loads.last_mut().context("a load was begun")?;
                if pass < least || !cycles::is_enough(cycles, limit) {
                    cycles.extend(load.trial(case).context(case.name)?);
                }
            }
        }
        load.records_on_settled_rings()
    }

    /// How slow the program that does nothing may be, for each load.
    fn limits(&self) -> Vec<f64> {
        let loads = self.0.first().map_or(0, Vec::len);
        let all = |load: usize| self.0.iter().flat_map(|loads| loads[load].clone()).collect();
        cycles::limits(&(0..loads).map(all).collect::<Vec<_>>())
    }
}

fn floor(loads: &[Cycles], limits: &[f64]) -> Row {
    let mut counted = Counted::of(loads, limits);
    counted.means.iter_mut().for_each(|means| means.subject = means.floor);
    let case = "floor: look-ups and encapsulation only".to_owned();
    Row { case, figures: figures(&counted), bars: Vec::new() }
}

fn row(case: &Case, loads: &[Cycles], limits: &[f64]) -> Row {
    let counted = Counted::of(loads, limits);
    let bar = case.bar.map(|(limit, against)| {
        let multiple =
            || counted.median(|of| (of.subject - of.nothing) / (of.against - of.nothing));
        match against {
            Against::Floor => Bar::at_most(multiple(), limit, "× floor"),
            Against::Case(name) => Bar::at_most(multiple(), limit, format!("× {name}")),
            Against::Uncounted => {
                let more = counted.median(|of| of.subject - of.against);
                Bar::at_most(more, limit, "ns more than without them")
            }
        }
    });
    Row { case: case.name.to_owned(), figures: figures(&counted), bars: Vec::from_iter(bar) }
}

fn figures(counted: &Counted) -> Vec<Figure> {
    let ratios = counted.trials(|of| (of.subject - of.nothing) / (of.floor - of.nothing));
    vec![
        Figure::new("net_ns", 1, counted.median(|of| of.subject - of.nothing)),
        Figure::new("floor_net_ns", 1, counted.median(|of| of.floor - of.nothing)),
        Figure::new("ratio", 2, ratios.median()),
        Figure::new("spread", 0, ratios.spread() * 100.0),
        Figure::new("quiet", 0, counted.quiet as f64),
    ]
}
