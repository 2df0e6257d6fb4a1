//! Pages, filters and orders, and what is shown for them.

use super::*;

fn items(count: u64) -> Vec<Body> {
    let item = |n: u64| {
        let value = json!({
            "id": format!("{n:04}"), "name": format!("n{}", n % 3), "weight": 1000 - n,
            "admin_state_up": n.is_multiple_of(2), "pools": [{"id": format!("p{}", n % 2)}],
            "tags": if n == 1 { json!(["a", "b"]) } else { json!(["a"]) },
        });
        value.as_object().cloned().unwrap()
    };
    (1..=count).map(item).collect()
}

fn ask(raw: &str) -> Result<(Vec<String>, Value), String> {
    let all = items(7);
    let like = all[0].clone();
    let reply = ListQuery::read(raw).page("members", &all, &like, "http://h/m");
    let reply = reply.map_err(|fault| fault.message)?;
    let ids = reply["members"].as_array().unwrap().iter();
    Ok((ids.map(|item| item["id"].as_str().unwrap().to_owned()).collect(), reply))
}

fn ids(raw: &str) -> Vec<String> {
    ask(raw).unwrap().0
}

#[test]
fn every_attribute_is_a_filter() {
    assert_eq!(ids("name=n1"), ["0001", "0004", "0007"]);
    assert_eq!(ids("name=n1&name=n2&admin_state_up=True"), ["0002", "0004"]);
    assert_eq!(ids("pool_id=p0"), ["0002", "0004", "0006"]);
    assert_eq!(ids("id=0003"), ["0003"]);
    assert_eq!(ids("name=N1"), [""; 0]);
    assert_eq!(ids("tags=a,b"), ["0001"]);
    assert_eq!(ids("not-tags-any=b").len(), 6);
    assert_eq!(ids(&"not-tags-any=b&".repeat(200)).len(), 6);
    for many in ["not-tags-any=b&".repeat(201), format!("sort={}", "id,".repeat(200))] {
        assert!(ask(&many).unwrap_err().contains("has 201 values, use at most 200"));
    }
    let said = ask("nmae=x").unwrap_err();
    assert!(said.contains("'nmae', use of: limit"), "{said}");
}

#[test]
fn pages_follow_each_other_by_their_links() {
    let (mut found, mut raw) = (Vec::new(), "limit=2&name=n1&name=n2".to_owned());
    loop {
        let (ids, reply) = ask(&raw).unwrap();
        found.extend(ids);
        let links = reply["members_links"].as_array().cloned().unwrap_or_default();
        let Some(next) = links.iter().find(|link| link["rel"] == "next") else { break };
        let href = next["href"].as_str().unwrap();
        raw = href.strip_prefix("http://h/m?").unwrap().to_owned();
    }
    assert_eq!(found, ["0001", "0002", "0004", "0005", "0007"]);
    assert_eq!(ids("limit=2&marker=0005&page_reverse=True"), ["0003", "0004"]);
    assert!(ask("marker=9").unwrap_err().contains("no such resource"));
}

/// Resources that count how often one is shown.
struct Counted(Vec<Body>, std::cell::Cell<usize>);

impl Items for Counted {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn known(&self, at: usize, key: &str) -> Option<Value> {
        ["id", "name"].contains(&key).then(|| self.0[at][key].clone())
    }

    fn shown(&self, at: usize) -> Body {
        self.1.set(self.1.get() + 1);
        self.0[at].clone()
    }
}

#[test]
fn what_is_not_on_the_page_is_not_shown() {
    let all = items(1000);
    let like = all[0].clone();
    for (raw, most, count) in [
        ("limit=10", 11, 10),
        ("limit=10&marker=0500", 11, 10),
        ("limit=10&marker=0500&page_reverse=true", 11, 10),
        ("limit=10&name=n1", 11, 10),
        ("id=0700", 1, 1),
        ("limit=3&admin_state_up=true&name=n1", 8, 3),
        ("sort=name:desc,id&limit=5", 6, 5),
        ("sort=weight&limit=5", 1006, 5),
    ] {
        let counted = Counted(all.clone(), std::cell::Cell::default());
        let reply = ListQuery::read(raw).page("members", &counted, &like, "u").unwrap();
        let (found, shown) = (reply["members"].as_array().unwrap().len(), counted.1.get());
        assert!(found == count && shown <= most, "{raw}: {found} of {shown}");
    }
}

#[test]
fn lists_are_sorted_and_have_the_fields_that_are_asked_for() {
    assert_eq!(ids("sort=weight:asc&limit=2"), ["0007", "0006"]);
    assert_eq!(ids("sort_key=id&sort_dir=desc&limit=1"), ["0007"]);
    let (_, reply) = ask("fields=id&limit=1").unwrap();
    assert_eq!(reply["members"][0], json!({"id": "0001"}));
    for (raw, said) in [
        ("sort=nonsense:asc", "query sort has \"nonsense\", which is no attribute"),
        ("sort=id:up", "query sort has \"up\", use asc or desc"),
        ("sort_key=weigth", "query sort has \"weigth\""),
        ("sort_key=id&sort_dir=down", "query sort has \"down\""),
        ("fields=id,nmae", "query fields has \"nmae\""),
        ("page_reverse=yes", "query page_reverse is \"yes\""),
        ("limit=-1", "query limit is \"-1\""),
    ] {
        let found = ask(raw).unwrap_err();
        assert!(found.contains(said), "{raw}: {found}");
    }
    let long = ask(&format!("sort={}", "x".repeat(5000))).unwrap_err();
    assert!(long.len() < 200, "{long}");
}
