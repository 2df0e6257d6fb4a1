//! Names, paths and ids select what they name.

use proptest::prelude::*;

use super::*;

fn id(n: u8) -> ResourceId {
    ResourceId::of_pool(&n.to_string())
}

fn member<'a>(pool: &'a str, name: Option<&'a str>, socket: &str) -> Label<'a> {
    let (kind, within) = (ResourceKind::Member, Some((Some(id(1)), pool)));
    Label { kind, id: Some(id(2)), name, within, socket: Some(socket.parse().unwrap()) }
}

#[test]
fn a_member_has_many_names() {
    let v4 = member("web", Some("one"), "10.0.0.1:80");
    let (pool, own) = (id(1).to_string(), id(2).to_string());
    for text in ["one", "10.0.0.1", "10.0.0.1:80", &own, &own.to_uppercase()] {
        for outer in ["", "web/", &format!("{pool}/")] {
            for kind in ["", "member:"] {
                assert!(v4.is_named(&format!("{kind}{outer}{text}")), "{kind}{outer}{text}");
            }
        }
    }
    for text in ["", "two", "10.0.0.2", "10.0.0.1:81", "10.0.0.1:", "api/one", "pool:one", "web/"] {
        assert!(!v4.is_named(text), "{text}");
    }
    let v6 = member("web", None, "[2001:db8::1]:80");
    for text in ["2001:db8::1", "[2001:db8::1]", "[2001:db8:0::1]:80", "web/2001:db8::1"] {
        assert!(v6.is_named(text), "{text}");
    }
    assert_eq!(v6.to_string(), "member:web/[2001:db8::1]:80");
    assert!(v4.is_within("web") && v4.is_within(&pool) && v4.is_within("pool:web"));
    assert!(!v4.is_within("api"));
}

#[test]
fn what_exists_is_listed() {
    let labels = || {
        let members = (0..20).map(|n| (member("web", Some("m"), "10.0.0.1:80"), n));
        members.chain([(Label::pool(Some(id(1)), "web"), 99)])
    };
    assert_eq!(all("member or pool", "web", labels()), Ok(vec![99]));
    assert_eq!(one("member or pool", "web", labels()), Ok(99));
    assert_eq!(all("member or pool", "m", labels()).unwrap().len(), 20);
    let none = all::<u8>("pool", "wbe", [(Label::pool(None, "web"), 1)].into_iter()).unwrap_err();
    let hint =
        "write a name or an id as `elb status -o json` has them, or POOL/MEMBER or LB/LISTENER";
    assert_eq!(none, format!("no pool is called \"wbe\"; there are: web; {hint}"));
    let several = one("member or pool", "m", labels()).unwrap_err();
    let list = ["member:web/m"; SHOWN].join(", ");
    let text = format!("\"m\" is more than one thing; say which: {list} and 8 more");
    assert_eq!(several, text);
}

proptest! {
    /// Whatever the names are, with slashes and colons: what is shown of a resource names it.
    #[test]
    fn what_is_shown_names_it(
        pool in "[a-z/:.]{1,6}",
        name in prop::option::of("[a-z/:.]{1,6}"),
    ) {
        let label = member(&pool, name.as_deref(), "10.0.0.1:80");
        prop_assert!(label.is_named(&label.to_string()));
        prop_assert!(label.is_named(&label.path()));
        prop_assert!(label.is_named(&id(2).to_string()));
        prop_assert!(label.is_within(&pool));
    }
}
