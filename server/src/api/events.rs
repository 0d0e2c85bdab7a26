//! The event service.

use tonic::{Request, Response, Status};
use yizhan_proto::v1::{self, event_service_server::EventService};

use super::decode::{optional_point, record};
use crate::{
    app::{
        App,
        error::Error,
        events::{self, Asked, Step},
    },
    domain::event::EventState,
    identity::caller::Caller,
    wire::value::{optional_time, required, time},
};

pub struct EventApi {
    pub app: App,
}

impl EventApi {
    async fn advance(
        &self,
        caller: &Caller,
        id: &str,
        etag: &str,
        step: Step,
    ) -> Result<Option<v1::Event>, Status> {
        let id = record(id, "id")?;
        Ok(events::advance(&self.app, caller, id, etag, step).await?)
    }
}

#[tonic::async_trait]
impl EventService for EventApi {
    async fn create_event(
        &self,
        request: Request<v1::CreateEventRequest>,
    ) -> Result<Response<v1::CreateEventResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let plan = required(request.plan, "plan").map_err(Error::from)?;
        let home = optional_point(&request.home, "home")?;
        let plan = events::create(&self.app, &caller, plan, home, &request.request_id).await?;
        Ok(Response::new(v1::CreateEventResponse { plan: Some(plan) }))
    }

    async fn get_event(
        &self,
        request: Request<v1::GetEventRequest>,
    ) -> Result<Response<v1::GetEventResponse>, Status> {
        let caller = Caller::of(&request);
        let seen = events::get(&self.app, &caller, &request.into_inner().id).await?;
        Ok(Response::new(v1::GetEventResponse {
            event: Some(seen.event),
            plan: seen.plan,
            point: Some(seen.point),
        }))
    }

    async fn list_events(
        &self,
        request: Request<v1::ListEventsRequest>,
    ) -> Result<Response<v1::ListEventsResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let state = match request.state {
            0 => None,
            number => Some(EventState::from_number(number, "state").map_err(Error::from)?),
        };
        let asked = Asked {
            series: request.series,
            state,
            from: optional_time(request.from_time, "from_time").map_err(Error::from)?,
            to: optional_time(request.to_time, "to_time").map_err(Error::from)?,
            home: optional_point(&request.home, "home")?,
            region: request.region,
            words: request.words,
            page_size: request.page_size,
            page_token: request.page_token,
            live: request.live,
            host: optional_point(&request.host, "host")?,
        };
        let page = events::list(&self.app, &caller, asked).await?;
        Ok(Response::new(v1::ListEventsResponse {
            items: page.items,
            next_page_token: page.next_page_token,
            points: page.points,
        }))
    }

    async fn update_event(
        &self,
        request: Request<v1::UpdateEventRequest>,
    ) -> Result<Response<v1::UpdateEventResponse>, Status> {
        let caller = Caller::of(&request);
        let plan = required(request.into_inner().plan, "plan").map_err(Error::from)?;
        let plan = events::update(&self.app, &caller, plan).await?;
        Ok(Response::new(v1::UpdateEventResponse { plan: Some(plan) }))
    }

    async fn publish_event(
        &self,
        request: Request<v1::PublishEventRequest>,
    ) -> Result<Response<v1::PublishEventResponse>, Status> {
        let caller = Caller::of(&request);
        let v1::PublishEventRequest { id, etag } = request.into_inner();
        let event = self.advance(&caller, &id, &etag, Step::Publish).await?;
        Ok(Response::new(v1::PublishEventResponse { event }))
    }

    async fn reschedule_event(
        &self,
        request: Request<v1::RescheduleEventRequest>,
    ) -> Result<Response<v1::RescheduleEventResponse>, Status> {
        let caller = Caller::of(&request);
        let v1::RescheduleEventRequest { id, etag, start_time, end_time } = request.into_inner();
        let read = |message, field| time(required(message, field)?, field);
        let start = read(start_time, "start_time").map_err(Error::from)?;
        let end = read(end_time, "end_time").map_err(Error::from)?;
        let event = self.advance(&caller, &id, &etag, Step::Reschedule { start, end }).await?;
        Ok(Response::new(v1::RescheduleEventResponse { event }))
    }

    async fn postpone_event(
        &self,
        request: Request<v1::PostponeEventRequest>,
    ) -> Result<Response<v1::PostponeEventResponse>, Status> {
        let caller = Caller::of(&request);
        let v1::PostponeEventRequest { id, etag } = request.into_inner();
        let event = self.advance(&caller, &id, &etag, Step::Postpone).await?;
        Ok(Response::new(v1::PostponeEventResponse { event }))
    }

    async fn cancel_event(
        &self,
        request: Request<v1::CancelEventRequest>,
    ) -> Result<Response<v1::CancelEventResponse>, Status> {
        let caller = Caller::of(&request);
        let v1::CancelEventRequest { id, etag } = request.into_inner();
        let event = self.advance(&caller, &id, &etag, Step::Cancel).await?;
        Ok(Response::new(v1::CancelEventResponse { event }))
    }

    async fn hold_event(
        &self,
        request: Request<v1::HoldEventRequest>,
    ) -> Result<Response<v1::HoldEventResponse>, Status> {
        let caller = Caller::of(&request);
        let v1::HoldEventRequest { id, etag } = request.into_inner();
        let event = self.advance(&caller, &id, &etag, Step::Hold).await?;
        Ok(Response::new(v1::HoldEventResponse { event }))
    }
}
