//! How an error leaves the node: gRPC code, stable reason, and the fields that are wrong.

use std::{collections::HashMap, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, LocalizedMessage, StatusExt};

use crate::{
    app::error::Error,
    domain::{message, text::Invalid},
};

/// The domain of every `ErrorInfo` of this system.
pub const DOMAIN: &str = "yizhan";

impl From<Error> for Status {
    fn from(error: Error) -> Status {
        let (code, reason) = error.kind();
        if code == Code::Internal {
            tracing::error!(error = &error as &dyn std::error::Error, "request failed");
        }

        let mut details = ErrorDetails::with_error_info(reason, DOMAIN, metadata(&error));
        if let Error::Invalid(fields) = &error {
            details.set_bad_request(fields.iter().map(violation).collect::<Vec<_>>());
        }
        if let Some(text) = error.message_zh() {
            details.set_localized_message("zh-Hans", text);
        }
        if matches!(error, Error::FileTooLarge) {
            let limit = Invalid::new("attachment", "too_large").hint("at most 20 MB");
            details.set_bad_request(vec![violation(&limit)]);
        }
        if let Error::SlowDown { retry_after_ms } = &error {
            details.set_retry_info(Some(Duration::from_millis(*retry_after_ms)));
        }
        Status::with_error_details(code, error.to_string(), details)
    }
}

/// What a program may want to know besides the reason.
fn metadata(error: &Error) -> HashMap<String, String> {
    let pair = match error {
        Error::NotFound { noun } | Error::Exists { noun } => ("noun", (*noun).to_owned()),
        Error::NotHome { home } => ("home", home.clone()),
        Error::OwnerUnavailable { point, since } => {
            return HashMap::from([
                ("point".to_owned(), point.clone()),
                ("unavailable_since".to_owned(), since.clone()),
            ]);
        }
        _ => return HashMap::new(),
    };
    HashMap::from([(pair.0.to_owned(), pair.1)])
}

/// English in `description`, Chinese in `localized_message`: one violation has room for one text
/// besides the description.
fn violation(invalid: &Invalid) -> FieldViolation {
    let (zh, en) = message::of(invalid.reason);
    let with_hint = |text: &str| match invalid.hint.as_str() {
        "" => text.to_owned(),
        hint => format!("{text} ({hint})"),
    };
    FieldViolation {
        field: invalid.field.clone(),
        description: with_hint(en),
        reason: invalid.reason.to_owned(),
        localized_message: Some(LocalizedMessage::new("zh-Hans", with_hint(zh))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_field_is_named_with_reason_and_both_languages() {
        let status = Status::from(Error::from(Invalid::new("user.name", "required")));
        let details = status.get_error_details();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(details.error_info().unwrap().reason, "INVALID");
        assert_eq!(details.error_info().unwrap().domain, DOMAIN);
        let field = &details.bad_request().unwrap().field_violations[0];
        assert_eq!((field.field.as_str(), field.reason.as_str()), ("user.name", "required"));
        assert_eq!(field.description, "is required");
        assert_eq!(field.localized_message.as_ref().unwrap().message, "必填");
    }

    #[test]
    fn a_step_that_the_state_does_not_allow_has_one_code_and_names_the_ways_on() {
        let refused = Invalid::new("state", "move_refused").hint("open -> given, expired");
        let status = Status::from(Error::from(refused));
        let details = status.get_error_details();
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert_eq!(details.error_info().unwrap().reason, "MOVE_REFUSED");
        assert_eq!(status.message(), "state does not allow this step (open -> given, expired)");
        assert_eq!(details.bad_request().unwrap().field_violations[0].reason, "move_refused");
    }

    #[test]
    fn what_is_no_fault_of_a_field_is_told_in_both_languages_too() {
        let status = Status::from(Error::Stale);
        let details = status.get_error_details();
        assert_eq!((status.code(), status.message().is_ascii()), (Code::Aborted, true));
        assert_eq!(details.error_info().unwrap().reason, "STALE");
        let zh = details.localized_message().unwrap();
        assert_eq!((&*zh.locale, zh.message.is_ascii()), ("zh-Hans", false));
    }

    #[test]
    fn a_wait_is_told_as_retry_info() {
        let status = Status::from(Error::SlowDown { retry_after_ms: 1_500 });
        let delay = status.get_error_details().retry_info().unwrap().retry_delay;
        assert_eq!(delay, Some(Duration::from_millis(1_500)));
        assert!(status.message().ends_with("in 2 s"));
    }

    #[test]
    fn the_source_of_a_storage_failure_stays_inside() {
        let status = Status::from(Error::Storage(crate::store::StoreError::UnknownDatabase));
        assert_eq!(status.message(), "storage failed");
        assert_eq!(status.get_error_details().error_info().unwrap().reason, "STORAGE_FAILED");
    }
}
