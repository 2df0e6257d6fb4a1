//! A log line as a JSON object: time, level, event id where it has one, message, and its fields by name.

use std::fmt;
use std::time::SystemTime;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::now;
use crate::api::shape::status::timestamp_millis;

/// Writes a JSON object a line.
#[derive(Debug)]
pub struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let level = event.metadata().level().as_str().to_ascii_lowercase();
        writeln!(out, "{}", fields.line(now().wall, &level, event.metadata().target()))
    }
}

/// What an event has.
#[derive(Default)]
struct Fields {
    message: String,
    event_id: Option<Value>,
    fields: Map<String, Value>,
}

impl Fields {
    fn line(self, now: SystemTime, level: &str, target: &str) -> Value {
        let mut line = Map::new();
        line.insert("time".to_owned(), timestamp_millis(now).into());
        line.insert("level".to_owned(), level.into());
        if let Some(id) = self.event_id {
            line.insert("event_id".to_owned(), id);
        }
        line.insert("message".to_owned(), self.message.into());
        line.insert("target".to_owned(), target.into());
        line.insert("fields".to_owned(), self.fields.into());
        line.into()
    }

    fn take(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            ("event_id", id) => self.event_id = Some(id),
            // What programs that log by the crate `log` say of themselves.
            (name, _) if name.starts_with("log.") => {}
            (name, value) => drop(self.fields.insert(name.to_owned(), value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.take(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.take(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.take(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.take(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_an_object_with_what_is_the_same_everywhere_in_front() {
        let lines = Lines::default();
        let written = lines.clone();
        let log = tracing_subscriber::fmt()
            .event_format(JsonLines)
            .with_writer(move || lines.clone())
            .finish();
        tracing::subscriber::with_default(log, || {
            tracing::warn!(event_id = "healthCheckUnhealthy", port = 80, pool = %"w\"\n", "it \"failed\"");
            tracing::info!("plain");
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert_eq!(lines[0]["event_id"], "healthCheckUnhealthy");
        assert_eq!(
            (&lines[0]["level"], &lines[0]["message"]),
            (&"warn".into(), &"it \"failed\"".into())
        );
        assert_eq!(lines[0]["fields"], serde_json::json!({"port": 80, "pool": "w\"\n"}));
        assert!(lines[0]["time"].as_str().unwrap().ends_with('Z'));
        assert_eq!((&lines[1]["event_id"], &lines[1]["message"]), (&Value::Null, &"plain".into()));
    }
}
