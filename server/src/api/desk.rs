//! The desk service: for the handlers of the owning point.

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use yizhan_proto::v1::{self, desk_service_server::DeskService};

use super::decode::{optional_point, record};
use crate::{
    app::{App, attachments, desk, error::Error},
    domain::{
        help_category::HelpCategory,
        help_state::{HelpState, Urgency},
        id::RecordId,
    },
    identity::caller::Caller,
    wire::value::{optional, optional_time},
};

/// Pieces of a file that wait for its reader.
const PIECES: usize = 4;

pub struct DeskApi {
    pub app: App,
}

#[tonic::async_trait]
impl DeskService for DeskApi {
    async fn list_desk_requests(
        &self,
        request: Request<v1::ListDeskRequestsRequest>,
    ) -> Result<Response<v1::ListDeskRequestsResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let state = match request.state {
            0 => None,
            number => Some(HelpState::from_number(number, "state").map_err(Error::from)?),
        };
        let asked = desk::Asked {
            state,
            point: optional_point(&request.point, "point")?,
            page_size: request.page_size,
            page_token: request.page_token,
        };
        let listed = desk::list(&self.app, &caller, asked).await?;
        Ok(Response::new(v1::ListDeskRequestsResponse {
            items: listed.items,
            next_page_token: listed.next_page_token,
            escalations: listed.escalations,
        }))
    }

    async fn get_desk_request(
        &self,
        request: Request<v1::GetDeskRequestRequest>,
    ) -> Result<Response<v1::GetDeskRequestResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let opened = desk::get(&self.app, &caller, &request.reference, &request.purpose).await?;
        Ok(Response::new(opened))
    }

    async fn break_glass_desk_request(
        &self,
        request: Request<v1::BreakGlassDeskRequestRequest>,
    ) -> Result<Response<v1::BreakGlassDeskRequestResponse>, Status> {
        let caller = Caller::of(&request);
        let v1::BreakGlassDeskRequestRequest { reference, reason, key_lost } = request.into_inner();
        let asked = desk::BreakGlass { reference, reason, key_lost };
        let answer = match desk::break_glass(&self.app, &caller, asked).await? {
            desk::Glass::Asked(id) => {
                v1::BreakGlassDeskRequestResponse { opened: None, approval: id.to_string() }
            }
            desk::Glass::Opened(opened) => {
                v1::BreakGlassDeskRequestResponse { opened: Some(*opened), approval: String::new() }
            }
        };
        Ok(Response::new(answer))
    }

    type GetDeskAttachmentStream = ReceiverStream<Result<v1::GetDeskAttachmentResponse, Status>>;

    async fn get_desk_attachment(
        &self,
        request: Request<v1::GetDeskAttachmentRequest>,
    ) -> Result<Response<Self::GetDeskAttachmentStream>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let (owner, file) =
            desk::attachment(&self.app, &caller, &request.reference, &request.id).await?;
        let (pieces, stream) = mpsc::channel(PIECES);
        let app = self.app.clone();
        tokio::spawn(async move {
            for number in 0.. {
                let piece = match attachments::read(&app, owner, &file, number).await {
                    Ok(Some(data)) => Ok(v1::GetDeskAttachmentResponse { data }),
                    Ok(None) => return,
                    Err(error) => Err(Status::from(error)),
                };
                let over = piece.is_err();
                // Nobody reads any more, or there is nothing more to read.
                if pieces.send(piece).await.is_err() || over {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn triage_desk_request(
        &self,
        request: Request<v1::TriageDeskRequestRequest>,
    ) -> Result<Response<v1::TriageDeskRequestResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let category = optional(&request.category, |text| HelpCategory::parse(text, "category"));
        let urgency = match request.urgency {
            0 => None,
            number => Some(Urgency::from_number(number, "urgency").map_err(Error::from)?),
        };
        let to = desk::Triage { category: category.map_err(Error::from)?, urgency };
        let done = desk::triage(&self.app, &caller, &request.reference, to).await?;
        Ok(Response::new(v1::TriageDeskRequestResponse { request: Some(done) }))
    }

    async fn assign_desk_request(
        &self,
        request: Request<v1::AssignDeskRequestRequest>,
    ) -> Result<Response<v1::AssignDeskRequestResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let done = desk::assign(&self.app, &caller, &request.reference, &request.to).await?;
        Ok(Response::new(v1::AssignDeskRequestResponse { request: Some(done) }))
    }

    async fn reply_desk_request(
        &self,
        request: Request<v1::ReplyDeskRequestRequest>,
    ) -> Result<Response<v1::ReplyDeskRequestResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let id = message_id(&request.request_id)?;
        let done = desk::reply(&self.app, &caller, &request.reference, &request.text, id).await?;
        Ok(Response::new(v1::ReplyDeskRequestResponse { request: Some(done) }))
    }

    async fn note_desk_request(
        &self,
        request: Request<v1::NoteDeskRequestRequest>,
    ) -> Result<Response<v1::NoteDeskRequestResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let id = message_id(&request.request_id)?;
        let done = desk::note(&self.app, &caller, &request.reference, &request.text, id).await?;
        Ok(Response::new(v1::NoteDeskRequestResponse { request: Some(done) }))
    }

    async fn wait_desk_request(
        &self,
        request: Request<v1::WaitDeskRequestRequest>,
    ) -> Result<Response<v1::WaitDeskRequestResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let done = desk::wait(&self.app, &caller, &request.reference, &request.text).await?;
        Ok(Response::new(v1::WaitDeskRequestResponse { request: Some(done) }))
    }

    async fn redirect_desk_request(
        &self,
        request: Request<v1::RedirectDeskRequestRequest>,
    ) -> Result<Response<v1::RedirectDeskRequestResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let advice = (&request.reason[..], &request.to[..], &request.contact[..]);
        let done = desk::redirect(&self.app, &caller, &request.reference, advice).await?;
        Ok(Response::new(v1::RedirectDeskRequestResponse { request: Some(done) }))
    }

    async fn duplicate_desk_request(
        &self,
        request: Request<v1::DuplicateDeskRequestRequest>,
    ) -> Result<Response<v1::DuplicateDeskRequestResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let done = desk::duplicate(&self.app, &caller, &request.reference, &request.of).await?;
        Ok(Response::new(v1::DuplicateDeskRequestResponse { request: Some(done) }))
    }

    async fn resolve_desk_request(
        &self,
        request: Request<v1::ResolveDeskRequestRequest>,
    ) -> Result<Response<v1::ResolveDeskRequestResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let how = (&request.text[..], &request.outcome[..]);
        let done = desk::resolve(&self.app, &caller, &request.reference, how).await?;
        Ok(Response::new(v1::ResolveDeskRequestResponse { request: Some(done) }))
    }

    async fn reopen_desk_request(
        &self,
        request: Request<v1::ReopenDeskRequestRequest>,
    ) -> Result<Response<v1::ReopenDeskRequestResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let done = desk::reopen(&self.app, &caller, &request.reference, &request.text).await?;
        Ok(Response::new(v1::ReopenDeskRequestResponse { request: Some(done) }))
    }

    async fn supply_desk_request(
        &self,
        request: Request<v1::SupplyDeskRequestRequest>,
    ) -> Result<Response<v1::SupplyDeskRequestResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let (lines, slot) = (request.lines, request.advice_slot_time);
        let (done, content) =
            desk::supply(&self.app, &caller, &request.reference, lines, slot).await?;
        Ok(Response::new(v1::SupplyDeskRequestResponse {
            request: Some(done),
            content: Some(content),
        }))
    }

    async fn get_desk_figures(
        &self,
        request: Request<v1::GetDeskFiguresRequest>,
    ) -> Result<Response<v1::GetDeskFiguresResponse>, Status> {
        let caller = Caller::of(&request);
        let point = optional_point(&request.into_inner().point, "point")?;
        let points = desk::figures(&self.app, &caller, point).await?;
        Ok(Response::new(v1::GetDeskFiguresResponse { points }))
    }

    async fn simulate_desk_routes(
        &self,
        request: Request<v1::SimulateDeskRoutesRequest>,
    ) -> Result<Response<v1::SimulateDeskRoutesResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let from = moment(request.from_time, "from_time", i64::MIN)?;
        let to = moment(request.to_time, "to_time", i64::MAX)?;
        let replayed = desk::simulate(&self.app, &caller, &request.draft, from..to).await?;
        Ok(Response::new(replayed))
    }
}

fn moment(time: Option<prost_types::Timestamp>, field: &str, else_us: i64) -> Result<i64, Error> {
    Ok(optional_time(time, field)?.map_or(else_us, |time| time.0))
}

fn message_id(text: &str) -> Result<Option<RecordId>, Error> {
    if text.is_empty() { Ok(None) } else { record(text, "request_id").map(Some) }
}
