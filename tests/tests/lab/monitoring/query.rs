//! What a PromQL expression names: metrics, labels, and values of labels.

use anyhow::{Context as _, Result, ensure};

/// Words before a list of labels.
const LISTS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
const OPERATORS: [&str; 3] = ["and", "or", "unless"];

/// What an expression names.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Query {
    pub(super) selectors: Vec<Selector>,
    /// Labels that it groups or joins by.
    pub(super) labels: Vec<String>,
}

/// Series of a metric.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Selector {
    pub(super) metric: String,
    /// Label, operator, value.
    pub(super) matchers: Vec<(String, String, String)>,
    /// The function that it is an argument of; empty: of none.
    pub(super) function: String,
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Sign(char),
}

impl Query {
    pub(super) fn parse(expression: &str) -> Result<Self> {
        let tokens = tokens(expression).with_context(|| expression.to_owned())?;
        let mut rest = tokens.as_slice();
        let mut query = Self::default();
        let mut functions = Vec::new();
        while let [token, after @ ..] = rest {
            rest = after;
            match (token, after.first()) {
                (Token::Word(word), Some(Token::Sign('('))) if LISTS.contains(&word.as_str()) => {
                    let end = after.iter().position(|one| *one == Token::Sign(')'));
                    let (list, left) = after.split_at(end.context("a list without end")?);
                    query.labels.extend(list.iter().filter_map(Token::word));
                    rest = left.get(1..).unwrap_or_default();
                }
                (Token::Word(word), Some(Token::Sign('('))) => {
                    functions.push(word.clone());
                    rest = after.get(1..).unwrap_or_default();
                }
                (Token::Word(word), next) => {
                    let is_aggregation = next.is_some_and(
                        |next| matches!(next, Token::Word(word) if ["by", "without"].contains(&word.as_str())),
                    );
                    let is_operator = OPERATORS.contains(&word.as_str());
                    if !is_aggregation && !is_operator {
                        let function = functions.last().cloned().unwrap_or_default();
                        let (matchers, left) = matchers(after)?;
                        query.selectors.push(Selector { metric: word.clone(), matchers, function });
                        rest = left;
                    }
                }
                (Token::Sign('('), _) => functions.push(String::new()),
                (Token::Sign(')'), _) => drop(functions.pop().context("a ) too many")?),
                _ => {}
            }
        }
        ensure!(functions.is_empty(), "{expression}: a ( too many");
        Ok(query)
    }

    /// Whether a selector demands this of a label.
    pub(super) fn all_match(&self, label: &str, value: &str) -> bool {
        self.selectors.iter().all(|one| {
            one.matchers.iter().any(|(name, is, of)| name == label && is == "=~" && of == value)
        })
    }
}

impl Token {
    fn word(&self) -> Option<String> {
        if let Self::Word(word) = self { Some(word.clone()) } else { None }
    }
}

type Matchers = Vec<(String, String, String)>;

/// What is in braces, if there are any, and what follows.
fn matchers(tokens: &[Token]) -> Result<(Matchers, &[Token])> {
    let Some((Token::Sign('{'), inside)) = tokens.split_first() else {
        return Ok((Vec::new(), tokens));
    };
    let end = inside.iter().position(|one| *one == Token::Sign('}')).context("{ without }")?;
    let (inside, after) = inside.split_at(end);
    let mut found = Vec::new();
    for one in inside.split(|token| *token == Token::Sign(',')).filter(|one| !one.is_empty()) {
        let [Token::Word(label), signs @ .., Token::Text(value)] = one else {
            anyhow::bail!("{one:?} is no matcher");
        };
        let is = signs.iter().filter_map(|sign| match sign {
            Token::Sign(sign) => Some(*sign),
            Token::Word(_) | Token::Text(_) => None,
        });
        found.push((label.clone(), is.collect(), value.clone()));
    }
    Ok((found, after.get(1..).unwrap_or_default()))
}

/// Words, texts and signs; ranges of time and numbers are left out.
fn tokens(expression: &str) -> Result<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = expression.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => {
                let length = text_length(rest).context("a text without end")?;
                tokens.push(Token::Text(rest[1..length - 1].to_owned()));
                length
            }
            '[' => rest.find(']').context("[ without ]")? + 1,
            '0'..='9' => length(rest, |c| c.is_ascii_alphanumeric() || c == '.'),
            c if c.is_ascii_alphabetic() || c == '_' => {
                let length = length(rest, |c| c.is_ascii_alphanumeric() || "_:".contains(c));
                tokens.push(Token::Word(rest[..length].to_owned()));
                length
            }
            sign => {
                tokens.push(Token::Sign(sign));
                sign.len_utf8()
            }
        };
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

fn length(text: &str, is_part: impl Fn(char) -> bool) -> usize {
    text.find(|c| !is_part(c)).unwrap_or(text.len())
}

/// How long the quoted text is, with its quotes.
fn text_length(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    let end = text.char_indices().skip(1).find(|(_, c)| {
        let ends = *c == '"' && !is_escaped;
        is_escaped = *c == '\\' && !is_escaped;
        ends
    });
    end.map(|(at, _)| at + 1)
}

#[test]
fn what_an_expression_names_is_found() -> Result<()> {
    let query = Query::parse(
        r#"histogram_quantile(0.99, sum by (le, pool) (rate(a_bucket{x=~"$job", y!="b\"}"}[5m])))
           and on (pool) group_left () 8 * (b:c:rate1m) > 1e3"#,
    )?;
    let matchers = [("x", "=~", "$job"), ("y", "!=", r#"b\"}"#)];
    let matchers = matchers.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned())).to_vec();
    let first = Selector { metric: "a_bucket".to_owned(), matchers, function: "rate".to_owned() };
    let second = Selector { metric: "b:c:rate1m".to_owned(), ..Selector::default() };
    assert_eq!(query.selectors, [first, second]);
    assert_eq!(query.labels, ["le", "pool", "pool"]);
    assert!(Query::parse("sum(a").is_err() && Query::parse("a{b").is_err());
    Ok(())
}
