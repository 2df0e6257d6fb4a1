//! The query of a request: keys may be repeated, and each is one that the operation has.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

use super::field::{Field, FieldType};
use super::ids;
use super::refusal::Refusal;
use super::table::Operation;
use super::validation::{Messages, shortened};

/// Keys and values in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct QueryPairs(Vec<(String, String)>);

impl QueryPairs {
    /// Reads the query of a request for an operation.
    pub(super) fn read(raw: &str, operation: &Operation) -> Result<Self, Refusal> {
        let pairs = Self::parse(raw);
        let (mut unknown, mut wrong) = (Messages::default(), Messages::default());
        for (key, value) in &pairs.0 {
            let Some(field) = operation.query.get(key) else {
                unknown.push(|| shortened(key));
                continue;
            };
            let field = rules(field, key);
            if !is_valid(&field, value) {
                let value = shortened(value);
                wrong.push(|| format!("query {key} is {value:?}, use {}", field.rule()));
            }
        }
        for (key, field) in &operation.query {
            let count = pairs.0.iter().filter(|(one, _)| one == key).count();
            if count > 1 && !field.is_list() {
                wrong.push(|| format!("query {key} is there {count} times, use one"));
            }
        }
        let unknown = unknown.joined(", ").map(|unknown| {
            let names: Vec<&str> = operation.query.keys().map(String::as_str).collect();
            let all = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            format!("Unrecognized query key(s) '{unknown}', use of: {all}")
        });
        let all: Vec<String> = unknown.into_iter().chain(wrong.joined("; ")).collect();
        if all.is_empty() { Ok(pairs) } else { Err(Refusal::invalid(all.join("; "))) }
    }

    fn parse(raw: &str) -> Self {
        let decode = |text: &str| {
            let spaces = text.replace('+', " ");
            percent_decode_str(&spaces).decode_utf8_lossy().into_owned()
        };
        let parts = raw.split('&').filter(|part| !part.is_empty());
        let pair = |part: &str| {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let key = decode(key);
            let value = ids::as_kept(&key, decode(value));
            (key, value)
        };
        Self(parts.map(pair).collect())
    }

    /// The first value of a key.
    pub(super) fn first(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(one, _)| one == key).map(|(_, value)| value.as_str())
    }

    /// All values of a key.
    pub(super) fn all(&self, key: &str) -> Vec<&str> {
        self.0.iter().filter(|(one, _)| one == key).map(|(_, value)| value.as_str()).collect()
    }

    /// The same without some keys.
    pub(super) fn without(&self, keys: &[&str]) -> Self {
        Self(self.0.iter().filter(|(key, _)| !keys.contains(&key.as_str())).cloned().collect())
    }

    /// All values, by key: each key once.
    pub(super) fn by_key(&self) -> Vec<(&str, Vec<&str>)> {
        let (mut all, mut places) = (Vec::<(&str, Vec<&str>)>::new(), BTreeMap::new());
        for (key, value) in &self.0 {
            let place = *places.entry(key.as_str()).or_insert(all.len());
            match all.get_mut(place) {
                Some((_, values)) => values.push(value),
                None => all.push((key, vec![value])),
            }
        }
        all
    }
}

fn is_valid(field: &Field, value: &str) -> bool {
    let is_chosen = field.choices.is_empty() || field.choices.iter().any(|one| one == value);
    match field.of {
        FieldType::Flag => ["true", "false"].contains(&value),
        // As it is compared with: `007` and `-0` are other texts than what is shown.
        FieldType::Number => value.parse().is_ok_and(|number: i64| {
            number.to_string() == value
                && is_chosen
                && (field.numbers.is_empty()
                    || field.numbers.iter().any(|range| range.contains(&number)))
        }),
        FieldType::Text => is_chosen,
        FieldType::Model(_) | FieldType::List(_) => true,
    }
}

/// The rules of one value of a key.
pub(super) fn rules(field: &Field, key: &str) -> Field {
    let of =
        if let FieldType::List(inner) = &field.of { (**inner).clone() } else { field.of.clone() };
    // Statuses that say that something is not done yet are not all in the table.
    let is_open = key.ends_with("_status") && of == FieldType::Text && key != "protection_status";
    let choices = if is_open { Vec::new() } else { field.choices.clone() };
    Field { of, choices, length: None, ..field.clone() }
}

#[cfg(test)]
mod tests {
    use super::super::route::route;
    use super::*;

    fn read(raw: &str) -> Result<QueryPairs, String> {
        let routed = route("GET", "/v3/p/elb/loadbalancers").unwrap();
        QueryPairs::read(raw, routed.operation).map_err(|refusal| refusal.message)
    }

    #[test]
    fn keys_may_be_repeated_and_are_decoded() {
        let query =
            read("name=a%20b%2Fc%2B%26%3D%C3%A9~%2A&limit=2&name=x+y&ip_version=4").unwrap();
        assert_eq!(query.first("limit"), Some("2"));
        assert_eq!(query.by_key()[0], ("name", vec!["a b/c+&=é~*", "x y"]));
        assert_eq!(read("").unwrap(), QueryPairs::default());
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(
            read("limit=-0").is_err() && read("limit=007").is_err() && read("limit=%2B7").is_err()
        );
        let said = read("limit=2001&nmae=x&admin_state_up=yes&limit=many").unwrap_err();
        for one in [
            "Unrecognized query key(s) 'nmae'",
            "query limit is \"2001\", use an integer from 0 to 2000",
            "query admin_state_up is \"yes\", use true or false",
            "query limit is \"many\"",
        ] {
            assert!(said.contains(one), "{one}: {said}");
        }
    }
}
