//! The move service: for members, and for the staff of both points.

use tonic::{Request, Response, Status};
use yizhan_proto::v1::{self, move_service_server::MoveService};

use super::decode::{point, record};
use crate::{
    app::{
        App,
        moves::{self, Wish},
    },
    identity::caller::Caller,
};

pub struct MoveApi {
    pub app: App,
}

#[tonic::async_trait]
impl MoveService for MoveApi {
    async fn move_member(
        &self,
        request: Request<v1::MoveMemberRequest>,
    ) -> Result<Response<v1::MoveMemberResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let wish = Wish {
            member: record(&request.member, "member")?,
            to: point(&request.to, "to")?,
            note: request.note,
        };
        let started = moves::start(&self.app, &caller, wish).await?;
        Ok(Response::new(v1::MoveMemberResponse { r#move: Some(started) }))
    }

    async fn accept_move(
        &self,
        request: Request<v1::AcceptMoveRequest>,
    ) -> Result<Response<v1::AcceptMoveResponse>, Status> {
        let caller = Caller::of(&request);
        let id = record(&request.into_inner().id, "id")?;
        let accepted = moves::accept(&self.app, &caller, id).await?;
        Ok(Response::new(v1::AcceptMoveResponse { r#move: Some(accepted) }))
    }

    async fn decline_move(
        &self,
        request: Request<v1::DeclineMoveRequest>,
    ) -> Result<Response<v1::DeclineMoveResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let id = record(&request.id, "id")?;
        let declined = moves::decline(&self.app, &caller, id, &request.reason).await?;
        Ok(Response::new(v1::DeclineMoveResponse { r#move: Some(declined) }))
    }

    async fn recall_move(
        &self,
        request: Request<v1::RecallMoveRequest>,
    ) -> Result<Response<v1::RecallMoveResponse>, Status> {
        let caller = Caller::of(&request);
        let id = record(&request.into_inner().id, "id")?;
        let recalled = moves::recall(&self.app, &caller, id).await?;
        Ok(Response::new(v1::RecallMoveResponse { r#move: Some(recalled) }))
    }

    async fn list_moves(
        &self,
        request: Request<v1::ListMovesRequest>,
    ) -> Result<Response<v1::ListMovesResponse>, Status> {
        let caller = Caller::of(&request);
        let moves = moves::list(&self.app, &caller, request.into_inner().all).await?;
        Ok(Response::new(v1::ListMovesResponse { moves }))
    }
}
