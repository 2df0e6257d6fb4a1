//! The names that a certificate is used for, separated by commas.

use super::super::super::refusal::Refusal;
use super::super::super::validation::shortened;

/// Names of one certificate.
const MOST: usize = 100;
/// Characters of a name, and of what is between two dots.
const MOST_OF_NAME: usize = 253;
const MOST_OF_LABEL: usize = 63;

pub(super) fn judge(domains: &str) -> Result<(), Refusal> {
    if domains.is_empty() {
        return Ok(());
    }
    let count = domains.split(',').count();
    if count > MOST {
        return Err(Refusal::invalid(format!("domain has {count} names, of at most {MOST}")));
    }
    for name in domains.split(',') {
        judge_name("domain", name)?;
    }
    Ok(())
}

/// A name of a host, or of all hosts below one.
pub(in crate::api::v3) fn judge_name(attribute: &str, name: &str) -> Result<(), Refusal> {
    let plain = name.strip_prefix("*.").unwrap_or(name);
    if name.len() <= MOST_OF_NAME && plain.split('.').all(is_label) {
        return Ok(());
    }
    let name = shortened(name);
    Err(Refusal::invalid(format!(
        "{attribute} has the name {name:?}, use letters, digits and hyphens between dots, at most {MOST_OF_LABEL} of \
         them, a letter or digit first and last; the first may be *"
    )))
}

fn is_label(label: &str) -> bool {
    let bytes = label.as_bytes();
    let is_end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    bytes.len() <= MOST_OF_LABEL
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
        && is_end(bytes.first())
        && is_end(bytes.last())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_of_hosts_or_of_all_below_one() {
        for fits in ["", "a", "www.test.com", "*.test.com", "a,B-9.c,*.d", "xn--bcher-kva.example"]
        {
            assert_eq!(judge(fits), Ok(()), "{fits}");
        }
        let long = "a".repeat(64);
        let many = vec!["a.b"; 101].join(",");
        let far = vec!["a"; 200].join(".");
        for wrong in [
            "*",
            "a.*.b",
            "*a.b",
            "-a.b",
            "a-.b",
            "a..b",
            "a.b,",
            ",a",
            "a b",
            "a_b.c",
            "bücher.de",
            "a.b, c.d",
            "http://a.b",
            &long,
            &many,
            &far,
        ] {
            assert!(judge(wrong).is_err(), "{wrong}");
        }
        let why = judge(&many).unwrap_err().message;
        assert_eq!(why, "domain has 101 names, of at most 100");
    }
}
