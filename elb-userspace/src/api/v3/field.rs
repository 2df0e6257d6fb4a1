//! What the table says of one attribute: its type, whether it must be there, and which values it may have.

use std::ops::RangeInclusive;

/// The type of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FieldType {
    Text,
    Number,
    Flag,
    /// An object of this model.
    Model(String),
    List(Box<FieldType>),
}

/// An attribute, or a key of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) of: FieldType,
    pub(super) is_required: bool,
    /// The texts, or the numbers, that it may be; none: any.
    pub(super) choices: Vec<String>,
    /// The numbers that it may be; none: any.
    pub(super) numbers: Vec<RangeInclusive<i64>>,
    /// Characters of a text, or entries of a list.
    pub(super) length: Option<RangeInclusive<i64>>,
}

impl Field {
    /// Characters of a text for which the table has no bound.
    pub(super) const MOST_CHARACTERS: usize = 255;
    /// Entries of a list for which the table has no bound. Operations and resources have bounds of their own, which are
    /// lower.
    pub(super) const MOST_ENTRIES: usize = 1000;

    /// How many characters or entries there may be.
    pub(super) fn bound(&self) -> RangeInclusive<i64> {
        let is_list = matches!(self.of, FieldType::List(_));
        let most = if is_list { Self::MOST_ENTRIES } else { Self::MOST_CHARACTERS };
        let open = 0..=i64::try_from(most).unwrap_or(i64::MAX);
        self.length.clone().unwrap_or(open)
    }

    /// Reads `type[!] [e=a|b] [n=lo..hi|…] [l=lo..hi] [d=default]`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let first = words.next()?;
        let (name, is_required) =
            first.strip_suffix('!').map_or((first, false), |name| (name, true));
        let mut field = Self {
            of: FieldType::parse(name)?,
            is_required,
            choices: Vec::new(),
            numbers: Vec::new(),
            length: None,
        };
        for word in words {
            match word.split_once('=') {
                // What names a place to be filled in is no list of all values.
                Some(("e", choices)) if !choices.contains('<') => {
                    field.choices = choices.split('|').map(str::to_owned).collect();
                }
                Some(("n", ranges)) => {
                    field.numbers = ranges.split('|').filter_map(range).collect();
                }
                Some(("l", length)) => field.length = range(length),
                // A default is the resource's own matter; other words are remarks.
                _ => {}
            }
        }
        Some(field)
    }

    pub(super) const fn is_list(&self) -> bool {
        matches!(self.of, FieldType::List(_))
    }

    /// Whether it is a number that the API has as a text; clients write it as either.
    pub(super) fn is_number_in_text(&self) -> bool {
        self.of == FieldType::Text && !self.numbers.is_empty()
    }

    /// The rule, for people.
    pub(super) fn rule(&self) -> String {
        let mut rule = self.of.name();
        if !self.choices.is_empty() {
            rule = self.choices.join(" or ");
        } else if !self.numbers.is_empty() {
            let ranges: Vec<String> = self.numbers.iter().map(written).collect();
            rule = format!("{rule} from {}", ranges.join(" or "));
        }
        match &self.of {
            FieldType::List(_) => format!("{rule} of {} entries", written(&self.bound())),
            FieldType::Text if self.choices.is_empty() && !self.is_number_in_text() => {
                format!("{rule} of {} characters", written(&self.bound()))
            }
            FieldType::Text | FieldType::Number | FieldType::Flag | FieldType::Model(_) => rule,
        }
    }
}

impl FieldType {
    fn parse(name: &str) -> Option<Self> {
        if let Some(inner) = name.strip_prefix("list[") {
            return Some(Self::List(Box::new(Self::parse(inner.strip_suffix(']')?)?)));
        }
        Some(match name {
            "str" => Self::Text,
            "int" => Self::Number,
            "bool" => Self::Flag,
            model if model.starts_with(|c: char| c.is_ascii_uppercase()) => {
                Self::Model(model.to_owned())
            }
            _ => return None,
        })
    }

    /// The model of an object, or of the entries of a list.
    pub(super) fn model(&self) -> Option<&str> {
        match self {
            Self::Model(model) => Some(model),
            Self::List(entries) => entries.model(),
            Self::Text | Self::Number | Self::Flag => None,
        }
    }

    /// What JSON Schema calls it.
    pub(super) const fn plain_name(&self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Number => "integer",
            Self::Flag => "boolean",
            Self::Model(_) => "object",
            Self::List(_) => "array",
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Text => "a string".to_owned(),
            Self::Number => "an integer".to_owned(),
            Self::Flag => "true or false".to_owned(),
            Self::Model(_) => "an object".to_owned(),
            Self::List(inner) => {
                let inner = inner.name();
                let plain = inner.split_once(' ').map_or(&*inner, |(_, plain)| plain);
                format!("a list, each entry {plain}")
            }
        }
    }
}

/// `lo..hi`, without one of them, or one number; a remark in brackets does not count.
fn range(text: &str) -> Option<RangeInclusive<i64>> {
    let text = text.split('(').next()?;
    let number = |text: &str, open: i64| {
        if text.is_empty() { Some(open) } else { text.parse().ok() }
    };
    match text.split_once("..") {
        Some((low, high)) => Some(number(low, 0)?..=number(high, i64::MAX)?),
        None => text.parse().ok().map(|one| one..=one),
    }
}

fn written(range: &RangeInclusive<i64>) -> String {
    match (*range.start(), *range.end()) {
        (low, high) if low == high => low.to_string(),
        (low, i64::MAX) => format!("{low} or more"),
        (low, high) => format!("{low} to {high}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specifications_are_read() {
        let field = Field::parse("str! e=white|black d=white").unwrap();
        assert_eq!((field.of, field.is_required), (FieldType::Text, true));
        assert_eq!(field.choices, ["white", "black"]);
        let field =
            Field::parse("int n=10..4000|0..4000 d=300(TCP,UDP,IP)/60(HTTP,HTTPS)").unwrap();
        assert_eq!(field.numbers, [10..=4000, 0..=4000]);
        let field = Field::parse("int n=1..65535(0 if pool IP)").unwrap();
        assert_eq!(field.numbers, [1..=65535]);
        let field = Field::parse("list[list[AvailabilityZone]]").unwrap();
        let zone = FieldType::Model("AvailabilityZone".to_owned());
        assert_eq!(field.of, FieldType::List(Box::new(FieldType::List(Box::new(zone)))));
        let field = Field::parse("list[str] l=0..50").unwrap();
        assert_eq!(field.rule(), "a list, each entry string of 0 to 50 entries");
        assert_eq!(Field::parse("str l=36").unwrap().rule(), "a string of 36 characters");
        assert_eq!(Field::parse("str e=center|<edge-site-name>").unwrap().choices, [""; 0]);
        assert_eq!(Field::parse("float"), None);
    }
}
