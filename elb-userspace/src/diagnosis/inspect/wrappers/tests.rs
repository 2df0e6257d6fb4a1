//! Tests of `wrappers`.

use proptest::prelude::*;

use super::*;

fn decided(allow: &str, deny: &str) -> WrapperDecision {
    decide(allow, deny, Some("sshd"), "10.0.0.2".parse().unwrap())
}

fn denied_by(number: usize, text: &str) -> WrapperDecision {
    WrapperDecision::Denied(Line { file: "hosts.deny", number, text: text.to_owned() })
}

#[test]
fn patterns_that_turn_a_client_away() {
    for rule in [
        "ALL: ALL",
        "sshd: 10.0.0.2",
        "sshd : 10.",
        "ftpd, sshd: 192.0.2.1, 10.0.0.0/255.255.255.0",
        "sshd:10.0.0.0/8",
        "ALL EXCEPT ftpd: ALL EXCEPT 10.0.0.3",
        "ALL: ALL EXCEPT 10. EXCEPT 10.0.0.2",
        "ssh*: 10.0.0.?",
        "ALL: ALL@10.0.0.2",
        "ALL: ALL: spawn (echo %a)",
    ] {
        assert_eq!(decided("", rule), denied_by(1, rule), "{rule}");
    }
}

#[test]
fn patterns_that_do_not() {
    for rule in [
        "",
        "# ALL: ALL",
        "ftpd: ALL",
        "sshd: 10.0.0.20",
        "sshd: 10.1.",
        "sshd: 10.0.0.0/30 EXCEPT 10.0.0.2",
        "ALL EXCEPT sshd: ALL",
        "sshd: [fd00::]/64",
        "sshd: ALL: ALLOW",
        "no colon",
    ] {
        assert_eq!(decided("", rule), WrapperDecision::Allowed, "{rule}");
    }
}

#[test]
fn what_needs_a_look_up_is_doubtful() {
    let names = ["ALL: .example.org", "ALL: @hosts", "ALL: /etc/bad", "ALL: PARANOID"];
    for rule in names.into_iter().chain(["ALL: root@10.0.0.2", "ALL: host", "ALL: ALL: twist x"]) {
        assert!(matches!(decided("", rule), WrapperDecision::Doubtful(_)), "{rule}");
    }
    // It does not matter where the answer is the same either way.
    assert_eq!(decided("sshd: .example.org\nsshd: 10.", ""), WrapperDecision::Allowed);
    assert_eq!(decide("", "ftpd: ALL", None, "10.0.0.2".parse().unwrap()), {
        let text = "ftpd: ALL".to_owned();
        WrapperDecision::Doubtful(Line { file: "hosts.deny", number: 1, text })
    });
}

#[test]
fn the_first_line_that_fits_decides_and_hosts_allow_comes_first() {
    let deny = "# comment\nftpd: ALL\nALL: \\\n  ALL\n";
    assert_eq!(decided("", deny), denied_by(3, "ALL:   ALL"));
    assert_eq!(decided("sshd: 10.0.0.2", deny), WrapperDecision::Allowed);
    let line = Line { file: "hosts.allow", number: 1, text: "ALL: 10.: DENY".to_owned() };
    assert_eq!(decided("ALL: 10.: DENY", ""), WrapperDecision::Denied(line));
}

#[test]
fn addresses_of_ipv6_are_in_brackets() {
    let client = "fd00::2".parse().unwrap();
    let rule = "ALL: [fd00::]/64";
    assert_eq!(decide("", rule, None, client), denied_by(1, rule));
    assert_eq!(decide("", "ALL: [fd01::]/64", None, client), WrapperDecision::Allowed);
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(allow in ".{0,200}", deny in "([A-Z@*?.:/\\[\\]\\\\ ,0-9]|EXCEPT |ALL){0,40}") {
        for client in ["10.0.0.2", "fd00::2"] {
            decide(&allow, &deny, Some("sshd"), client.parse().unwrap());
        }
    }

    #[test]
    fn a_network_fits_as_its_bits_say(client: u32, net: u32, length in 0_u8..=32) {
        let address = IpAddr::V4(client.into());
        let rule = format!("ALL: {}/{length}", std::net::Ipv4Addr::from(net));
        let fits = length == 0 || (client ^ net) >> (32 - u32::from(length)) == 0;
        let decision = decide("", &rule, None, address);
        prop_assert_eq!(matches!(decision, WrapperDecision::Denied(_)), fits);
    }
}
