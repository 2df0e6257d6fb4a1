//! What was found, as a table for people (Markdown, to be pasted) and as JSON.

use std::fmt;

use serde_json::{Map, Value as Json, json};

/// The heading of what is good enough.
const BAR: &str = "bar";

/// Figures of one kind.
#[derive(Debug)]
pub struct Section {
    /// Its name on the command line and in JSON.
    pub name: &'static str,
    /// One line to each case; all have the same figures.
    pub rows: Vec<Row>,
    /// What else was found, a sentence each.
    pub notes: Vec<String>,
}

/// The figures of one case.
#[derive(Debug)]
pub struct Row {
    pub case: String,
    pub figures: Vec<Figure>,
    pub bars: Vec<Bar>,
}

/// A number with its name, which is the key in JSON and, with spaces, the heading of its column.
#[derive(Debug)]
pub struct Figure {
    name: &'static str,
    /// None where there is nothing to say.
    number: Option<f64>,
    decimals: usize,
    shown: bool,
}

impl Figure {
    /// A number shown with so many decimals; NaN is none.
    pub fn new(name: &'static str, decimals: usize, number: f64) -> Self {
        Self { name, number: (!number.is_nan()).then_some(number), decimals, shown: true }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            Some(number) => write!(f, "{number:.*}", self.decimals),
            None => f.write_str("–"),
        }
    }
}

/// What is good enough.
#[derive(Clone, Debug)]
pub struct Bar {
    /// What the value is, as the rest of "1.07 ≤ 1.15": a unit, or `× one flow`.
    pub of: String,
    pub value: f64,
    pub limit: f64,
    /// Whether the limit is the greatest good value, else it is the least.
    pub at_most: bool,
}

impl Bar {
    pub fn at_most(value: f64, limit: f64, of: impl Into<String>) -> Self {
        Self { of: of.into(), value, limit, at_most: true }
    }

    pub fn at_least(value: f64, limit: f64, of: impl Into<String>) -> Self {
        Self { of: of.into(), value, limit, at_most: false }
    }

    pub fn holds(&self) -> bool {
        if self.at_most { self.value <= self.limit } else { self.value >= self.limit }
    }
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { of, value, limit, at_most } = self;
        let sign = match (self.holds(), at_most) {
            (true, true) => "≤",
            (true, false) => "≥",
            (false, true) => ">",
            (false, false) => "<",
        };
        let verdict = if self.holds() { "PASS" } else { "NOT MET" };
        write!(f, "{verdict}: {value:.2} {sign} {limit} {of}")
    }
}

impl Section {
    /// A Markdown table, its columns aligned, and the notes below.
    pub fn markdown(&self) -> String {
        let mut lines: Vec<Vec<String>> = vec![self.heading()];
        lines.extend(self.rows.iter().map(Row::cells));
        let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column| {
            let cells = lines.iter().filter_map(|line| line.get(column));
            cells.map(|cell: &String| cell.chars().count()).max().unwrap_or(0).max(3)
        };
        let is_text = |column| column == 0 || lines[0][column] == BAR;
        let columns: Vec<_> = (0..columns).map(|i| (width(i), is_text(i))).collect();
        let mut text = String::new();
        for (number, line) in lines.iter().enumerate() {
            text += &format!("| {} |\n", aligned(line, &columns).join(" | "));
            if number == 0 {
                text += &format!("|{}|\n", rule(&columns).join("|"));
            }
        }
        for note in &self.notes {
            text += &format!("\n{note}\n");
        }
        text
    }

    /// One object to each row.
    pub fn json(&self) -> impl Iterator<Item = Json> {
        self.rows.iter().map(|row| row.json(self.name))
    }

    /// Bars that hold, and all bars.
    pub fn bars(&self) -> (usize, usize) {
        let bars: Vec<&Bar> = self.rows.iter().flat_map(|row| &row.bars).collect();
        (bars.iter().filter(|bar| bar.holds()).count(), bars.len())
    }

    fn heading(&self) -> Vec<String> {
        let figures = self.rows.first().map_or(&[][..], |row| &row.figures);
        let names = figures.iter().filter(|figure| figure.shown);
        let names = names.map(|figure| figure.name.replace('_', " "));
        let has_bars = self.rows.iter().any(|row| !row.bars.is_empty());
        let bar = has_bars.then(|| BAR.to_owned());
        ["case".to_owned()].into_iter().chain(names).chain(bar).collect()
    }
}

impl Row {
    fn cells(&self) -> Vec<String> {
        let figures = self.figures.iter().filter(|figure| figure.shown).map(Figure::to_string);
        let mut cells: Vec<_> = [self.case.clone()].into_iter().chain(figures).collect();
        if !self.bars.is_empty() {
            cells.push(self.bars.iter().map(Bar::to_string).collect::<Vec<_>>().join("; "));
        }
        cells
    }

    /// Every object has the keys of the packet path's figures, be they null.
    fn json(&self, section: &str) -> Json {
        let mut object = Map::new();
        object.insert("section".to_owned(), json!(section));
        object.insert("case".to_owned(), json!(self.case));
        for key in ["net_ns", "floor_net_ns", "ratio"] {
            object.insert(key.to_owned(), Json::Null);
        }
        for figure in &self.figures {
            object.insert(figure.name.to_owned(), json!(figure.number));
        }
        let bars = self.bars.iter().map(|bar| {
            let Bar { of, value, limit, at_most } = bar;
            let holds = bar.holds();
            json!({"of": of, "value": value, "limit": limit, "at_most": at_most, "holds": holds})
        });
        object.insert("bars".to_owned(), bars.collect());
        Json::Object(object)
    }
}

/// Text to the left, numbers to the right.
fn aligned(cells: &[String], columns: &[(usize, bool)]) -> Vec<String> {
    let cell = |(number, &(width, is_text)): (usize, &(usize, bool))| {
        let cell = cells.get(number).map_or("", String::as_str);
        if is_text { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
    };
    columns.iter().enumerate().map(cell).collect()
}

fn rule(columns: &[(usize, bool)]) -> Vec<String> {
    let dashes = |&(width, is_text): &(usize, bool)| {
        format!("{}{}", "-".repeat(width + 1), if is_text { "-" } else { ":" })
    };
    columns.iter().map(dashes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section() -> Section {
        let row = |case: &str, number, bars| Row {
            case: case.to_owned(),
            figures: vec![
                Figure::new("net_ns", 1, number),
                Figure { shown: false, ..Figure::new("of", 0, 1.0) },
            ],
            bars,
        };
        let bars = vec![Bar::at_most(1.0, 1.5, "× floor"), Bar::at_least(0.8, 0.9, "× floor")];
        let rows = vec![row("one", 20.0, bars), row("two", f64::NAN, vec![])];
        Section { name: "packets", rows, notes: vec!["A note.".to_owned()] }
    }

    #[test]
    fn a_table_is_markdown() {
        let text = section().markdown();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("| case | net ns | bar"), "{text}");
        assert!(lines[1].starts_with("|------|-------:|"), "{text}");
        assert_eq!(
            lines[2],
            "| one  |   20.0 | PASS: 1.00 ≤ 1.5 × floor; NOT MET: 0.80 < 0.9 × floor |"
        );
        assert!(lines[3].starts_with("| two  |      – |  "), "{text}");
        assert_eq!(lines[5], "A note.");
        assert_eq!(section().bars(), (1, 2));
    }

    #[test]
    fn json_has_every_key() {
        let rows: Vec<Json> = section().json().collect();
        assert_eq!((&rows[0]["net_ns"], &rows[0]["of"]), (&json!(20.0), &json!(1.0)));
        assert_eq!(rows[0]["bars"][1]["holds"], json!(false));
        assert_eq!((&rows[1]["net_ns"], &rows[1]["ratio"]), (&Json::Null, &Json::Null));
    }
}
