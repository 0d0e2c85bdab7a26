//! The help service: for whoever asks, without an account.

use tonic::{Request, Response, Status};
use yizhan_proto::v1::{self, help_request_service_server::HelpRequestService};

use super::decode::record;
use crate::{
    app::{
        App,
        error::Error,
        help_requests::{self, NewHelpRequest, Secret},
    },
    domain::text::Invalid,
    identity::caller::Caller,
    wire::help_request::route_message,
};

pub struct HelpRequestApi {
    pub app: App,
}

#[tonic::async_trait]
impl HelpRequestService for HelpRequestApi {
    async fn submit_help_request(
        &self,
        request: Request<v1::SubmitHelpRequestRequest>,
    ) -> Result<Response<v1::SubmitHelpRequestResponse>, Status> {
        let caller = Caller::of(&request);
        let new = NewHelpRequest::try_from(request.into_inner()).map_err(Error::from)?;
        let done = help_requests::submit(&self.app, &caller, new).await?;
        let numbers = done.emergency_numbers.iter().map(|number| (*number).to_owned());
        Ok(Response::new(v1::SubmitHelpRequestResponse {
            reference: done.reference,
            owner: done.owner.to_string(),
            route: Some(route_message(done.route)),
            first_answer_by: done.first_answer_by,
            time_zone: done.time_zone,
            emergency_numbers: numbers.collect(),
            emergency_first: done.emergency_first,
            is_open: done.is_open,
            warning: done.warning,
        }))
    }

    async fn track_help_request(
        &self,
        request: Request<v1::TrackHelpRequestRequest>,
    ) -> Result<Response<v1::TrackHelpRequestResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let secret = Secret::parse(&request.reference, request.secret).map_err(Error::from)?;
        let limit = usize::try_from(request.message_limit)
            .map_err(|_| Error::from(Invalid::new("message_limit", "negative")))?;
        let shown = help_requests::track(&self.app, &caller, &secret, limit).await?;
        Ok(Response::new(shown))
    }

    async fn reply_to_help_request(
        &self,
        request: Request<v1::ReplyToHelpRequestRequest>,
    ) -> Result<Response<v1::ReplyToHelpRequestResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let secret = Secret::parse(&request.reference, request.secret).map_err(Error::from)?;
        let id = record(&request.message_id, "message_id")?;
        let state =
            help_requests::reply(&self.app, &caller, &secret, id, request.sealed).await?.number();
        Ok(Response::new(v1::ReplyToHelpRequestResponse { state }))
    }

    async fn withdraw_help_request(
        &self,
        request: Request<v1::WithdrawHelpRequestRequest>,
    ) -> Result<Response<v1::WithdrawHelpRequestResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let secret = Secret::parse(&request.reference, request.secret).map_err(Error::from)?;
        let state = help_requests::withdraw(&self.app, &caller, &secret).await?.number();
        Ok(Response::new(v1::WithdrawHelpRequestResponse { state }))
    }

    async fn rate_help_request(
        &self,
        request: Request<v1::RateHelpRequestRequest>,
    ) -> Result<Response<v1::RateHelpRequestResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let secret = Secret::parse(&request.reference, request.secret).map_err(Error::from)?;
        let rating = u32::try_from(request.rating)
            .map_err(|_| Error::from(Invalid::new("rating", "negative")))?;
        let state = help_requests::rate(&self.app, &caller, &secret, rating).await?.number();
        Ok(Response::new(v1::RateHelpRequestResponse { state }))
    }

    async fn list_help_categories(
        &self,
        request: Request<v1::ListHelpCategoriesRequest>,
    ) -> Result<Response<v1::ListHelpCategoriesResponse>, Status> {
        let categories = help_requests::categories(&Caller::of(&request))?;
        Ok(Response::new(v1::ListHelpCategoriesResponse { categories }))
    }
}
