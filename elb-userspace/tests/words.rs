//! Messages, comments and documents are in words that an engineer reads at once: these are not among them.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// What they usually stand for: a client, a member, a host or a process; "report" or "say"; "repair"; "next to";
/// "results in"; "is notified"; "for lack of"; "so".
const AVOIDED: [&str; 28] = [
    "told",
    "tells of",
    "tell of",
    "mend",
    "mends",
    "mended",
    "nobody",
    "somebody",
    "whoever",
    "anybody",
    "everybody",
    "beside",
    "manieth",
    "such that",
    "as far as",
    "comes to",
    "in vain",
    "likewise",
    "informed",
    "in want of",
    "for want of",
    "hence",
    "thereby",
    "moreover",
    "shall",
    "lest",
    "somehow",
    "whichever",
];

/// The name of a user of the host, as a name.
const USER: [&str; 2] = ["`nobody`", "\"nobody\""];

#[test]
fn no_text_has_a_word_that_is_to_be_avoided() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    for place in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs"] {
        collect(&root.join(place), &mut files)?;
    }
    for place in ["elb-common/src", "elb-ebpf/src", "elb-userspace/src", "elb-userspace/dist"] {
        collect(&root.join(place), &mut files)?;
    }
    assert!(files.len() > 100, "{}", files.len());
    let mut found = Vec::new();
    for file in &files {
        for (n, line) in fs::read_to_string(file)?.lines().enumerate() {
            let words = avoided(line);
            if !words.is_empty() {
                found.push(format!("{}:{}: {words:?}", file.display(), n + 1));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    Ok(())
}

/// The words of a line that are to be avoided, in either case.
fn avoided(line: &str) -> Vec<&'static str> {
    let line = USER.iter().fold(line.to_owned(), |line, user| line.replace(user, "a user"));
    let words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
    let line = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    let line = format!(" {} ", line.to_lowercase());
    AVOIDED.into_iter().filter(|words| line.contains(&format!(" {words} "))).collect()
}

/// The texts below a path, those of tests aside.
fn collect(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if path.file_stem().is_some_and(|name| name == "tests") {
        return Ok(());
    }
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            collect(&entry?.path(), files)?;
        }
    } else {
        files.push(path.to_owned());
    }
    Ok(())
}

#[test]
fn words_are_found_as_words() {
    assert_eq!(avoided("What it TOLD them; such  that nobody…"), ["told", "nobody", "such that"]);
    assert_eq!(avoided("by default \"nobody\", or `nobody`; not for nobody"), ["nobody"]);
    assert_eq!(avoided("it is amended, besides; none_left and toldness are other words"), [""; 0]);
}
