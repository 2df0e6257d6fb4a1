//! Why a request is refused, with the status and the code that clients of the API know.

use axum::http::StatusCode;

use super::validation::shortened;
use crate::source::store::DocumentKind;

/// A request that is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl Refusal {
    const fn new(status: StatusCode, code: &'static str, message: String) -> Self {
        Self { status, code, message }
    }

    /// One of each.
    pub(super) const fn every() -> [Self; 13] {
        [
            Self::invalid(String::new()),
            Self::not_supported(String::new()),
            Self::no_such(String::new()),
            Self::exhausted(String::new()),
            Self::quota(String::new()),
            Self::conflict(String::new()),
            Self::internal(String::new()),
            Self::unavailable(String::new()),
            Self::no_such_path(String::new()),
            Self::unauthenticated(String::new()),
            Self::forbidden(String::new()),
            Self::too_many(String::new()),
            Self::too_large(String::new()),
        ]
    }

    /// Something in it is not valid.
    pub(super) const fn invalid(message: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "ELB.8902", message)
    }

    /// Valid in the API, and not to be had here.
    pub(super) const fn not_supported(message: String) -> Self {
        Self::new(StatusCode::FORBIDDEN, "ELB.8903", message)
    }

    /// There is no such resource in the project.
    pub(super) fn not_found(kind: DocumentKind, id: &str) -> Self {
        Self::no_such(format!("{kind} {} could not be found.", shortened(id)))
    }

    /// There is nothing of this name.
    pub(super) const fn no_such(message: String) -> Self {
        Self::new(StatusCode::NOT_FOUND, "ELB.8904", message)
    }

    /// No address is free.
    pub(super) const fn exhausted(message: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "ELB.8950", message)
    }

    /// There are as many as there may be.
    pub(super) const fn quota(message: String) -> Self {
        Self::new(StatusCode::CONFLICT, "ELB.8905", message)
    }

    /// Another resource is in the way.
    pub(super) const fn conflict(message: String) -> Self {
        Self::new(StatusCode::CONFLICT, "ELB.8907", message)
    }

    /// The agent, and not the request, is at fault.
    pub(super) const fn internal(message: String) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "ELB.8906", message)
    }

    /// There is nothing to answer from until something on this host is put right.
    pub(super) const fn unavailable(message: String) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "ELB.8906", message)
    }

    /// The API has no such path.
    pub(super) const fn no_such_path(message: String) -> Self {
        Self::new(StatusCode::NOT_FOUND, "APIGW.0101", message)
    }

    /// It is not known who asks.
    pub(super) const fn unauthenticated(message: String) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "APIGW.0301", message)
    }

    /// It is known who asks, and that is not enough.
    pub(super) const fn forbidden(message: String) -> Self {
        Self::new(StatusCode::FORBIDDEN, "SYS.0403", message)
    }

    /// More requests than are taken in this time.
    pub(super) const fn too_many(message: String) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "APIGW.0308", message)
    }

    /// More bytes than a request may have.
    pub(super) const fn too_large(message: String) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "ELB.8902", message)
    }
}
