//! Tables in a page of the documentation are replaced by new ones.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::report::Section;

const END: &str = "<!-- end -->";

/// Replaces the tables of `sections` in a Markdown file, each with the machine it was made on.
pub fn update(path: &Path, sections: &[Section], machine: &str) -> Result<()> {
    let mut page =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    for section in sections {
        let table = format!("{machine}.\n\n{}", section.markdown());
        page = replaced(&page, section.name, &table)
            .with_context(|| format!("{} has no place for {}", path.display(), section.name))?;
    }
    fs::write(path, page).with_context(|| format!("cannot write {}", path.display()))
}

fn replaced(page: &str, name: &str, table: &str) -> Result<String> {
    let mark = format!("<!-- bench {name} -->");
    let (before, rest) = page.split_once(&mark).with_context(|| format!("no {mark}"))?;
    let (old, after) = rest.split_once(END).with_context(|| format!("no {END} after {mark}"))?;
    ensure!(!old.contains("<!-- bench"), "no {END} between {mark} and the next table");
    Ok(format!("{before}{mark}\n{}\n{END}{after}", table.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_table_changes() {
        let page =
            "# a\n<!-- bench one -->\nold\n<!-- end -->\n<!-- bench two -->\nold\n<!-- end -->\n";
        let new = replaced(page, "two", "new\n").unwrap();
        assert_eq!(
            new,
            "# a\n<!-- bench one -->\nold\n<!-- end -->\n<!-- bench two -->\nnew\n<!-- end -->\n"
        );
        assert_eq!(replaced(&new, "two", "new").unwrap(), new);
    }

    #[test]
    fn a_page_without_a_place_is_left_alone() {
        assert!(replaced("nothing", "one", "new").is_err());
        assert!(
            replaced("<!-- bench one -->\n<!-- bench two -->\n<!-- end -->", "one", "").is_err()
        );
    }
}
