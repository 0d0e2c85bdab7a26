//! The handoff service: for the handlers of both points.

use tonic::{Request, Response, Status};
use yizhan_proto::v1::{self, handoff_service_server::HandoffService};

use super::decode::{optional_point, point, record};
use crate::{
    app::{
        App,
        handoffs::{self, Offer, Offered},
    },
    identity::caller::Caller,
};

pub struct HandoffApi {
    pub app: App,
}

#[tonic::async_trait]
impl HandoffService for HandoffApi {
    async fn offer_handoff(
        &self,
        request: Request<v1::OfferHandoffRequest>,
    ) -> Result<Response<v1::OfferHandoffResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let offer = Offer {
            to: point(&request.to, "to")?,
            reference: request.reference,
            summary: request.summary,
            override_reason: request.override_reason,
        };
        Ok(Response::new(match handoffs::offer(&self.app, &caller, offer).await? {
            Offered::Now(handoff) => {
                v1::OfferHandoffResponse { handoff: Some(*handoff), approval: String::new() }
            }
            Offered::Asked(id) => {
                v1::OfferHandoffResponse { handoff: None, approval: id.to_string() }
            }
        }))
    }

    async fn accept_handoff(
        &self,
        request: Request<v1::AcceptHandoffRequest>,
    ) -> Result<Response<v1::AcceptHandoffResponse>, Status> {
        let caller = Caller::of(&request);
        let id = record(&request.into_inner().id, "id")?;
        let handoff = handoffs::accept(&self.app, &caller, id).await?;
        Ok(Response::new(v1::AcceptHandoffResponse { handoff: Some(handoff) }))
    }

    async fn decline_handoff(
        &self,
        request: Request<v1::DeclineHandoffRequest>,
    ) -> Result<Response<v1::DeclineHandoffResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let id = record(&request.id, "id")?;
        let suggested = optional_point(&request.suggested_point, "suggested_point")?;
        let handoff = handoffs::decline(&self.app, &caller, id, &request.reason, suggested).await?;
        Ok(Response::new(v1::DeclineHandoffResponse { handoff: Some(handoff) }))
    }

    async fn recall_handoff(
        &self,
        request: Request<v1::RecallHandoffRequest>,
    ) -> Result<Response<v1::RecallHandoffResponse>, Status> {
        let caller = Caller::of(&request);
        let id = record(&request.into_inner().id, "id")?;
        let handoff = handoffs::recall(&self.app, &caller, id).await?;
        Ok(Response::new(v1::RecallHandoffResponse { handoff: Some(handoff) }))
    }

    async fn list_handoffs(
        &self,
        request: Request<v1::ListHandoffsRequest>,
    ) -> Result<Response<v1::ListHandoffsResponse>, Status> {
        let caller = Caller::of(&request);
        let all = request.into_inner().all;
        let handoffs = handoffs::list(&self.app, &caller, all).await?;
        Ok(Response::new(v1::ListHandoffsResponse { handoffs }))
    }
}
