//! Why a command did not do what it was asked, as people and as scripts read it.

use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// Exit codes of both programs.
pub const EXIT_DONE: u8 = 0;
pub const EXIT_FAILED: u8 = 1;
pub const EXIT_USAGE: u8 = 2;
pub const EXIT_PARTIAL: u8 = 3;
pub const EXIT_UNREACHABLE: u8 = 4;

/// A refusal or failure: one line for people (what, why, what to do), one document for scripts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    pub exit: u8,
    /// gRPC code in upper case: `NOT_FOUND`.
    pub code: &'static str,
    /// Stable and machine-readable: `SIGN_IN_FAILED`.
    pub reason: String,
    pub message: String,
    /// The same in Chinese, where the server says it; may be empty.
    pub message_zh: Box<str>,
    /// What to do about it; may be empty.
    pub advice: Box<str>,
    pub fields: Box<[Field]>,
}

/// What is wrong with one field of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    pub field: String,
    pub reason: String,
    pub message: String,
    pub message_zh: String,
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Something on this side of the connection failed.
    pub fn failed(reason: &str, message: impl Into<String>) -> Error {
        Error {
            exit: EXIT_FAILED,
            code: "FAILED_PRECONDITION",
            reason: reason.to_owned(),
            message: message.into(),
            message_zh: Box::default(),
            advice: Box::default(),
            fields: Box::default(),
        }
    }

    /// The command line cannot be meant.
    pub fn usage(message: impl Into<String>) -> Error {
        let error = Error::failed("USAGE", message);
        Error { exit: EXIT_USAGE, code: "INVALID_ARGUMENT", ..error }
    }

    /// No server answered.
    pub fn unreachable(message: impl Into<String>) -> Error {
        let error = Error::failed("UNREACHABLE", message);
        Error { exit: EXIT_UNREACHABLE, code: "UNAVAILABLE", ..error }
    }

    /// One field of what the user wrote is wrong.
    pub fn field(field: &str, reason: &str, message: &str, message_zh: &str) -> Error {
        let error = Error::failed("INVALID", format!("{field} {message}"));
        let field = Field {
            field: field.to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
            message_zh: message_zh.to_owned(),
        };
        Error { code: "INVALID_ARGUMENT", fields: Box::new([field]), ..error }
    }

    /// The server no longer knows the stored session.
    pub fn session_ended() -> Error {
        let error = Error::failed("UNAUTHENTICATED", "the session has ended");
        Error { code: "UNAUTHENTICATED", ..error }.advice(advice("UNAUTHENTICATED"))
    }

    pub fn advice(mut self, advice: impl Into<String>) -> Error {
        self.advice = advice.into().into_boxed_str();
        self
    }

    pub fn in_chinese(mut self, message: impl Into<String>) -> Error {
        self.message_zh = message.into().into_boxed_str();
        self
    }

    /// The one line on stderr.
    pub fn line(&self) -> String {
        let line = match &*self.advice {
            "" => self.message.clone(),
            advice => format!("{}; {advice}", self.message),
        };
        line.replace('\n', " ")
    }

    /// The document on stdout with `--output json`.
    pub fn document(&self) -> Value {
        let field = |field: &Field| {
            json!({
                "field": field.field,
                "reason": field.reason,
                "message": field.message,
                "message_zh": field.message_zh,
            })
        };
        json!({"error": {
            "code": self.code,
            "reason": self.reason,
            "message": self.message,
            "message_zh": self.message_zh,
            "fields": self.fields.iter().map(field).collect::<Vec<_>>(),
        }})
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Error {
        if broke_off(&status) {
            return Error::unreachable(format!("the connection broke off: {}", innermost(&status)))
                .advice("try again");
        }
        let details = status.get_error_details();
        let reason = match details.error_info() {
            Some(info) => info.reason.clone(),
            None => code_name(status.code()).to_owned(),
        };
        let message_zh = details.localized_message().filter(|local| local.locale == "zh-Hans");
        let message_zh = message_zh.map(|local| local.message.as_str()).unwrap_or_default().into();
        let violations = details.bad_request().map(|bad| bad.field_violations.as_slice());
        let field = |violation: &tonic_types::FieldViolation| Field {
            field: key_of(&violation.field),
            reason: violation.reason.clone(),
            message: violation.description.clone(),
            message_zh: violation
                .localized_message
                .as_ref()
                .map(|local| local.message.clone())
                .unwrap_or_default(),
        };
        let violations = violations.unwrap_or_default();
        let message = violations.iter().fold(message(&status), |message, violation| {
            message.replacen(&violation.field, &key_of(&violation.field), 1)
        });
        Error {
            exit: EXIT_FAILED,
            code: code_name(status.code()),
            advice: advice(&reason).into(),
            reason,
            message,
            message_zh,
            fields: violations.iter().map(field).collect(),
        }
    }
}

/// What wraps a record in requests; in a document its keys stand alone.
const WRAPPERS: [&str; 10] = [
    "plan.event.",
    "plan.",
    "member.",
    "org.",
    "detail.",
    "group.",
    "series.",
    "point.",
    "grant.",
    "settings.",
];
/// Fields of the contract that documents and flags call otherwise.
const KEYS: [(&str, &str); 10] = [
    ("start_time", "starts_at"),
    ("end_time", "ends_at"),
    ("time_zone", "tz"),
    ("given_time", "given_at"),
    ("expire_time", "expires_at"),
    ("registration_open_time", "registration_opens_at"),
    ("registration_close_time", "registration_closes_at"),
    ("from_time", "from"),
    ("to_time", "to"),
    ("as_of_time", "as_of"),
];

/// A field as whoever wrote a document or a flag calls it: `plan.event.end_time` is `ends_at`.
fn key_of(field: &str) -> String {
    let inner = WRAPPERS.iter().find_map(|wrapper| field.strip_prefix(wrapper)).unwrap_or(field);
    let key = |name| KEYS.iter().find(|(known, _)| *known == name).map_or(name, |(_, key)| *key);
    let keys: Vec<&str> = inner.split('.').map(key).collect();
    keys.join(".")
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.line())
    }
}

impl std::error::Error for Error {}

/// A part of an answer that the contract always sets.
pub fn present<T>(part: Option<T>) -> Result<T> {
    part.ok_or_else(|| Error::failed("ANSWER_INCOMPLETE", "the server's answer lacks its record"))
}

/// Did the transport fail, rather than the server refuse? Only then has a status a source.
pub fn broke_off(status: &Status) -> bool {
    std::error::Error::source(status).is_some()
}

/// What an error comes from in the end: the layers above say no more than that there is one.
pub fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// A status that was made by a library may say nothing.
fn message(status: &Status) -> String {
    match (status.message(), status.code()) {
        ("", Code::Unimplemented) => "this node does not offer that".to_owned(),
        ("", code) => format!("the node answered {}", code_name(code)),
        (message, _) => message.to_owned(),
    }
}

fn advice(reason: &str) -> &'static str {
    match reason {
        "UNAUTHENTICATED" => "sign in with `yizhan login --name NAME`",
        "SIGN_IN_FAILED" => "check both; after five failures each attempt has to wait",
        "DENIED" => "ask an administrator of the point",
        "STORAGE_FAILED" => "the node's log says why",
        "UNIMPLEMENTED" => "compare `yizhan --version` with the version in `yizhan status`",
        "DISK_FULL" => "free space on the node's disk",
        "FROZEN" => {
            "the operator runs `yizhand recover --feed` there, and `yizhand approve-epoch` at the founding node"
        }
        _ => "",
    }
}

/// The name of a gRPC code as the gRPC documents spell it.
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn a_status_keeps_its_reason_and_fields() {
        let mut details =
            ErrorDetails::with_error_info("INVALID", "yizhan", std::collections::HashMap::new());
        details.add_bad_request_violation("name", "is required");
        let status = Status::with_error_details(Code::InvalidArgument, "name is required", details);
        let error = Error::from(status);
        assert_eq!((error.exit, error.code), (1, "INVALID_ARGUMENT"));
        assert_eq!(error.document()["error"]["fields"][0]["field"], "name");
        assert_eq!(error.document()["error"]["message_zh"], "");

        let mut details =
            ErrorDetails::with_error_info("STALE", "yizhan", std::collections::HashMap::new());
        details.set_localized_message("zh-Hans", "已被更改");
        let error = Error::from(Status::with_error_details(Code::Aborted, "changed", details));
        assert_eq!(error.document()["error"]["message_zh"], "已被更改");
    }

    #[test]
    fn a_field_is_named_as_the_document_calls_it() {
        for (field, key) in [
            ("plan.event.end_time", "ends_at"),
            ("plan.orgs", "orgs"),
            ("member.study.degree_isced", "study.degree_isced"),
            ("detail.figures.value", "figures.value"),
            ("settings.kind", "kind"),
            ("request_id", "request_id"),
        ] {
            let mut details = ErrorDetails::new();
            details.add_bad_request_violation(field, "is wrong");
            let message = format!("{field} is wrong");
            let status = Status::with_error_details(Code::InvalidArgument, message, details);
            let error = Error::from(status);
            assert_eq!(error.document()["error"]["fields"][0]["field"], key);
            assert_eq!(error.message, format!("{key} is wrong"));
        }
    }

    #[test]
    fn a_status_without_details_is_named_by_its_code() {
        let error = Error::from(Status::new(Code::Unimplemented, "no such thing"));
        assert_eq!(error.reason, "UNIMPLEMENTED");
        assert_eq!(error.message, "no such thing");
        let silent = Error::from(Status::new(Code::Unimplemented, ""));
        assert_eq!(silent.message, "this node does not offer that");
    }

    #[test]
    fn people_get_one_line() {
        let error = Error::usage("two\nlines").advice("do this");
        assert_eq!(error.line(), "two lines; do this");
    }
}
