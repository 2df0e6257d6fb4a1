//! The configuration file: whatever it says, it is read or refused, and each refusal says where.

use elb_userspace::source::file::{self as config, Errors, Severity};

use crate::campaign;

const NAME: &str = "elb.toml";

#[test]
fn configuration() {
    let usual = include_bytes!("../../../elb-userspace/dist/elb.toml").to_vec();
    campaign::run("configuration", vec![usual], |input| {
        let text = String::from_utf8_lossy(input);
        let (lenient, said) = config::parse_lenient(NAME, &text);
        say_where(&said, &text);
        let strict = config::parse(NAME, &text);
        // One reading is the other, but for what becomes of errors.
        match strict {
            Ok(config) => {
                assert!(!said.has_errors(), "{said}");
                let lenient = lenient.expect("what is right is read");
                assert_eq!(lenient.model, config.model);
                assert_eq!(config::parse(NAME, &text).unwrap().model, config.model);
            }
            Err(errors) => assert_eq!(errors, said),
        }
    });
}

fn say_where(said: &Errors, text: &str) {
    // A text without its last line end has a line more than `lines` reports.
    let lines = text.split('\n').count();
    for error in said.iter() {
        assert_eq!(error.file, NAME);
        assert!((1..=lines).contains(&error.line) && error.column > 0, "no place: {error:?}");
        assert!(!error.what.is_empty() && !error.fix.is_empty(), "no words: {error:?}");
        assert!(matches!(error.severity, Severity::Error | Severity::Warning));
    }
}
