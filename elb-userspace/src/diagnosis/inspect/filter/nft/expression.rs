//! What a match compares: the fields on its left, the values on its right.

use std::collections::HashMap;
use std::net::IpAddr;

use serde_json::Value;

use super::fields::field;
use crate::diagnosis::inspect::filter::condition::Condition;
use crate::diagnosis::inspect::filter::field::{Field, Span};
use crate::diagnosis::inspect::filter::names;
use crate::diagnosis::inspect::filter::packet::number;

/// The sets of a table.
pub(super) struct Sets<'a> {
    pub(super) sets: &'a HashMap<String, &'a [Value]>,
    /// What a set of the table is known by.
    pub(super) key: &'a dyn Fn(&str) -> Option<String>,
}

/// A field, and which bits of it count.
#[derive(Clone, Copy)]
struct Key {
    field: Field,
    mask: Option<u128>,
}

impl Sets<'_> {
    /// The condition of a statement `match`.
    pub(super) fn matches(&self, body: &Value) -> Condition {
        let (Some(left), Some(right)) = (body.get("left"), body.get("right")) else {
            return Condition::Unknown;
        };
        let op = body.get("op").and_then(Value::as_str);
        if left.pointer("/ct/key") == Some(&"status".into()) {
            return status(op, right).unwrap_or(Condition::Unknown);
        }
        match op {
            Some("==") => self.equals(left, right),
            Some("!=") => self.equals(left, right).negate(true),
            Some("in") => bits(left, right)
                .map_or_else(|| self.equals(left, right), |none| Condition::Not(Box::new(none))),
            Some("!") => bits(left, right).unwrap_or(Condition::Unknown),
            Some(order) => compares(left, order, right).unwrap_or(Condition::Unknown),
            None => Condition::Unknown,
        }
    }

    /// What is left has the value, or one of the values, that is right.
    pub(super) fn equals(&self, left: &Value, right: &Value) -> Condition {
        let values = self.elements(right);
        let values = values.unwrap_or(std::slice::from_ref(right));
        if let Some(parts) = left.get("concat").and_then(Value::as_array) {
            let keys: Option<Vec<Key>> = parts.iter().map(key).collect();
            let Some(keys) = keys else { return Condition::Unknown };
            return Condition::Any(values.iter().map(|value| tuple(&keys, value)).collect());
        }
        if right.as_str().is_some_and(|name| name.starts_with('@'))
            && self.elements(right).is_none()
        {
            return Condition::Unknown;
        }
        let Some(key) = key(left) else { return Condition::Unknown };
        let spans: Option<Vec<Span>> = values.iter().map(|value| span(key.field, value)).collect();
        match spans {
            Some(spans) => Condition::Is { field: key.field, mask: key.mask, spans },
            None => Condition::Unknown,
        }
    }

    /// The elements of a set, be it named or not; none, if it is not a set.
    pub(super) fn elements<'v>(&'v self, value: &'v Value) -> Option<&'v [Value]> {
        if let Some(name) = value.as_str() {
            let name = name.strip_prefix('@')?;
            return self.sets.get(&(self.key)(name)?).copied();
        }
        value.get("set").and_then(Value::as_array).map(Vec::as_slice)
    }
}

/// Several fields that have one value each.
fn tuple(keys: &[Key], value: &Value) -> Condition {
    let value = element(value);
    let Some(parts) = value.get("concat").and_then(Value::as_array) else {
        return Condition::Unknown;
    };
    if parts.len() != keys.len() {
        return Condition::Unknown;
    }
    let is = |(key, part): (&Key, &Value)| match span(key.field, part) {
        Some(span) => Condition::Is { field: key.field, mask: key.mask, spans: vec![span] },
        None => Condition::Unknown,
    };
    Condition::All(keys.iter().zip(parts).map(is).collect())
}

/// An element without what is said about it (`timeout`, `comment`).
fn element(value: &Value) -> &Value {
    value.pointer("/elem/val").unwrap_or(value)
}

/// Of all that connection tracking knows, whether addresses were changed.
fn status(op: Option<&str>, right: &Value) -> Option<Condition> {
    matches!(right.as_str()?, "dnat" | "snat").then_some(())?;
    let changed = Condition::is(Field::Translated, vec![Span::Numbers(1, 1)]);
    match op? {
        "in" | "==" => Some(changed),
        "!=" | "!" => Some(changed.negate(true)),
        _ => None,
    }
}

/// None of these bits is set in the field.
fn bits(left: &Value, right: &Value) -> Option<Condition> {
    let Key { field, mask: None } = key(left)? else { return None };
    if !matches!(field, Field::TcpFlags | Field::State) {
        return None;
    }
    let mask = scalar(field, right)?;
    Some(Condition::Is { field, mask: Some(mask), spans: vec![Span::Numbers(0, 0)] })
}

fn compares(left: &Value, order: &str, right: &Value) -> Option<Condition> {
    let Key { field, mask } = key(left)?;
    let value = scalar(field, right)?;
    let spans = match order {
        "<" => value.checked_sub(1).map(|high| Span::Numbers(0, high)),
        "<=" => Some(Span::Numbers(0, value)),
        ">" => value.checked_add(1).map(|low| Span::Numbers(low, u128::MAX)),
        ">=" => Some(Span::Numbers(value, u128::MAX)),
        _ => return None,
    };
    Some(Condition::Is { field, mask, spans: spans.into_iter().collect() })
}

fn key(left: &Value) -> Option<Key> {
    if let Some([inner, mask]) = left.get("&").and_then(Value::as_array).map(Vec::as_slice) {
        let Key { field, mask: None } = key(inner)? else { return None };
        return Some(Key { field, mask: Some(scalar(field, mask)?) });
    }
    Some(Key { field: field(left)?, mask: None })
}

fn span(field: Field, value: &Value) -> Option<Span> {
    let value = element(value);
    if let Some([low, high]) = value.get("range").and_then(Value::as_array).map(Vec::as_slice) {
        return Some(Span::Numbers(scalar(field, low)?, scalar(field, high)?));
    }
    if let Some(prefix) = value.get("prefix") {
        let address = prefix.get("addr")?.as_str()?.parse().ok()?;
        return prefix_span(address, prefix.get("len")?.as_u64()?);
    }
    if let (Field::In | Field::Out, Some(name)) = (field, value.as_str()) {
        return Some(match name.strip_suffix('*') {
            Some(prefix) => Span::Prefix(prefix.to_owned()),
            None => Span::Name(name.to_owned()),
        });
    }
    scalar(field, value).map(|number| Span::Numbers(number, number))
}

/// The addresses of a network.
pub(in crate::diagnosis::inspect::filter) fn prefix_span(
    address: IpAddr,
    length: u64,
) -> Option<Span> {
    let network = ipnet::IpNet::new(address, u8::try_from(length).ok()?).ok()?;
    Some(Span::Numbers(number(network.network()), number(network.broadcast())))
}

/// A single value as a number; several names in a list are the sum of their bits.
fn scalar(field: Field, value: &Value) -> Option<u128> {
    let names = value.as_array().or_else(|| value.get("|").and_then(Value::as_array));
    if let (Some(names), Field::TcpFlags | Field::State) = (names, field) {
        return names.iter().try_fold(0, |bits, name| Some(bits | scalar(field, name)?));
    }
    if let Some(number) = value.as_u64() {
        return Some(number.into());
    }
    if let (Some(there), Field::WayBack) = (value.as_bool(), field) {
        return Some(there.into());
    }
    let name = value.as_str()?;
    match field {
        Field::Source4 | Field::Destination4 | Field::Source6 | Field::Destination6 => {
            name.parse().ok().map(number)
        }
        Field::Version => match name {
            "ip" | "ipv4" => Some(2),
            "ip6" | "ipv6" => Some(10),
            _ => None,
        },
        Field::Protocol | Field::Protocol4 | Field::Protocol6 => {
            names::protocol(name).map(u128::from)
        }
        Field::TcpFlags => names::tcp_flag(name),
        Field::State => names::ct_state(name),
        Field::Reply => match name {
            "original" => Some(0),
            "reply" => Some(1),
            _ => None,
        },
        Field::IcmpType(protocol) => names::icmp_type(protocol, name).map(u128::from),
        Field::DestinationType => match name {
            "unicast" => Some(1),
            "local" => Some(names::ROUTE_LOCAL),
            "broadcast" => Some(3),
            "anycast" => Some(4),
            "multicast" => Some(names::ROUTE_MULTICAST),
            _ => None,
        },
        Field::Addressee => match name {
            "host" | "unicast" => Some(0),
            "broadcast" => Some(1),
            "multicast" => Some(2),
            "other" => Some(3),
            _ => None,
        },
        // Any other name of an interface than none: there is a way back by it, or by another.
        Field::WayBack => (name == "0").then_some(0),
        Field::Mark | Field::SourcePort(_) | Field::DestinationPort(_) | Field::IcmpCode(_) => {
            name.parse().ok()
        }
        Field::In | Field::Out | Field::Fragment | Field::Translated => None,
    }
}
