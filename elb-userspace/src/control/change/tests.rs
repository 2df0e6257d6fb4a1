//! What another configuration does, in words, and what is refused.

use super::*;
use crate::model::ResourceId;
use crate::source::file;

/// Listener "http" at port 80 with pool "web"; and more.
fn model(listener: &str, pool: &str, members: &[u8], more: &str) -> Model {
    let mut text = format!(
        "[agent]\ninterfaces = [\"eth0\"]\n[[load_balancer]]\nname = \"lb\"\n\
         vip_address = \"192.0.2.10\"\n[[load_balancer.listener]]\nname = \"http\"\n\
         protocol = \"TCP\"\nprotocol_port = 80\ndefault_pool = \"web\"\n{listener}\n\
         [[pool]]\nname = \"web\"\nprotocol = \"TCP\"\nforwarding = \"ipip\"\n{pool}\n"
    );
    for n in members {
        text += &format!(
            "[[pool.member]]\nname = \"w{n}\"\naddress = \"10.0.0.{n}\"\nprotocol_port = 80\n"
        );
    }
    file::parse("test", &(text + more)).unwrap().model
}

fn nothing() -> Model {
    file::parse("test", "[agent]\ninterfaces = [\"eth0\"]\n").unwrap().model
}

fn web() -> Model {
    model("", "", &[11, 12], "")
}

fn said(old: &Model, new: &Model) -> Vec<String> {
    effects(old, new, &[]).iter().map(ToString::to_string).collect()
}

#[test]
fn a_file_without_a_listener_is_refused() {
    let refused = taken_away(&web(), &nothing());
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused[0].contains("all that are served (listener lb/http)"), "{refused:?}");
    assert!(refused[0].contains("elb reload --allow-empty"), "{refused:?}");
    assert_eq!(taken_away(&nothing(), &nothing()), Vec::<String>::new());
    assert_eq!(taken_away(&nothing(), &web()), Vec::<String>::new());
    // Who disables all says so.
    let disabled = model("admin_state_up = false", "", &[11, 12], "");
    assert_eq!(taken_away(&web(), &disabled), Vec::<String>::new());
    assert_eq!(taken_away(&disabled, &nothing()), Vec::<String>::new());
}

#[test]
fn load_balancers_that_lose_their_addresses_serve_nothing() {
    let text = "[agent]\ninterfaces = [\"eth0\"]\n[[load_balancer]]\nname = \"lb\"\n\
         [[load_balancer.listener]]\nname = \"http\"\nprotocol = \"TCP\"\nprotocol_port = 80\n\
         default_pool = \"web\"\n[[pool]]\nname = \"web\"\nprotocol = \"TCP\"\nforwarding = \"l2\"\n";
    let without = file::parse("test", text).unwrap().model;
    assert_eq!(taken_away(&web(), &without).len(), 1);
}

#[test]
fn a_served_pool_without_members_is_refused() {
    let refused = taken_away(&web(), &model("", "", &[], ""));
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused[0].starts_with("pool \"web\" has no member: listener lb/http"), "{refused:?}");
    assert!(refused[0].contains("(so far: w11, w12)"), "{refused:?}");
    let meant = model("", "allow_empty = true", &[], "");
    assert_eq!(taken_away(&web(), &meant), Vec::<String>::new());
    // Others in the place of all are a change, and so is a weight of 0.
    assert_eq!(taken_away(&web(), &model("", "", &[13], "")), Vec::<String>::new());
    assert_eq!(taken_away(&model("", "", &[], ""), &model("", "", &[], "")), Vec::<String>::new());
}

#[test]
fn a_listener_that_moves_to_an_empty_pool_is_left_without_members() {
    let green = "[[pool]]\nname = \"green\"\nprotocol = \"TCP\"\nforwarding = \"ipip\"\n";
    let text = |pool: &str| {
        format!(
            "[agent]\ninterfaces = [\"eth0\"]\n[[load_balancer]]\nname = \"lb\"\n\
             vip_address = \"192.0.2.10\"\n[[load_balancer.listener]]\nname = \"other\"\n\
             protocol = \"TCP\"\nprotocol_port = 80\ndefault_pool = \"{pool}\"\n{green}"
        )
    };
    let empty = file::parse("test", &text("green")).unwrap().model;
    let refused = taken_away(&web(), &empty);
    assert!(
        refused[0].starts_with("pool \"green\" has no member: listener lb/other"),
        "{refused:?}"
    );
}

#[test]
fn effects_are_said_the_gravest_first() {
    let new = model("", "lb_algorithm = \"ROUND_ROBIN\"", &[11, 13], "weight = 2\n");
    assert_eq!(
        said(&web(), &new),
        [
            "remove: pool \"web\", member \"w12\": connections go on until they end or are idle",
            "change: pool \"web\": lb_algorithm 5_TUPLE_HASH becomes ROUND_ROBIN",
            "add: pool \"web\", member \"w13\": 10.0.0.13:80, weight 2",
        ]
    );
    let rises = model("", "slow_start = 30", &[11, 12], "");
    assert_eq!(said(&web(), &rises), ["change: pool \"web\": slow_start 0 becomes 30"]);
    assert_eq!(
        said(&web(), &nothing())[0],
        "cut: listener lb/http at 192.0.2.10 TCP port 80: it is removed, and its connections break \
         at once"
    );
    assert_eq!(said(&web(), &web()), Vec::<String>::new());
}

#[test]
fn a_pool_with_another_name_is_not_another_pool() {
    let text = |pool: &str| {
        format!(
            "[agent]\ninterfaces = [\"eth0\"]\n[[load_balancer]]\nname = \"lb\"\n\
             vip_address = \"192.0.2.10\"\n[[load_balancer.listener]]\nname = \"http\"\n\
             protocol = \"TCP\"\nprotocol_port = 80\ndefault_pool = \"{pool}\"\n[[pool]]\n\
             name = \"{pool}\"\nprotocol = \"TCP\"\nforwarding = \"ipip\"\n[[pool.member]]\n\
             address = \"10.0.0.11\"\nprotocol_port = 80\n"
        )
    };
    let of = |pool: &str| file::parse("test", &text(pool)).unwrap().model;
    let renamed = [Renamed { from: ResourceId::of_pool("blue"), to: ResourceId::of_pool("green") }];
    let effects = effects(&of("blue"), &of("green"), &renamed);
    let said: Vec<_> = effects.iter().map(ToString::to_string).collect();
    let name =
        "change: pool \"green\": was called \"blue\"; numbers, verdicts and connections stay";
    assert_eq!(said, [name]);
}
