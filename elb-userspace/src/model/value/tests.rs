//! Tests of `value`.

use super::*;

#[test]
fn ranges_include_their_ends() {
    assert_eq!(Weight::try_from(0).unwrap().get(), 0);
    assert_eq!(Weight::try_from(100).unwrap().get(), 100);
    for value in [-1, 101, i64::MIN, i64::MAX] {
        let error = Weight::try_from(value).unwrap_err();
        assert_eq!(error.what, format!("{value} is outside 0..=100"));
    }
    assert!(RingSize::try_from(65_537).is_ok());
    assert!(RingSize::try_from(65_536).is_err());
}

#[test]
fn names_have_a_length_and_an_alphabet() {
    assert!("a".parse::<Name>().is_ok());
    assert!("é".repeat(255).parse::<Name>().is_ok());
    assert!("é".repeat(256).parse::<Name>().is_err());
    assert!("".parse::<Name>().is_err());
    assert!("a\nb".parse::<Name>().is_err());
}

#[test]
fn what_the_api_knows_and_we_do_not_serve_has_its_own_error() {
    assert_eq!("UDP".parse(), Ok(Protocol::Udp));
    let unknown = "fullnat46".parse::<Forwarding>().unwrap_err();
    assert_eq!(
        unknown.to_string(),
        "\"fullnat46\" is not known; use nat, fullnat, nat46, l2, ipip or gue"
    );
    let unknown = "tcp".parse::<Protocol>().unwrap_err();
    assert_eq!(unknown.to_string(), "\"tcp\" is not known; use TCP or UDP");
}
