//! A run in stages: what it will take, a header for each, and a summary of all when the run ends,
//! well or not.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::expected::{self, Stage};

pub(crate) struct Stages {
    begun: Instant,
    done: Vec<Done>,
    skipped: Vec<String>,
}

struct Done {
    name: &'static str,
    took: Duration,
    failed: bool,
}

impl Stages {
    /// Says what is going to be done, and the minutes to expect.
    pub(crate) fn begin(plan: &[Stage]) -> Self {
        println!("{}", expected::describe(plan));
        Self { begun: Instant::now(), done: Vec::new(), skipped: Vec::new() }
    }

    pub(crate) fn run<T>(&mut self, stage: Stage, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let name = stage.name;
        println!("\n== {name}: {stage} ({:.1} s since start)", self.begun.elapsed().as_secs_f64());
        let begun = Instant::now();
        let result = work();
        self.done.push(Done { name, took: begun.elapsed(), failed: result.is_err() });
        result.with_context(|| format!("{name} failed"))
    }

    /// Like [`Stages::run`], for work that returns what of it could not be done here and why.
    pub(crate) fn run_what_can_be(
        &mut self,
        stage: Stage,
        work: impl FnOnce() -> Result<Option<String>>,
    ) -> Result<()> {
        if let Some(why) = self.run(stage, work)? {
            self.skip(why);
        }
        Ok(())
    }

    /// Says what cannot be done here and why, now and in the summary.
    pub(crate) fn skip(&mut self, why: String) {
        println!("SKIPPED  {why}");
        self.skipped.push(why);
    }
}

impl Drop for Stages {
    fn drop(&mut self) {
        println!("\n== summary ({:.1} s)", self.begun.elapsed().as_secs_f64());
        for stage in &self.done {
            let verdict = if stage.failed { "FAILED" } else { "ok" };
            println!("{:>8.1} s  {verdict:<6}  {}", stage.took.as_secs_f64(), stage.name);
        }
        for why in &self.skipped {
            println!("{:>10}  SKIPPED {why}", "");
        }
    }
}
