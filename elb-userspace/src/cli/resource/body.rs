//! The body of a request, of what was given on the command line.

use anyhow::{Context as _, Result, anyhow};
use serde_json::{Map, Value, json};

use super::asking::{Agent, id};
use super::command::Asked;
use super::kind::{self, Form, ResourceKind};
use crate::model::PortRange;
use crate::source::store::DocumentKind;

/// The attributes that were given.
pub(super) async fn body(
    kind: &ResourceKind,
    asked: &Asked,
    agent: &Agent,
) -> Result<Map<String, Value>> {
    let mut body = Map::new();
    if let Some(name) = asked.text("name") {
        body.insert("name".to_owned(), name.into());
    }
    for option in kind.options {
        let matches = &asked.matches;
        let number = matches.try_get_one::<i64>(option.flag).ok().flatten().copied();
        let switch = matches.try_get_one::<bool>(option.flag).ok().flatten().copied();
        let value = match (asked.text(option.flag), number, switch) {
            (Some(text), ..) => of_text(option.form, text, agent).await?,
            (_, Some(number), _) => of_number(option.form, number),
            (.., Some(switch)) => switch.into(),
            (None, None, None) => continue,
        };
        // Several options may be of one attribute, which is an object.
        match (body.get_mut(option.key).and_then(Value::as_object_mut), value) {
            (Some(object), Value::Object(more)) => object.extend(more),
            (_, value) => drop(body.insert(option.key.to_owned(), value)),
        }
    }
    for (key, text) in asked.pairs("attribute") {
        let value = serde_json::from_str(&text);
        body.insert(
            key.clone(),
            value.with_context(|| format!("--attribute {key}: {text:?} is no JSON"))?,
        );
    }
    // A member's pool is in the path, and a pool that is given to `set` is none of its attributes.
    if asked.verb == "set" && kind.kind != DocumentKind::Listener {
        body.remove("pool_id");
    }
    Ok(body)
}

/// What the API must have and people need not say.
pub(super) fn complete(kind: &ResourceKind, body: &mut Map<String, Value>) {
    let by_default = match kind.kind {
        DocumentKind::LoadBalancer => json!({"availability_zone_list": []}),
        DocumentKind::Pool => {
            let udp_or_tcp = json!({"lb_algorithm": "5_TUPLE_HASH"});
            let is_placed = ["listener_id", "loadbalancer_id", "type"]
                .iter()
                .any(|key| body.contains_key(*key));
            if !is_placed {
                body.insert("type".to_owned(), "ip".into());
            }
            udp_or_tcp
        }
        DocumentKind::HealthMonitor => json!({"delay": 5, "timeout": 3, "max_retries": 3}),
        DocumentKind::IpGroup => json!({"ip_list": []}),
        DocumentKind::Listener
        | DocumentKind::Member
        | DocumentKind::Job
        | DocumentKind::SecurityPolicy
        | DocumentKind::LogTank
        | DocumentKind::Certificate
        | DocumentKind::ProjectSettings => json!({}),
    };
    for (key, value) in by_default.as_object().into_iter().flatten() {
        body.entry(key).or_insert_with(|| value.clone());
    }
}

async fn of_text(form: Form, text: &str, agent: &Agent) -> Result<Value> {
    Ok(match form {
        Form::Of(_) if text == "none" => Value::Null,
        Form::Of(of) => id(&agent.find(kind::of(of), text).await?).into(),
        Form::Group if text == "none" => Value::Null,
        Form::Group => {
            let group = agent.find(kind::of(DocumentKind::IpGroup), text).await?;
            json!({"ipgroup_id": id(&group)})
        }
        Form::GroupType => json!({"type": text}),
        Form::Ports => text.split(',').map(ports).collect::<Result<Value>>()?,
        Form::Networks => networks(text),
        Form::Text | Form::Number | Form::Switch | Form::Drain | Form::Minimum => text.into(),
    })
}

fn of_number(form: Form, number: i64) -> Value {
    match form {
        Form::Drain if number == 0 => json!({"enable": false}),
        Form::Drain => json!({"enable": true, "timeout": number}),
        Form::Minimum => json!({"minimum_healthy_member_count": number}),
        Form::Number
        | Form::Text
        | Form::Switch
        | Form::Of(_)
        | Form::Ports
        | Form::Networks
        | Form::Group
        | Form::GroupType => number.into(),
    }
}

fn networks(text: &str) -> Value {
    let all = text.split(',').map(str::trim).filter(|network| !network.is_empty());
    all.map(|network| json!({"ip": network})).collect()
}

/// `80`, or `1000-1999`.
fn ports(text: &str) -> Result<Value> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let port = |text: &str| {
        text.trim().parse().map_err(|_| anyhow!("{text:?} is no port; write 80, or 1000-1999"))
    };
    let range = PortRange::new(port(from)?, port(to)?).map_err(|why| anyhow!("{why}"))?;
    Ok(json!({"start_port": range.start_port(), "end_port": range.end_port()}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_networks_are_lists() {
        assert_eq!(ports("80").unwrap(), json!({"start_port": 80, "end_port": 80}));
        assert_eq!(ports("1000-1999").unwrap(), json!({"start_port": 1000, "end_port": 1999}));
        for wrong in ["", "x", "9-8", "1-", "70000"] {
            assert!(ports(wrong).is_err(), "{wrong}");
        }
        assert_eq!(networks("10.0.0.0/8, ::1"), json!([{"ip": "10.0.0.0/8"}, {"ip": "::1"}]));
        assert_eq!(networks(""), json!([]));
    }

    #[test]
    fn numbers_of_a_drain_turn_it_on_and_off() {
        assert_eq!(of_number(Form::Drain, 0), json!({"enable": false}));
        assert_eq!(of_number(Form::Drain, 30), json!({"enable": true, "timeout": 30}));
        assert_eq!(of_number(Form::Number, 30), json!(30));
    }
}
