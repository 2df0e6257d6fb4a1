//! Certificates of version 2, which have no object around them, and times without a zone.

use serde_json::{Value, json};

use axum::http::StatusCode;

use super::super::attributes::is_nothing;
use super::super::listed::ListedItems;
use super::{Answer, Call};
use crate::api::v3::face::Fault;
use crate::source::store::{Body, DocumentKind};

const KIND: DocumentKind = DocumentKind::Certificate;

/// What has the same name in V3.
const SAME: [&str; 10] = [
    "name",
    "description",
    "type",
    "domain",
    "certificate",
    "private_key",
    "admin_state_up",
    "enterprise_project_id",
    "protection_status",
    "protection_reason",
];

impl Call<'_> {
    /// All of them, or what is asked for with one.
    pub(super) async fn certificates(&self, id: Option<&str>) -> Answer {
        match (self.method, id) {
            ("GET", None) => self.all().await,
            ("GET", Some(id)) => Ok((StatusCode::OK, Value::Object(self.one(id).await?))),
            ("POST", None) => {
                let given = json!({"certificate": self.read(true)?});
                let made = self.operate("POST", "elb/certificates", &given).await?;
                Ok((StatusCode::CREATED, Value::Object(of_reply(&made))))
            }
            ("PUT", Some(id)) => {
                let given = json!({"certificate": self.read(false)?});
                let made = self.operate("PUT", &format!("elb/certificates/{id}"), &given).await?;
                Ok((StatusCode::OK, Value::Object(of_reply(&made))))
            }
            ("DELETE", Some(id)) => {
                self.operate("DELETE", &format!("elb/certificates/{id}"), &Value::Null).await?;
                Ok((StatusCode::NO_CONTENT, Value::Null))
            }
            (method, _) => Err(Fault::not_supported(format!("{method} is not supported here"))),
        }
    }

    async fn all(&self) -> Answer {
        let listed = self.server.listed(&self.asker, KIND, None)?;
        let items = ListedItems { listed, show: shown };
        let mut page = self.query.page("certificates", &items, &shown(&Body::new()), &self.url)?;
        let count = page["certificates"].as_array().map_or(0, Vec::len);
        page["instance_num"] = count.into();
        Ok((StatusCode::OK, page))
    }

    async fn one(&self, id: &str) -> Result<Body, Fault> {
        Ok(shown(&self.server.resource(&self.asker, (KIND, id), None)?))
    }

    /// What is given, as V3 has it; it judges the values.
    fn read(&self, is_new: bool) -> Result<Body, Fault> {
        let body = self.json()?;
        let given = body.as_object().filter(|_| !body["certificate"].is_object());
        let given = given.ok_or_else(|| {
            Fault::invalid("use the attributes of the certificate as the body".to_owned())
        })?;
        let (mut made, mut unknown) = (Body::new(), Vec::new());
        for (name, value) in given {
            match &**name {
                "project_id" | "tenant_id" => {
                    let own = self.asker.project();
                    if !is_nothing(value) && value != own {
                        let why = format!("the key is for project {own}, not for {value}");
                        return Err(Fault::forbidden(why));
                    }
                }
                // There is nothing that is kept elsewhere.
                "source" if is_nothing(value) => {}
                "source" => {
                    let why = format!("this host does not support source = {value}");
                    return Err(Fault::not_supported(why));
                }
                // V3 takes it for a new one only, and it changes nothing.
                "admin_state_up" if !is_new => {}
                name if SAME.contains(&name) => drop(made.insert(name.to_owned(), value.clone())),
                _ => unknown.push(name.as_str()),
            }
        }
        if unknown.is_empty() {
            return Ok(made);
        }
        let (unknown, known) = (unknown.join(", "), SAME.join(", "));
        Err(Fault::invalid(format!("Unrecognized attribute(s) '{unknown}', use of: {known}")))
    }
}

fn of_reply(reply: &Body) -> Body {
    reply.get("certificate").and_then(Value::as_object).map(shown).unwrap_or_default()
}

fn shown(v3: &Body) -> Body {
    let moment = |key: &str| {
        let text = v3.get(key).and_then(Value::as_str).unwrap_or_default();
        text.trim_end_matches('Z').replace('T', " ")
    };
    let mut all: Body = SAME
        .iter()
        .map(|name| ((*name).to_owned(), v3.get(*name).cloned().unwrap_or_default()))
        .collect();
    let more = json!({
        "id": v3.get("id"), "tenant_id": v3.get("project_id"), "project_id": v3.get("project_id"),
        "create_time": moment("created_at"), "update_time": moment("updated_at"),
        "expire_time": moment("expire_time"), "source": null,
    });
    all.extend(more.as_object().cloned().unwrap_or_default());
    all
}
