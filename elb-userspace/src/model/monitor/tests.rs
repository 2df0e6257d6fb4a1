//! Paths and domain names of monitors, by their rules.

use proptest::prelude::*;

use super::*;

#[test]
fn paths() {
    for text in ["/", "/healthz", "/a-/.?#%&_;~!()*[]@$^:',+", &format!("/{}", "a".repeat(79))] {
        assert_eq!(text.parse::<UrlPath>().unwrap().as_str(), text);
    }
    for text in ["", "healthz", "/a b", "/é", "/a\r\nX: y", &format!("/{}", "a".repeat(80))] {
        assert!(text.parse::<UrlPath>().is_err(), "{text}");
    }
}

#[test]
fn domain_names() {
    for text in
        ["example.com", "1.example", "a-b.c", "10.0.0.1", "web", "my_host.example", "_a", "a.b:80"]
    {
        assert_eq!(text.parse::<DomainName>().unwrap().as_str(), text);
    }
    let long = format!("{}.com", "a".repeat(64));
    let longer = ["a".repeat(50), "b".repeat(50)].join(".");
    for text in [
        "", ".com", "a..b", "-a.b", "a-.b", "a b", "a:", "a:0", "a:+1", "a:99999", ":1", &long,
        &longer,
    ] {
        assert!(text.parse::<DomainName>().is_err(), "{text}");
    }
    let name: DomainName = "web:8080".parse().unwrap();
    assert_eq!((name.host(), name.port()), ("web", Some(8080)));
    let name: DomainName = "web".parse().unwrap();
    assert_eq!((name.host(), name.port()), ("web", None));
}

/// So many characters at the most, of the alphabet of paths in the V3 API.
fn of_paths(most: usize) -> impl Strategy<Value = String> {
    let alphabet = r"[a-zA-Z0-9\-/.?#%&_;~!()*\[\]@$^:',+]";
    prop::string::string_regex(&format!("{alphabet}{{0,{most}}}")).unwrap()
}

proptest! {
    #[test]
    fn every_path_of_the_alphabet_is_kept_as_it_is(rest in of_paths(79)) {
        let text = format!("/{rest}");
        let path = text.parse::<UrlPath>();
        prop_assert_eq!(path.as_ref().map(UrlPath::as_str), Ok(text.as_str()));
    }

    #[test]
    fn one_strange_character_anywhere_is_named(
        before in of_paths(30),
        after in of_paths(30),
        strange in "[\\x00- \"<>\\\\`{|}=\\x7f-\u{10ffff}]",
    ) {
        let error = format!("/{before}{strange}{after}").parse::<UrlPath>().unwrap_err();
        let named = format!("{:?}", strange.chars().next().unwrap());
        prop_assert!(error.to_string().contains(&named), "{} does not name {}", error, named);
    }

    #[test]
    fn paths_begin_with_a_slash_and_end_soon(text in "[^/]\\PC*", rest in "[a-z/]{80,200}") {
        let long = format!("/{rest}");
        for text in [text, long] {
            prop_assert!(text.parse::<UrlPath>().is_err());
        }
    }

    #[test]
    fn every_name_of_labels_is_kept_as_it_is(
        labels in prop::collection::vec("[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?", 1..6)
    ) {
        let text = labels.join(".");
        let fits = text.len() <= 100;
        let name = text.parse::<DomainName>();
        prop_assert_eq!(name.as_ref().ok().map(DomainName::as_str), fits.then_some(text.as_str()));
    }

    #[test]
    fn whatever_is_a_domain_name_is_a_host_field(text in "[a-z0-9._-]{1,110}(:[0-9]{1,6})?|\\PC*") {
        if let Ok(name) = text.parse::<DomainName>() {
            prop_assert_eq!(name.as_str(), text.as_str());
            let host = name.host();
            prop_assert!((1..=100).contains(&host.len()));
            let is_of_hosts = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
            prop_assert!(host.chars().all(is_of_hosts));
            prop_assert!(host.split('.').all(|label| (1..=63).contains(&label.len())));
            prop_assert!(text.parse::<hyper::http::uri::Authority>().is_ok());
        }
    }
}
