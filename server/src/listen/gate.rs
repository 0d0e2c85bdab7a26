//! Who may call at all: on the link, whoever has no admitted certificate reaches enrolment only.

use std::sync::Arc;

use axum::body::Body;
use http::{Request, Response};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::{domain::roster::Refused, identity::peer::Peer};

/// Paths that a caller without certificate reaches on the link.
pub const ENROLMENT_PREFIX: &str = "/yizhan.v1.EnrolmentService/";
/// `ErrorInfo.domain` of all our errors.
pub const ERROR_DOMAIN: &str = "yizhan";

/// Asks the roster about a peer; cheap, because it is asked for every call.
pub type Admission = Arc<dyn Fn(&Peer) -> Result<(), Refused> + Send + Sync>;

/// Whom a listener is for.
#[derive(Clone)]
pub enum Access {
    /// Anybody; each RPC decides for itself.
    Anybody,
    /// Nodes that the roster admits. Others reach enrolment.
    Nodes(Admission),
}

impl Access {
    /// Lets a request pass, with its peer put in, or answers it.
    pub(super) fn check<B>(
        &self,
        request: &mut Request<B>,
        peer: Option<&Peer>,
    ) -> Result<(), Box<Response<Body>>> {
        let Access::Nodes(admission) = self else { return Ok(()) };
        if request.uri().path().starts_with(ENROLMENT_PREFIX) {
            return Ok(());
        }
        let Some(peer) = peer else {
            let text = "a certificate of the network is needed; without one only enrolment is open";
            return Err(refuse(Code::Unauthenticated, "CERTIFICATE_NEEDED", text));
        };
        if let Err(refused) = admission(peer) {
            let text = refused.to_string();
            return Err(refuse(Code::PermissionDenied, refused.reason(), &text));
        }
        request.extensions_mut().insert(peer.clone());
        Ok(())
    }

    pub(super) fn admits(&self, peer: &Peer) -> bool {
        match self {
            Access::Anybody => true,
            Access::Nodes(admission) => admission(peer).is_ok(),
        }
    }

    /// Are callers without an admitted certificate the exception here?
    pub(super) fn is_for_nodes(&self) -> bool {
        matches!(self, Access::Nodes(_))
    }
}

/// The listener has enough to do: nothing was done, and the caller may come again.
pub(super) fn busy() -> Response<Body> {
    *refuse(Code::ResourceExhausted, "BUSY", "too busy: try again in a moment")
}

/// The answer took longer than any should. What was begun may be finished all the same.
pub(super) fn late() -> Response<Body> {
    *refuse(Code::DeadlineExceeded, "REQUEST_TIMEOUT", "the request took too long")
}

fn refuse(code: Code, reason: &str, text: &str) -> Box<Response<Body>> {
    let details = ErrorDetails::with_error_info(reason, ERROR_DOMAIN, []);
    Box::new(Status::with_error_details(code, text, details).into_http())
}
