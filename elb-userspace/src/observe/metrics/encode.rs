//! A scrape as text: each family of metrics once, with all of its series.

use std::time::{SystemTime, UNIX_EPOCH};
use std::{fmt, io};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabel as _, EncodeLabelSet, LabelSetEncoder, MetricEncoder,
    NoLabelSet, prometheus_text, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::family::{Kind, MetricFamily};
use super::histogram::Histogram;

/// A format of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// The best one that an `Accept` header takes: OpenMetrics where it is named, since a client that does
    /// not know it does not name it.
    pub fn accepted(header: &str) -> Self {
        let is_named = |part: &str| {
            let mut words = part.split(';').map(str::trim);
            let is_refused = part.split(';').any(|word| {
                word.trim().starts_with("q=0") && {
                    word.trim()["q=".len()..].parse().is_ok_and(|weight: f32| weight <= 0.0)
                }
            });
            words
                .next()
                .is_some_and(|kind| kind.eq_ignore_ascii_case("application/openmetrics-text"))
                && !is_refused
        };
        if header.split(',').any(is_named) { Self::OpenMetrics } else { Self::Text }
    }

    /// What the `Content-Type` header says.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => prometheus_text::CONTENT_TYPE,
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Writes a scrape down, series by series, to `out`, which is given back and alone holds all of it.
///
/// # Errors
/// `out` takes no more.
pub fn encoded<W: io::Write>(scrape: impl Collector, format: Format, out: W) -> io::Result<W> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(scrape));
    let mut text = Text { out, refused: None };
    let written = match format {
        Format::Text => prometheus_text::encode(&mut text, &registry),
        Format::OpenMetrics => text::encode(&mut text, &registry),
    };
    match text.refused {
        Some(error) => Err(error),
        None => written.map(|()| text.out).map_err(io::Error::other),
    }
}

/// Text that goes to where bytes go.
struct Text<W> {
    out: W,
    refused: Option<io::Error>,
}

impl<W: io::Write> fmt::Write for Text<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.out.write_all(text.as_bytes()).map_err(|error| {
            self.refused = Some(error);
            fmt::Error
        })
    }
}

/// Where families are written to.
pub(super) struct Writer<'a, 'e>(pub(super) &'a mut DescriptorEncoder<'e>);

/// What a series is at present.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'h> {
    Whole(u64),
    Real(f64),
    Histogram(&'h Histogram),
    Info,
}

impl From<bool> for Value<'_> {
    fn from(is: bool) -> Self {
        Self::Whole(is.into())
    }
}

impl From<SystemTime> for Value<'_> {
    fn from(time: SystemTime) -> Self {
        Self::Real(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64())
    }
}

impl Writer<'_, '_> {
    /// A family with a series without labels.
    pub(super) fn one<'h>(
        &mut self,
        family: &MetricFamily,
        value: impl Into<Value<'h>>,
    ) -> fmt::Result {
        self.all(family, [([""; 0], value.into())])
    }

    /// A family with all its series: values of labels, in the order of the family, and of the metric.
    pub(super) fn all<'h, L: AsRef<str>, const N: usize>(
        &mut self,
        family: &MetricFamily,
        series: impl IntoIterator<Item = ([L; N], Value<'h>)>,
    ) -> fmt::Result {
        debug_assert_eq!(family.labels.len(), N, "{}", family.base);
        let unit = (!family.unit.is_empty()).then(|| Unit::Other(family.unit.to_owned()));
        let kind = match family.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Histogram => MetricType::Histogram,
            Kind::Info => MetricType::Info,
        };
        let mut out = self.0.encode_descriptor(family.base, family.help, unit.as_ref(), kind)?;
        for (values, value) in series {
            let labels = Labels { names: family.labels, values: &values };
            match (family.kind, value) {
                (Kind::Info, _) => out.encode_info(&labels)?,
                (_, value) if N == 0 => point(&mut out, family.kind, value)?,
                (_, value) => point(&mut out.encode_family(&labels)?, family.kind, value)?,
            }
        }
        Ok(())
    }
}

fn point(out: &mut MetricEncoder<'_>, kind: Kind, value: Value<'_>) -> fmt::Result {
    match (kind, value) {
        (Kind::Counter, Value::Whole(count)) => {
            out.encode_counter::<NoLabelSet, u64, u64>(&count, None)
        }
        (Kind::Counter, Value::Real(sum)) => out.encode_counter::<NoLabelSet, f64, f64>(&sum, None),
        (_, Value::Whole(number)) => out.encode_gauge(&number),
        (_, Value::Real(number)) => out.encode_gauge(&number),
        (_, Value::Histogram(histogram)) => {
            let (sum, count) = (histogram.sum(), histogram.count());
            out.encode_histogram::<NoLabelSet>(sum, count, &histogram.classes(), None)
        }
        (_, Value::Info) => Ok(()),
    }
}

/// Labels of a series. The library escapes their values.
struct Labels<'v, L> {
    names: &'static [&'static str],
    values: &'v [L],
}

impl<L: AsRef<str>> EncodeLabelSet for Labels<'_, L> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        for (name, value) in self.names.iter().zip(self.values) {
            (*name, value.as_ref()).encode(encoder.encode_label())?;
        }
        Ok(())
    }
}
