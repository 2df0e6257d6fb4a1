use super::*;
use crate::source::file::sample;

fn model() -> Model {
    let sample =
        sample::balancer("web").listener("http", 80, "web").listener("https", 443, "secure");
    let sample = sample.pool("web").member("10.0.0.11", 80).keys("name = \"b1\"");
    let sample = sample.member("10.0.0.12", 80).pool("secure").member("10.0.0.11", 443);
    sample.pool("idle").model()
}

#[test]
fn whatever_has_a_name_is_found_by_it() {
    let model = model();
    let found = |text: &str| Target::find(&model, text).map(|target| target.to_string());
    for (text, name) in [
        ("lb:web", "lb:web"),
        ("pool:web", "pool:web"),
        ("http", "listener:web/http"),
        ("web/http", "listener:web/http"),
        ("secure", "pool:secure"),
        ("b1", "member:web/b1"),
        ("web/b1", "member:web/b1"),
        ("member:b1", "member:web/b1"),
        ("10.0.0.11:80", "member:web/b1"),
        ("web/10.0.0.11", "member:web/b1"),
        ("10.0.0.12", "member:web/10.0.0.12:80"),
        ("member:web/10.0.0.12:80", "member:web/10.0.0.12:80"),
    ] {
        assert_eq!(found(text), Ok(name.to_owned()), "{text}");
        assert_eq!(found(name), Ok(name.to_owned()), "{name}");
    }
}

#[test]
fn what_names_nothing_or_too_much_is_answered_with_names() {
    let model = model();
    let wrong = |text: &str| Target::find(&model, text).unwrap_err();
    assert_eq!(wrong("web"), "\"web\" is more than one thing; say which: lb:web, pool:web");
    assert_eq!(
        wrong("10.0.0.11"),
        "\"10.0.0.11\" is more than one thing; say which: member:web/b1, \
         member:secure/10.0.0.11:443"
    );
    let nothing = wrong("wbe");
    assert!(nothing.starts_with("no load balancer, listener, pool or member is called \"wbe\""));
    assert!(nothing.contains("there are: lb:web, listener:web/http"), "{nothing}");
    for text in ["", ":", "lb:", "/", "web/", "/b1", "pool:b1", "lb:http"] {
        assert!(Target::find(&model, text).is_err(), "{text}");
    }
}

#[test]
fn pools_below_a_target_are_each_there_once() {
    let model = model();
    let pools = |target: Target<'_>| -> Vec<String> {
        target.pools(&model).iter().map(|pool| pool.name.to_string()).collect()
    };
    let find = |text| Target::find(&model, text).unwrap();
    assert_eq!(pools(Target::All), ["web", "secure", "idle"]);
    assert_eq!(pools(find("lb:web")), ["web", "secure"]);
    assert_eq!(pools(find("https")), ["secure"]);
    assert_eq!(pools(find("idle")), ["idle"]);
    assert_eq!(pools(find("b1")), ["web"]);
}

#[test]
fn the_text_of_a_wrong_file_has_what_its_values_name() {
    let text = "[[pool]]\nname = \"web\"\n# name = \"gone\"\n[[pool.member]]\nname = 'b9'\n\
                address = \"2001:db8:0::9\"\nweight = 101 [[";
    for name in
        ["web", "pool:web", "web/b9", "member:web/b9", "b9", "2001:db8::9", "[2001:db8::9]:80"]
    {
        assert!(Target::is_in_text(name, text), "{name}");
    }
    for name in ["gone", "web/b8", "member", "name", "", "web/", "2001:db8::8", "10.0.0.9"] {
        assert!(!Target::is_in_text(name, text), "{name}");
    }
}
