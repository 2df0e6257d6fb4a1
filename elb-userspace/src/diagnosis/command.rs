//! Commands for people to run, as a shell takes them.

use std::path::Path;

use crate::source::file::USUAL_FILE;

/// What makes the agent take a changed file over.
pub fn apply(file: &Path) -> String {
    let named = if file == Path::new(USUAL_FILE) {
        String::new()
    } else {
        format!(" --config {}", quoted(&file.display().to_string()))
    };
    format!("elb check{named} && systemctl reload elb")
}

/// A word that a shell leaves as it is.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@[]".contains(c);
    if word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}
