//! Why there is no answer: the one shape of errors, of the API socket and of commands with `-o json`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a request was refused, or why a command failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What kind of error it is, for programs.
    pub code: ErrorCode,
    /// What is wrong and what to do, for people.
    pub message: String,
}

/// Kinds of errors. More may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The request contradicts itself, or names what is not there.
    InvalidRequest,
    /// The agent does not know such a request: it is of another version.
    UnknownRequest,
    /// The request is larger than the agent takes.
    TooLarge,
    /// The agent does as many things of this kind as it can; ask again in a moment.
    Busy,
    /// The agent is stopping, or stopped before it had answered.
    Stopping,
    /// No agent listens on the socket.
    NoAgent,
    /// This user may not ask the agent.
    NotAllowed,
    /// Something took longer than it may.
    TimedOut,
    /// Anything else; the message says what.
    #[serde(other)]
    Failed,
}

impl Error {
    /// An error of this kind.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// What a command says that fails: with the code of the cause that has one.
    pub fn of(error: &anyhow::Error) -> Self {
        let code = error.downcast_ref::<Self>().map_or(ErrorCode::Failed, |error| error.code);
        Self::new(code, format!("{error:#}"))
    }
}

impl From<String> for Error {
    /// What is wrong with a request.
    fn from(why: String) -> Self {
        Self::new(ErrorCode::InvalidRequest, why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_known_below_and_above_other_words() {
        let busy = || Error::new(ErrorCode::Busy, "ask again");
        let wrapped = anyhow::Error::from(busy()).context("cannot diagnose");
        let error = Error::new(ErrorCode::Busy, "cannot diagnose: ask again");
        assert_eq!(Error::of(&wrapped), error);
        assert_eq!(Error::of(&anyhow::anyhow!("odd").context(busy())).code, ErrorCode::Busy);
        assert_eq!(Error::of(&anyhow::anyhow!("odd")), Error::new(ErrorCode::Failed, "odd"));
    }

    #[test]
    fn a_code_of_a_later_version_is_a_failure() {
        let text = r#"{"code":"no_quorum","message":"two of five nodes answer","node":"a"}"#;
        let error: Error = serde_json::from_str(text).unwrap();
        assert_eq!(
            (error.code, error.message.as_str()),
            (ErrorCode::Failed, "two of five nodes answer")
        );
        let text = serde_json::to_string(&Error::new(ErrorCode::NoAgent, "no agent")).unwrap();
        assert_eq!(text, r#"{"code":"no_agent","message":"no agent"}"#);
    }
}
