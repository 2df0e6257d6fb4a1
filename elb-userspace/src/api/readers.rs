//! A group that may ask over the API socket, and change nothing. Who may connect is a matter of the socket's
//! file, which belongs to that group; who may change something follows from the user at the other end, as the
//! kernel names it.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};

use super::shape::error::{Error, ErrorCode};

/// Requests that read, and yet are not for readers: while packets are traced, all packets cost more.
const COSTLY: &[&str] = &["/trace"];

/// The group that may read.
#[derive(Clone, Debug)]
pub struct Readers {
    group: Arc<str>,
    /// The user of the agent.
    own: u32,
}

impl Readers {
    /// The members of this group.
    pub fn of(group: &str) -> Self {
        Self { group: group.into(), own: rustix::process::geteuid().as_raw() }
    }

    /// What answers who is at the other end: all of it for root and the user of the agent.
    pub(super) fn answer(&self, uid: Option<u32>, router: &Router) -> Router {
        if uid.is_some_and(|uid| self.may_change(uid)) {
            return router.clone();
        }
        let refusal = self.refusal(uid);
        router.clone().layer(middleware::from_fn_with_state(refusal, only_reads))
    }

    const fn may_change(&self, uid: u32) -> bool {
        uid == 0 || uid == self.own
    }

    fn refusal(&self, uid: Option<u32>) -> Arc<str> {
        let uid = uid.map_or_else(|| "this user".to_owned(), |uid| format!("uid {uid}"));
        let group = &self.group;
        format!(
            "{uid} may ask the agent and change nothing ([agent] socket_group = {group:?}); root may: try sudo"
        )
        .into()
    }
}

async fn only_reads(State(refusal): State<Arc<str>>, request: Request, next: Next) -> Response {
    if is_reading(request.method(), request.uri().path()) {
        next.run(request).await
    } else {
        Error::new(ErrorCode::NotAllowed, &*refusal).into_response()
    }
}

/// Whether a request changes nothing, and costs packets nothing.
fn is_reading(method: &Method, path: &str) -> bool {
    [Method::GET, Method::HEAD].contains(method) && !COSTLY.contains(&path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_get_what_is_only_read() {
        for path in ["/status", "/events", "/drops", "/explain", "/flows", "/reload", "/ready"] {
            assert!(is_reading(&Method::GET, path), "{path}");
        }
        for path in ["/reload", "/drain", "/flows/cut", "/plan", "/diagnose", "/later"] {
            assert!(!is_reading(&Method::POST, path), "{path}");
        }
        assert!(!is_reading(&Method::GET, "/trace"));
        let resource = "/v3/p/elb/loadbalancers";
        assert!(is_reading(&Method::GET, resource) && is_reading(&Method::GET, "/audit"));
        for method in [Method::POST, Method::PUT, Method::DELETE] {
            assert!(!is_reading(&method, resource), "{method}");
        }
        assert!(!is_reading(&Method::POST, "/store/copy") && !is_reading(&Method::POST, "/apply"));
    }

    #[test]
    fn root_and_the_agents_own_user_may_change_things() {
        let readers = Readers { group: "elb".into(), own: 7 };
        assert!(readers.may_change(0) && readers.may_change(7) && !readers.may_change(8));
        let why = "uid 8 may ask the agent and change nothing ([agent] socket_group = \"elb\"); root may: \
                   try sudo";
        assert_eq!(&*readers.refusal(Some(8)), why);
    }
}
