//! Tests of `include`.

use std::os::unix::fs::symlink;

use super::*;
use crate::source::file::{Errors, load, load_lenient};

const MAIN: &str = "include = \"conf.d/*.toml\"\n[agent]\ninterfaces = [\"eth0\"]\n";

fn pool(name: &str) -> String {
    format!("[[pool]]\nname = {name:?}\nprotocol = \"TCP\"\nforwarding = \"ipip\"\n")
        + "[[pool.member]]\naddress = \"10.0.0.11\"\nprotocol_port = 80\n"
}

/// A folder with these files.
fn folder(main: &str, files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("elb.toml"), main).unwrap();
    fs::create_dir(folder.path().join("conf.d")).unwrap();
    for (name, text) in files {
        fs::write(folder.path().join("conf.d").join(name), text).unwrap();
    }
    folder
}

fn file(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("elb.toml")
}

/// What is wrong, with paths from the folder on.
fn said(folder: &tempfile::TempDir, errors: &Errors) -> String {
    errors.to_string().replace(&format!("{}/", folder.path().display()), "")
}

fn names(folder: &tempfile::TempDir) -> Vec<String> {
    let config = load_lenient(&file(folder)).0.unwrap();
    config.model.pools().iter().map(|pool| pool.name.to_string()).collect()
}

#[test]
fn files_are_read_in_the_order_of_their_names() {
    let folder = folder(
        &format!("{MAIN}{}", pool("first")),
        &[
            ("20.toml", &pool("third")),
            ("10.toml", &format!("# a comment\n{}", pool("second"))),
            ("30.toml~", "not read"),
            (".40.toml", "not read"),
            ("empty.toml", ""),
        ],
    );
    assert!(!load_lenient(&file(&folder)).1.has_errors());
    assert_eq!(names(&folder), ["first", "second", "third"]);
}

#[test]
fn nothing_to_include_is_right() {
    assert!(!load_lenient(&file(&folder(MAIN, &[]))).1.has_errors());
    let absent = MAIN.replace("conf.d", "absent");
    assert!(!load_lenient(&file(&folder(&absent, &[]))).1.has_errors());
}

#[test]
fn an_error_has_the_place_in_its_file() {
    let wrong = pool("b").replace("ipip", "l9");
    let folder = folder(MAIN, &[("a.toml", &pool("a")), ("b.toml", &format!("\n{wrong}"))]);
    let errors = load(&file(&folder)).unwrap_err();
    let said = said(&folder, &errors);
    assert!(said.contains("conf.d/b.toml:5:14: pool \"b\": forwarding \"l9\""), "{said}");
    assert_eq!(names(&folder), ["a"], "what is right is read");
}

#[test]
fn a_name_that_is_there_twice_is_refused_with_both_places() {
    let folder = folder(MAIN, &[("a.toml", &pool("web")), ("b.toml", &pool("web"))]);
    let said = said(&folder, &load(&file(&folder)).unwrap_err());
    let wanted = "conf.d/b.toml:2:8: pool \"web\": name \"web\" is that of another pool, at ";
    assert!(said.contains(wanted) && said.contains("conf.d/a.toml:2:8;"), "{said}");
}

#[test]
fn an_included_file_has_resources_only() {
    for (text, place) in [
        ("include = \"x\"\n", "1:1: include cannot be here"),
        ("[agent]\nsocket = \"/x\"\n", "1:2: agent cannot be here"),
        ("pool = [{ name = \"x\" }]\n", "1:1: pool cannot be here"),
        ("[pool.healthmonitor]\ntype = \"TCP\"\n", "1:2: pool cannot be here"),
        ("\n[[pol]]\n", "2:3: pol cannot be here"),
        ("[[pool]\n", "1:"),
        ("name = \"\"\"\n", "1:"),
    ] {
        let last = pool("last");
        let folder = folder(MAIN, &[("a.toml", text), ("b.toml", &last)]);
        let (config, errors) = load_lenient(&file(&folder));
        let said = said(&folder, &errors);
        assert!(errors.has_errors() && said.contains(&format!("conf.d/a.toml:{place}")), "{said}");
        assert_eq!(config.unwrap().model.pools().len(), 1, "the other file is read: {said}");
    }
}

#[test]
fn what_cannot_be_read_is_named() {
    let folder = folder(MAIN, &[("b.toml", &pool("b"))]);
    symlink("nowhere", folder.path().join("conf.d/a.toml")).unwrap();
    fs::create_dir(folder.path().join("conf.d/c.toml")).unwrap();
    let (config, errors) = load_lenient(&file(&folder));
    let said = said(&folder, &errors);
    assert!(said.contains("conf.d/a.toml: cannot be read: No such file"), "{said}");
    assert!(said.contains("conf.d/c.toml: cannot be read: it is a directory"), "{said}");
    assert_eq!(config.unwrap().model.pools().len(), 1);
    let text = MAIN.replace("conf.d/*", "elb.toml/*");
    fs::write(file(&folder), text).unwrap();
    let said = load_lenient(&file(&folder)).1.to_string();
    assert!(said.contains("elb.toml: cannot be read: Not a directory"), "{said}");
}

#[test]
fn a_pattern_has_its_wildcards_at_the_end() {
    for wrong in ["*/x.toml", "conf.d/", "..", ""] {
        let folder = folder(&MAIN.replace("conf.d/*.toml", wrong), &[]);
        let said = load_lenient(&file(&folder)).1.to_string();
        assert!(said.contains("elb.toml:1:11: include"), "{wrong}: {said}");
    }
}

#[test]
fn names_match_as_in_a_shell() {
    for (name, pattern) in [
        ("a.toml", "*.toml"),
        ("a.toml", "a.toml"),
        ("a.toml", "?.t*l"),
        ("aab", "*ab"),
        ("abcabd", "a*b*d"),
        ("", "*"),
        (".a", ".*"),
    ] {
        assert!(is_match(name, pattern), "{name} {pattern}");
    }
    for (name, pattern) in
        [("a.toml~", "*.toml"), ("ab", "?"), ("a", "a?"), (".a", "*"), ("b", "a*"), ("a", "")]
    {
        assert!(!is_match(name, pattern), "{name} {pattern}");
    }
}
