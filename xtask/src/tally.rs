//! How the tests of a run ended.

/// How many tests passed, failed, and were left out.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Tally {
    passed: u32,
    failed: u32,
    skipped: u32,
}

impl Tally {
    /// Reads the closing line of a test program.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
        let count = |name: &str| {
            counts.split("; ").find_map(|count| count.strip_suffix(name)?.trim().parse().ok())
        };
        Some(Self {
            passed: count("passed")?,
            failed: count("failed")?,
            skipped: count("ignored")?,
        })
    }

    pub(crate) fn and(&self, other: &Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
        }
    }

    pub(crate) fn ran(&self) -> u32 {
        self.passed + self.failed
    }

    pub(crate) fn describe(&self) -> String {
        let Self { passed, failed, skipped } = self;
        format!("{passed} passed, {failed} failed, {skipped} skipped")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_how_a_test_program_closed() {
        let ok = "test result: ok. 12 passed; 0 failed; 3 ignored; 0 measured; 4 filtered out; \
                  finished in 0.01s";
        assert_eq!(Tally::parse(ok), Some(Tally { passed: 12, failed: 0, skipped: 3 }));
        let failed =
            "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(Tally::parse(failed), Some(Tally { passed: 1, failed: 2, skipped: 0 }));
        assert_eq!(Tally::parse("running 12 tests"), None);
    }

    #[test]
    fn tallies_add_up() {
        let one = Tally { passed: 1, failed: 2, skipped: 3 };
        assert_eq!(one.and(&one).describe(), "2 passed, 4 failed, 6 skipped");
        assert_eq!(one.ran(), 3);
    }
}
