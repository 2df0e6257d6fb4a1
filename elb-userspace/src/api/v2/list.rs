//! Lists: every attribute that is shown is a filter; `limit`, `marker`, `sort` and `fields` as Octavia has them.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::api::v3::face::{Fault, Messages, as_kept, shortened};
use crate::source::store::Body;

/// A query that was read.
#[derive(Debug, Default)]
pub(super) struct ListQuery(Vec<(String, String)>);

/// The resources of a list. Each is shown only where it has to be: there may be thousands.
pub(super) trait Items {
    fn count(&self) -> usize;
    /// An attribute that is known without showing the resource; none: it is not.
    fn known(&self, at: usize, key: &str) -> Option<Value>;
    fn shown(&self, at: usize) -> Body;
}

/// Few, which are shown already.
impl Items for Vec<Body> {
    fn count(&self) -> usize {
        self.len()
    }

    fn known(&self, at: usize, key: &str) -> Option<Value> {
        self.get(at)?.get(key).cloned()
    }

    fn shown(&self, at: usize) -> Body {
        self.get(at).cloned().unwrap_or_default()
    }
}

/// Keys that do not choose among resources.
const OTHERS: [&str; 7] =
    ["limit", "marker", "page_reverse", "sort", "sort_key", "sort_dir", "fields"];
/// References to other resources: the key, and the list or attribute that has them.
const REFERENCES: [(&str, [&str; 2]); 4] = [
    ("loadbalancer_id", ["loadbalancers", "loadbalancer_id"]),
    ("listener_id", ["listeners", "listener_id"]),
    ("pool_id", ["pools", "pool_id"]),
    ("member_id", ["members", "member_id"]),
];
/// Values of a query, also those with a comma in between.
const MOST: usize = 200;
const TAGS: [&str; 4] = ["tags", "tags-any", "not-tags", "not-tags-any"];

impl ListQuery {
    pub(super) fn read(raw: &str) -> Self {
        let decode = |text: &str| {
            percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
        };
        let pair = |part: &str| {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let key = decode(key);
            let value = as_kept(&key, decode(value));
            (key, value)
        };
        Self(raw.split('&').filter(|part| !part.is_empty()).map(pair).collect())
    }

    pub(super) fn first(&self, key: &str) -> Option<&str> {
        self.all(key).next()
    }

    fn all<'q>(&'q self, key: &str) -> impl Iterator<Item = &'q str> {
        let own = key.to_owned();
        self.0.iter().filter(move |(one, _)| *one == own).map(|(_, value)| value.as_str())
    }

    /// Whether a flag is set.
    pub(super) fn is_set(&self, key: &str) -> bool {
        self.first(key).is_some_and(|value| value.is_empty() || value.eq_ignore_ascii_case("true"))
    }

    /// Refuses keys that a resource like this has nothing for, and more values than anyone has reason for: each is
    /// compared with each resource.
    fn judge(&self, like: &Body) -> Result<(), Fault> {
        let commas = |(_, value): &(String, String)| 1 + value.matches(',').count();
        let count: usize = self.0.iter().map(commas).sum();
        if count > MOST {
            let why = format!("the query has {count} values, use at most {MOST}");
            return Err(Fault::invalid(why));
        }
        let is_known = |key: &str| {
            OTHERS.contains(&key)
                || TAGS.contains(&key)
                || like.contains_key(key)
                || REFERENCES.iter().any(|(one, places)| {
                    *one == key && places.iter().any(|place| like.contains_key(*place))
                })
        };
        let (mut unknown, mut wrong) = (Messages::default(), Messages::default());
        for (key, _) in self.0.iter().filter(|(key, _)| !is_known(key)) {
            unknown.push(|| shortened(key));
        }
        let mut of_resource = |what: &str, key: &str| {
            if !like.contains_key(key) {
                let key = shortened(key);
                wrong.push(|| format!("query {what} has {key:?}, which is no attribute"));
            }
        };
        self.order().into_iter().for_each(|(key, _)| of_resource("sort", key));
        self.fields().into_iter().for_each(|key| of_resource("fields", key));
        for direction in self.directions().filter(|one| !["asc", "desc"].contains(one)) {
            let direction = shortened(direction);
            wrong.push(|| format!("query sort has {direction:?}, use asc or desc"));
        }
        let is_flag = |value: &&str| {
            value.is_empty() || ["true", "false"].iter().any(|one| value.eq_ignore_ascii_case(one))
        };
        for value in self.all("page_reverse").filter(|value| !is_flag(value)) {
            let value = shortened(value);
            wrong.push(|| format!("query page_reverse is {value:?}, use true or false"));
        }
        let unknown = unknown.joined(", ").map(|unknown| {
            let known = OTHERS.iter().copied().chain(like.keys().map(String::as_str));
            let known = known.collect::<Vec<_>>().join(", ");
            format!("Unrecognized query key(s) '{unknown}', use of: {known}")
        });
        let all: Vec<String> = unknown.into_iter().chain(wrong.joined("; ")).collect();
        if all.is_empty() { Ok(()) } else { Err(Fault::invalid(all.join("; "))) }
    }

    /// The resource, if it is one of those that are asked for: what is known of it is looked at before it is shown.
    fn fitting(&self, items: &impl Items, at: usize) -> Option<Body> {
        let keys: BTreeSet<&str> = self.0.iter().map(|(key, _)| key.as_str()).collect();
        let (mut unknown, mut known) = (Vec::new(), Body::new());
        for key in keys.into_iter().filter(|key| !OTHERS.contains(key)) {
            match items.known(at, key) {
                Some(value) => drop(known.insert(key.to_owned(), value)),
                None => unknown.push(key),
            }
        }
        if !known.keys().all(|key| self.has_value(&known, key)) {
            return None;
        }
        let item = items.shown(at);
        unknown.into_iter().all(|key| self.has_value(&item, key)).then_some(item)
    }

    fn has_value(&self, item: &Body, key: &str) -> bool {
        if TAGS.contains(&key) {
            return self.all(key).all(|value| has_tags(item, key, value));
        }
        let found = found(item, key);
        self.all(key).any(|value| {
            found.iter().any(|one| {
                one.eq_ignore_ascii_case(value)
                    && (one == value || ["true", "false"].contains(&one.as_str()))
            })
        })
    }

    /// Keys to sort by, as `sort` has them: each perhaps with a direction.
    fn sorted(&self) -> impl Iterator<Item = (&str, &str)> {
        let sort = self.all("sort").flat_map(|value| value.split(','));
        sort.map(|one| one.split_once(':').unwrap_or((one, "asc")))
    }

    fn directions(&self) -> impl Iterator<Item = &str> {
        self.sorted().map(|(_, direction)| direction).chain(self.all("sort_dir"))
    }

    /// The keys to sort by, each with whether it descends.
    fn order(&self) -> Vec<(&str, bool)> {
        let directions = self.all("sort_dir").chain(std::iter::repeat("asc"));
        let keys = self.all("sort_key").zip(directions);
        self.sorted().chain(keys).map(|(key, direction)| (key, direction == "desc")).collect()
    }

    /// The attributes that are asked for; none: all.
    fn fields(&self) -> Vec<&str> {
        self.all("fields").flat_map(|value| value.split(',')).collect()
    }

    /// Their places, in the order that is asked for.
    fn in_order(&self, items: &impl Items) -> Vec<usize> {
        let order = self.order();
        let mut places: Vec<usize> = (0..items.count()).collect();
        if order.is_empty() {
            return places;
        }
        let values = |at: usize| {
            let mut shown = None;
            let keys = order.iter().map(|(key, _)| {
                let known = items.known(at, key);
                known.or_else(|| shown.get_or_insert_with(|| items.shown(at)).get(*key).cloned())
            });
            keys.collect::<Vec<_>>()
        };
        let values: Vec<_> = places.iter().map(|at| values(*at)).collect();
        places.sort_by(|one, other| {
            let (one, other) = (values.get(*one), values.get(*other));
            let pairs = one.into_iter().flatten().zip(other.into_iter().flatten());
            let by_key = order.iter().zip(pairs).map(|((_, descends), (one, other))| {
                let order = compare(one.as_ref(), other.as_ref());
                if *descends { order.reverse() } else { order }
            });
            by_key.fold(Ordering::Equal, Ordering::then)
        });
        places
    }

    /// Where the page begins, and how many it has at the most.
    fn bounds(
        &self,
        items: &impl Items,
        places: &[usize],
    ) -> Result<(Option<usize>, usize), Fault> {
        let limit = match self.first("limit") {
            None => usize::MAX,
            Some(text) => text.parse().map_err(|_| {
                let text = shortened(text);
                Fault::invalid(format!("query limit is {text:?}, use a number of resources"))
            })?,
        };
        let Some(marker) = self.first("marker") else { return Ok((None, limit)) };
        let is_marker = |at: &usize| items.known(*at, "id").is_some_and(|id| id == marker);
        let at = places.iter().position(is_marker).ok_or_else(|| {
            let marker = shortened(marker);
            Fault::invalid(format!("query marker {marker:?} is the id of no such resource"))
        })?;
        Ok((Some(at), limit))
    }

    fn with_fields(&self, mut item: Body) -> Body {
        let fields = self.fields();
        if !fields.is_empty() {
            item.retain(|key, _| fields.contains(&key.as_str()));
        }
        item
    }

    /// The answer with a page of a list. `like` has every attribute, and `url` is where the list is.
    pub(super) fn page(
        &self,
        key: &str,
        items: &impl Items,
        like: &Body,
        url: &str,
    ) -> Result<Value, Fault> {
        self.judge(like)?;
        let places = self.in_order(items);
        let (marker, limit) = self.bounds(items, &places)?;
        let is_reverse = self.is_set("page_reverse");
        let range = match (marker, is_reverse) {
            (Some(at), true) => 0..at,
            (Some(at), false) => at + 1..places.len(),
            (None, _) => 0..places.len(),
        };
        let part = places.get(range).unwrap_or_default().iter();
        let mut found: Box<dyn Iterator<Item = Body>> = if is_reverse {
            Box::new(part.rev().filter_map(|at| self.fitting(items, *at)))
        } else {
            Box::new(part.filter_map(|at| self.fitting(items, *at)))
        };
        let mut page: Vec<Body> = found.by_ref().take(limit).collect();
        let more = found.next().is_some();
        drop(found);
        if is_reverse {
            page.reverse();
        }
        let mut links = Vec::new();
        let mut link = |rel: &str, item: Option<&Body>| {
            if let Some(id) = item.and_then(|item| item.get("id")).and_then(Value::as_str) {
                links.push(json!({"rel": rel, "href": self.link(url, id, rel == "previous")}));
            }
        };
        if if is_reverse { marker.is_some() } else { more } {
            link("next", page.last());
        }
        if if is_reverse { more } else { marker.is_some() } {
            link("previous", page.first());
        }
        let shown: Vec<Body> = page.into_iter().map(|item| self.with_fields(item)).collect();
        let mut reply = json!({key: shown});
        if !links.is_empty() {
            reply[format!("{key}_links")] = json!(links);
        }
        Ok(reply)
    }

    /// Where the page before or after a resource is.
    fn link(&self, url: &str, id: &str, is_reverse: bool) -> String {
        let others =
            self.0.iter().filter(|(key, _)| !["marker", "page_reverse"].contains(&key.as_str()));
        let mut pairs: Vec<(&str, &str)> =
            others.map(|(key, value)| (key.as_str(), value.as_str())).collect();
        pairs.push(("marker", id));
        if is_reverse {
            pairs.push(("page_reverse", "true"));
        }
        format!("{url}?{}", serde_urlencoded::to_string(pairs).unwrap_or_default())
    }
}

/// Whether a resource has tags, as one of the four filters wants them.
fn has_tags(item: &Body, filter: &str, value: &str) -> bool {
    let tags = item.get("tags").map(texts).unwrap_or_default();
    let mut wanted = value.split(',');
    match filter {
        "tags" => wanted.all(|tag| tags.iter().any(|one| one == tag)),
        "tags-any" => wanted.any(|tag| tags.iter().any(|one| one == tag)),
        "not-tags" => !wanted.all(|tag| tags.iter().any(|one| one == tag)),
        _ => !wanted.any(|tag| tags.iter().any(|one| one == tag)),
    }
}

/// The values that a resource has for a key of a query.
fn found(item: &Body, key: &str) -> Vec<String> {
    let places = REFERENCES.iter().find(|(one, _)| *one == key).map(|(_, places)| *places);
    let places = places.unwrap_or([key, key]);
    places.iter().filter_map(|place| item.get(*place)).flat_map(texts).collect()
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Bool(_) | Value::Number(_) => vec![value.to_string()],
        Value::Array(all) => all.iter().flat_map(texts).collect(),
        Value::Object(one) => one.get("id").map(texts).unwrap_or_default(),
        Value::Null => Vec::new(),
    }
}

fn compare(one: Option<&Value>, other: Option<&Value>) -> Ordering {
    let number = |value: Option<&Value>| value.and_then(Value::as_i64);
    let text = |value: Option<&Value>| value.map(texts).unwrap_or_default();
    match (number(one), number(other)) {
        (Some(one), Some(other)) => one.cmp(&other),
        _ => text(one).cmp(&text(other)),
    }
}

#[cfg(test)]
mod tests;
