//! One line for each step: whether what it claims held, and the figures.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    time::Duration,
};

use anyhow::Result;

/// What a step found.
pub(crate) struct Finding {
    /// Whether what the step claims held.
    pub(crate) held: bool,
    /// The figures, a line or several.
    pub(crate) figures: String,
}

impl Finding {
    pub(crate) fn new(held: bool, figures: impl Into<String>) -> Self {
        Self { held, figures: figures.into() }
    }
}

/// The lines until now.
pub(crate) struct Report {
    terminal: bool,
    all_held: bool,
}

impl Report {
    /// An empty report; `terminal` if people watch it on one.
    pub(crate) fn new(terminal: bool) -> Self {
        Self { terminal, all_held: true }
    }

    /// Whether every step held.
    pub(crate) fn all_held(&self) -> bool {
        self.all_held
    }

    /// Shows people which step is under way.
    pub(crate) fn begin(&self, name: &str) {
        if self.terminal {
            print!("  {name} …");
            // A line that shows late is no reason to end.
            let _ = io::stdout().flush();
        }
    }

    /// Prints the line of a step. A step that found nothing, because something else went wrong, is
    /// an error: the ones after it would make no sense.
    pub(crate) fn note(&mut self, name: &str, found: Result<Finding>) -> Result<()> {
        let (held, figures, error) = match found {
            Ok(finding) => (finding.held, finding.figures, None),
            Err(error) => (false, "could not be shown".to_owned(), Some(error)),
        };
        self.all_held &= held;
        let mut lines = figures.lines();
        if self.terminal {
            print!("\r\x1b[K");
        }
        println!("{} {name:<12} {}", self.mark(held), lines.next().unwrap_or_default());
        for line in lines {
            println!("  {:<12} {line}", "");
        }
        error.map_or(Ok(()), Err)
    }

    fn mark(&self, held: bool) -> &'static str {
        match (held, self.terminal) {
            (true, true) => "\x1b[32m✓\x1b[0m",
            (true, false) => "✓",
            (false, true) => "\x1b[31m✗\x1b[0m",
            (false, false) => "✗",
        }
    }
}

/// `4000` as `4,000`.
pub(crate) fn count(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A time with as much precision as says something.
pub(crate) fn time(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{} ms", time.as_millis())
    } else {
        format!("{:.2} s", time.as_secs_f64())
    }
}

/// `1,234/s`, for so many in so much time.
pub(crate) fn rate(number: usize, duration: Duration) -> String {
    let milliseconds = usize::try_from(duration.as_millis()).unwrap_or(usize::MAX).max(1);
    format!("{}/s", count(number.saturating_mul(1_000) / milliseconds))
}

/// `2 refused, 1 timed out` and the like, for failures by kind.
pub(crate) fn kinds<K: Ord + std::fmt::Debug>(failures: impl Iterator<Item = K>) -> String {
    let mut counts: BTreeMap<K, usize> = BTreeMap::new();
    for kind in failures {
        *counts.entry(kind).or_default() += 1;
    }
    let each = counts.iter().map(|(kind, number)| format!("{} {kind:?}", count(*number)));
    each.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let grouped = [7, 999, 4_000, 1_234_567].map(count);
        assert_eq!(grouped, ["7", "999", "4,000", "1,234,567"]);
    }

    #[test]
    fn a_rate_is_by_the_second() {
        assert_eq!(rate(4_000, Duration::from_millis(500)), "8,000/s");
        assert_eq!(rate(1, Duration::ZERO), "1,000/s");
    }
}
