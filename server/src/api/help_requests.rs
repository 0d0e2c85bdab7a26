//! The help service: for whoever asks, without an account.

use tonic::{Request, Response, Status, Streaming};
use yizhan_proto::v1::{self, help_request_service_server::HelpRequestService};

use crate::{
    app::{
        App,
        attachments::{self, FileKey},
        error::Error,
        handoffs,
        help_requests::{self, NewHelpRequest},
    },
    domain::{policy::Operation, text::Invalid},
    identity::caller::Caller,
    wire::help_request::route_message,
};

/// Bytes of one part of an upload.
const UPLOAD_PART_MAX: usize = 64 * 1_024;

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
            opens_at: done.opens_at,
            readers: done.readers,
        }))
    }

    async fn upload_attachment(
        &self,
        request: Request<Streaming<v1::UploadAttachmentRequest>>,
    ) -> Result<Response<v1::UploadAttachmentResponse>, Status> {
        use v1::upload_attachment_request::Part;
        Caller::of(&request).may(Operation::SubmitHelpRequest).map_err(Error::from)?;
        let mut parts = request.into_inner();
        let head = match parts.message().await?.and_then(|first| first.part) {
            Some(Part::Head(head)) => head,
            _ => return Err(Error::from(Invalid::new("head", "required")).into()),
        };
        let mut key = FileKey::default();
        *key = head.key[..]
            .try_into()
            .map_err(|_| Error::from(Invalid::new("head.key", "wrong_length")))?;
        let upload = attachments::upload(&self.app, &head.name, key).await?;
        while let Some(part) = parts.message().await? {
            let Some(Part::Data(bytes)) = part.part else {
                return Err(Error::from(Invalid::new("data", "required")).into());
            };
            if bytes.len() > UPLOAD_PART_MAX {
                return Err(Error::from(Invalid::new("data", "too_long")).into());
            }
            if !upload.push(attachments::Part::Bytes(bytes)).await {
                break;
            }
        }
        upload.push(attachments::Part::End).await;
        let (id, accepted) = upload.finish().await?;
        Ok(Response::new(v1::UploadAttachmentResponse {
            id: id.to_string(),
            name: accepted.name,
            media_type: accepted.media.name().to_owned(),
            size: i64::try_from(accepted.size).unwrap_or(i64::MAX),
        }))
    }

    async fn track_help_request(
        &self,
        request: Request<v1::TrackHelpRequestRequest>,
    ) -> Result<Response<v1::TrackHelpRequestResponse>, Status> {
        let caller = Caller::of(&request);
        let shown = handoffs::track(&self.app, &caller, request.into_inner()).await?;
        Ok(Response::new(shown))
    }

    async fn reply_to_help_request(
        &self,
        request: Request<v1::ReplyToHelpRequestRequest>,
    ) -> Result<Response<v1::ReplyToHelpRequestResponse>, Status> {
        let caller = Caller::of(&request);
        let state = handoffs::reply(&self.app, &caller, request.into_inner()).await?.number();
        Ok(Response::new(v1::ReplyToHelpRequestResponse { state }))
    }

    async fn withdraw_help_request(
        &self,
        request: Request<v1::WithdrawHelpRequestRequest>,
    ) -> Result<Response<v1::WithdrawHelpRequestResponse>, Status> {
        let caller = Caller::of(&request);
        let state = handoffs::withdraw(&self.app, &caller, request.into_inner()).await?.number();
        Ok(Response::new(v1::WithdrawHelpRequestResponse { state }))
    }

    async fn rate_help_request(
        &self,
        request: Request<v1::RateHelpRequestRequest>,
    ) -> Result<Response<v1::RateHelpRequestResponse>, Status> {
        let caller = Caller::of(&request);
        let state = handoffs::rate(&self.app, &caller, request.into_inner()).await?.number();
        Ok(Response::new(v1::RateHelpRequestResponse { state }))
    }

    async fn consent_help_request(
        &self,
        request: Request<v1::ConsentHelpRequestRequest>,
    ) -> Result<Response<v1::ConsentHelpRequestResponse>, Status> {
        let caller = Caller::of(&request);
        let state = handoffs::consent(&self.app, &caller, request.into_inner()).await?.number();
        Ok(Response::new(v1::ConsentHelpRequestResponse { state }))
    }

    async fn set_help_notices(
        &self,
        request: Request<v1::SetHelpNoticesRequest>,
    ) -> Result<Response<v1::SetHelpNoticesResponse>, Status> {
        let caller = Caller::of(&request);
        let state = handoffs::set_notices(&self.app, &caller, request.into_inner()).await?;
        Ok(Response::new(v1::SetHelpNoticesResponse { state: state.number() }))
    }

    async fn list_help_categories(
        &self,
        request: Request<v1::ListHelpCategoriesRequest>,
    ) -> Result<Response<v1::ListHelpCategoriesResponse>, Status> {
        let categories = help_requests::categories(&Caller::of(&request))?;
        Ok(Response::new(v1::ListHelpCategoriesResponse { categories }))
    }
}
