//! `EnrolmentService`: the only one that a caller without certificate reaches on the link. What is
//! behind it at this node (storage, roster, the way to the founding node) comes as three calls.

use std::sync::Arc;

use futures::future::BoxFuture;
use tonic::{Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};
use tracing::info;
use yizhan_proto::v1::{
    EnrolRequest, EnrolResponse, GetNonceRequest, GetNonceResponse, RenewRequest, RenewResponse,
    enrolment_service_server::{EnrolmentService, EnrolmentServiceServer},
};

use crate::{
    domain::roster::Roster,
    identity::{
        enrolment::{Application, Desk, Refusal, Renewal, Step, find_told},
        tls::Clock,
    },
    listen::ERROR_DOMAIN,
    store::database::Local,
};

/// Largest request, in bytes: a body of 4 KiB and its proofs.
const REQUEST_MAX: usize = 8 * 1024;

type Call<A, R> = Box<dyn Fn(A) -> BoxFuture<'static, Result<R, Refusal>> + Send + Sync>;

/// What the service needs of its node. At the founding node `admit` and `renew` call the `Office`;
/// elsewhere they send a parcel to it.
pub struct Behind {
    /// A connection that may write the tokens.
    pub connection: Box<dyn Fn() -> BoxFuture<'static, Result<Local, Refusal>> + Send + Sync>,
    pub roster: Box<dyn Fn() -> Arc<Roster> + Send + Sync>,
    /// With the request as it arrived, whose proofs the founding node checks again.
    pub admit: Call<(EnrolRequest, Application), EnrolResponse>,
    pub renew: Call<Renewal, RenewResponse>,
}

pub struct Enrolment {
    desk: Desk,
    clock: Clock,
    behind: Behind,
}

impl Enrolment {
    pub fn new(clock: Clock, behind: Behind) -> Enrolment {
        Enrolment { desk: Desk::default(), clock, behind }
    }

    /// The service with its limits, ready for a router.
    pub fn service(self) -> EnrolmentServiceServer<Enrolment> {
        EnrolmentServiceServer::new(self).max_decoding_message_size(REQUEST_MAX)
    }

    async fn enrol(&self, request: EnrolRequest) -> Result<EnrolResponse, Refusal> {
        let now = self.clock.now();
        let mut db = (self.behind.connection)().await?;
        let application = match self.desk.begin(&mut db, &request, now).await? {
            Step::Answered(response) => return Ok(response),
            Step::Go(application) => application,
        };
        // The founding node may be a slow link away: the connection is not kept for that long.
        drop(db);
        let response = (self.behind.admit)((request, Application::clone(&application))).await?;
        let mut db = (self.behind.connection)().await?;
        self.desk.finish(&mut db, &application, &response).await?;
        Ok(response)
    }

    async fn renew(&self, request: RenewRequest) -> Result<RenewResponse, Refusal> {
        let renewal = self.desk.renewal(request, &(self.behind.roster)(), self.clock.now())?;
        (self.behind.renew)(renewal).await
    }
}

#[tonic::async_trait]
impl EnrolmentService for Enrolment {
    async fn get_nonce(
        &self,
        _request: Request<GetNonceRequest>,
    ) -> Result<Response<GetNonceResponse>, Status> {
        Ok(Response::new(self.desk.nonce(self.clock.now())))
    }

    async fn enrol(
        &self,
        request: Request<EnrolRequest>,
    ) -> Result<Response<EnrolResponse>, Status> {
        Ok(Response::new(self.enrol(request.into_inner()).await.map_err(status)?))
    }

    async fn renew(
        &self,
        request: Request<RenewRequest>,
    ) -> Result<Response<RenewResponse>, Status> {
        Ok(Response::new(self.renew(request.into_inner()).await.map_err(status)?))
    }
}

/// The only place where a refusal is logged; it names no secret.
fn status(refusal: Refusal) -> Status {
    let (code, reason) = refusal.kind();
    info!(reason, error = %Chain(&refusal), "enrolment refused");
    let mut details = ErrorDetails::with_error_info(reason, ERROR_DOMAIN, []);
    if let Some(told) = find_told(reason) {
        details.set_localized_message("zh-Hans", told.zh);
    }
    Status::with_error_details(code, refusal.to_string(), details)
}

/// An error with all that lies behind it, on one line.
struct Chain<'a>(&'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "enrolment_tests.rs"]
mod tests;
