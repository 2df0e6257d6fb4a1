//! Cycles of turns, and which of them count.
//!
//! What is compared takes turns, and all turns together are a cycle; see `elb_tests_ebpf::bench`.
//!
//! A virtual CPU often shares a core with another one: while that works, everything takes half as
//! long again, and it takes its part of the caches, which are not filled again at once. The program
//! that does nothing shows it: a cycle counts if that program's turns, in this cycle and in some
//! before it, were about as fast as they can be.

use crate::trials::Trials;

/// Nanoseconds a packet in the turn of each role.
#[derive(Clone, Copy, Debug)]
pub struct Cycle {
    pub subject: f64,
    pub against: f64,
    pub floor: f64,
    pub nothing: f64,
    /// The slowest turn of the program that does nothing, in this cycle and in [`WARM_UP`] before.
    pub slowest_nothing: f64,
}

/// Cycles of a case in one load of the programs.
pub type Cycles = Vec<Cycle>;

/// Cycles in which caches are filled: in so many turns, a packet meets each line of a ring of
/// 65,537 slots twice.
const WARM_UP: usize = 8;
/// How much slower than ever a turn of nothing may be.
const TOLERANCE: f64 = 1.1;
/// The same, where code and maps came to lie elsewhere.
const ELSEWHERE: f64 = 1.25;
/// Fewer cycles say nothing.
const ENOUGH: usize = 16;

impl Cycle {
    /// Cycles from the lengths of turns; those that warm up are left out.
    pub fn of(turns: &[f64]) -> Cycles {
        let cycle = |cycles: &[&[f64]]| Self {
            subject: cycles[WARM_UP][0],
            against: cycles[WARM_UP][1],
            floor: cycles[WARM_UP][2],
            nothing: cycles[WARM_UP][3],
            slowest_nothing: cycles.iter().map(|cycle| cycle[3]).fold(0.0, f64::max),
        };
        turns.chunks_exact(4).collect::<Vec<_>>().windows(WARM_UP + 1).map(cycle).collect()
    }
}

/// How fast nothing can be: not the fastest of all turns, which is luck, but nearly.
pub fn fastest<'a>(cycles: impl IntoIterator<Item = &'a Cycle>) -> f64 {
    let mut turns: Vec<f64> = cycles.into_iter().map(|cycle| cycle.nothing).collect();
    turns.sort_by(f64::total_cmp);
    turns.get(turns.len() / 50).copied().unwrap_or(f64::INFINITY)
}

/// Limits of quietness: one for each load of the programs.
pub fn limits(loads: &[Cycles]) -> Vec<f64> {
    let each: Vec<f64> = loads.iter().map(fastest).collect();
    let ever = each.iter().copied().fold(f64::INFINITY, f64::min);
    each.iter().map(|fastest| TOLERANCE * fastest.min(ELSEWHERE * ever)).collect()
}

/// Those of `cycles` that were not disturbed.
pub fn quiet(cycles: &[Cycle], limit: f64) -> Cycles {
    cycles.iter().filter(|cycle| cycle.slowest_nothing <= limit).copied().collect()
}

/// Whether there are enough quiet cycles.
pub fn is_enough(cycles: &[Cycle], limit: f64) -> bool {
    quiet(cycles, limit).len() >= 4 * ENOUGH
}

/// What the cycles that count say.
#[derive(Clone, Debug)]
pub struct Counted {
    /// For each load that counts.
    pub means: Vec<Means>,
    /// How many quiet cycles counted; 0: there are none, and the least disturbed ones counted.
    pub quiet: usize,
}

/// Nanoseconds a packet in the turns of each role.
#[derive(Clone, Copy, Debug)]
pub struct Means {
    pub subject: f64,
    pub against: f64,
    pub floor: f64,
    pub nothing: f64,
}

impl Counted {
    /// The quiet cycles of each load that has enough of them; where no load has, its least
    /// disturbed ones.
    pub fn of(loads: &[Cycles], limits: &[f64]) -> Self {
        let quiet = loads.iter().zip(limits).map(|(cycles, limit)| quiet(cycles, *limit));
        let quiet: Vec<_> = quiet.filter(|cycles| cycles.len() >= ENOUGH).collect();
        let means = if quiet.is_empty() {
            loads.iter().map(|load| Means::of(&least_disturbed(load))).collect()
        } else {
            quiet.iter().map(|cycles| Means::of(cycles)).collect()
        };
        Self { means, quiet: quiet.iter().map(Vec::len).sum() }
    }

    /// A figure of each load.
    pub fn trials(&self, figure: impl Fn(&Means) -> f64) -> Trials {
        self.means.iter().map(figure).collect()
    }

    /// The median of a figure over the loads.
    pub fn median(&self, figure: impl Fn(&Means) -> f64) -> f64 {
        self.trials(figure).median()
    }
}

fn least_disturbed(cycles: &[Cycle]) -> Cycles {
    let mut cycles = cycles.to_vec();
    cycles.sort_by(|one, other| one.slowest_nothing.total_cmp(&other.slowest_nothing));
    cycles.truncate(ENOUGH);
    cycles
}

impl Means {
    fn of(cycles: &[Cycle]) -> Self {
        let mean = |turn: fn(&Cycle) -> f64| -> f64 {
            cycles.iter().map(turn).collect::<Trials>().interquartile_mean()
        };
        Self {
            subject: mean(|cycle| cycle.subject),
            against: mean(|cycle| cycle.against),
            floor: mean(|cycle| cycle.floor),
            nothing: mean(|cycle| cycle.nothing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cycles in which everything takes `slow` times as long, and the subject even more.
    fn turns(slow: f64, cycles: usize) -> Vec<f64> {
        [30.0 * slow * slow, 20.0 * slow, 20.0 * slow, 10.0 * slow].repeat(cycles)
    }

    #[test]
    fn only_cycles_after_quiet_ones_count() {
        let cycles =
            Cycle::of(&[turns(1.0, 12), turns(1.5, 1), turns(1.05, 10), turns(1.0, 2)].concat());
        assert_eq!(cycles.len(), 25 - WARM_UP);
        let quiet = quiet(&cycles, TOLERANCE * fastest(&cycles));
        let counted: Vec<f64> = quiet.iter().map(|cycle| cycle.nothing).collect();
        assert_eq!(counted, [10.0, 10.0, 10.0, 10.0, 10.5, 10.5, 10.0, 10.0]);
    }

    #[test]
    fn loud_loads_do_not_count_next_to_quiet_ones() {
        let loads = [1.0, 1.5, 1.2].map(|slow| Cycle::of(&turns(slow, 30)));
        let limits = limits(&loads);
        assert_eq!(limits[2], TOLERANCE * 12.0);
        let counted = Counted::of(&loads, &limits);
        assert_eq!((counted.means.len(), counted.quiet), (2, 2 * (30 - WARM_UP)));
        let Means { subject, floor, nothing, .. } = counted.means[0];
        assert_eq!((subject, floor, nothing), (30.0, 20.0, 10.0));
    }

    #[test]
    fn where_all_is_loud_the_least_loud_counts() {
        let loads = [Cycle::of(&[turns(1.6, 30), turns(1.5, 30)].concat())];
        let counted = Counted::of(&loads, &[11.0]);
        assert_eq!((counted.quiet, counted.means[0].nothing), (0, 15.0));
    }
}
