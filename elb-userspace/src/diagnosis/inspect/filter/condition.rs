//! What a rule asks of a packet, and the answer: yes, no, or unknown.

use super::field::{Field, Span, Value};
use super::packet::FilterPacket;

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    Yes,
    /// It does not.
    No,
    /// The packet has no such field: the rule does not apply, asked the other way round either.
    Absent,
    /// It cannot be known.
    Maybe,
}

/// A question about a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// A field has, under `mask`, one of these values.
    Is {
        /// The field.
        field: Field,
        /// The bits of it that count; all, if none is given.
        mask: Option<u128>,
        /// The values.
        spans: Vec<Span>,
    },
    /// It does not hold.
    Not(Box<Self>),
    /// One of them holds.
    Any(Vec<Self>),
    /// All of them hold.
    All(Vec<Self>),
    /// It is not understood.
    Unknown,
}

impl Value {
    /// A number that is known, or anything.
    pub fn known(number: Option<u128>) -> Self {
        number.map_or(Self::Any, |number| Self::Between(number, number))
    }
}

impl Condition {
    /// A field that has one of these values.
    pub fn is(field: Field, spans: Vec<Span>) -> Self {
        Self::Is { field, mask: None, spans }
    }

    /// The contrary, if `negated`.
    #[must_use]
    pub fn negate(self, negated: bool) -> Self {
        if negated { Self::Not(Box::new(self)) } else { self }
    }

    /// Whether it holds for `packet`.
    pub fn holds(&self, packet: &FilterPacket) -> Truth {
        match self {
            Self::Is { field, mask, spans } => is(&packet.value(*field), *mask, spans),
            Self::Not(condition) => match condition.holds(packet) {
                Truth::Yes => Truth::No,
                Truth::No => Truth::Yes,
                other @ (Truth::Absent | Truth::Maybe) => other,
            },
            Self::Any(conditions) => any(conditions.iter().map(|one| one.holds(packet))),
            Self::All(conditions) => all(conditions.iter().map(|one| one.holds(packet))),
            Self::Unknown => Truth::Maybe,
        }
    }
}

fn is(value: &Value, mask: Option<u128>, spans: &[Span]) -> Truth {
    let (low, high) = match value {
        Value::Absent => return Truth::Absent,
        Value::Any => return anything(mask, spans),
        Value::Name(name) => return named(name, spans),
        Value::Between(low, high) => (*low, *high),
    };
    let (low, high) = match mask {
        None => (low, high),
        Some(mask) if low == high => (low & mask, low & mask),
        Some(_) => return Truth::Maybe,
    };
    let mut answer = Truth::No;
    for span in spans {
        match span {
            Span::Numbers(from, to) if *from <= low && high <= *to => return Truth::Yes,
            Span::Numbers(from, to) if *from <= high && low <= *to => answer = Truth::Maybe,
            Span::Numbers(..) => {}
            Span::Name(_) | Span::Prefix(_) => answer = Truth::Maybe,
        }
    }
    answer
}

/// A value that is not known is in a span that holds every value.
fn anything(mask: Option<u128>, spans: &[Span]) -> Truth {
    let every = |span: &Span| matches!(span, Span::Numbers(0, u128::MAX));
    match (mask, spans) {
        (None, spans) if spans.iter().any(every) => Truth::Yes,
        (_, []) => Truth::No,
        (_, _) => Truth::Maybe,
    }
}

fn named(name: &str, spans: &[Span]) -> Truth {
    let fits = spans.iter().any(|span| match span {
        Span::Name(one) => one == name,
        Span::Prefix(prefix) => name.starts_with(prefix.as_str()),
        Span::Numbers(..) => false,
    });
    let numbers = spans.iter().any(|span| matches!(span, Span::Numbers(..)));
    match (fits, numbers) {
        (true, _) => Truth::Yes,
        (false, true) => Truth::Maybe,
        (false, false) => Truth::No,
    }
}

fn any(truths: impl Iterator<Item = Truth>) -> Truth {
    let mut answer = Truth::No;
    for truth in truths {
        match truth {
            Truth::Yes => return Truth::Yes,
            Truth::Maybe => answer = Truth::Maybe,
            Truth::Absent if answer == Truth::No => answer = Truth::Absent,
            Truth::Absent | Truth::No => {}
        }
    }
    answer
}

fn all(truths: impl Iterator<Item = Truth>) -> Truth {
    let mut answer = Truth::Yes;
    for truth in truths {
        match truth {
            Truth::Absent => return Truth::Absent,
            Truth::No => answer = Truth::No,
            Truth::Maybe if answer == Truth::Yes => answer = Truth::Maybe,
            Truth::Maybe | Truth::Yes => {}
        }
    }
    answer
}
