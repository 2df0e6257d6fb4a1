//! Counts lines of the log, by level.

use std::sync::atomic::{AtomicU64, Ordering};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

static ERRORS: AtomicU64 = AtomicU64::new(0);
static WARNINGS: AtomicU64 = AtomicU64::new(0);
static INFORMATION: AtomicU64 = AtomicU64::new(0);
static DEBUG: AtomicU64 = AtomicU64::new(0);

/// A part of the log that counts what passes.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogCounts;

impl<S: Subscriber> Layer<S> for LogCounts {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let count = match *event.metadata().level() {
            Level::ERROR => &ERRORS,
            Level::WARN => &WARNINGS,
            Level::INFO => &INFORMATION,
            Level::DEBUG | Level::TRACE => &DEBUG,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Lines so far.
pub(in crate::agent) fn logged() -> [(&'static str, u64); 4] {
    let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
    [
        ("error", read(&ERRORS)),
        ("warn", read(&WARNINGS)),
        ("info", read(&INFORMATION)),
        ("debug", read(&DEBUG)),
    ]
}
