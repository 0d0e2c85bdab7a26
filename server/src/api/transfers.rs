//! The transfer service: copies of cards for one destination.

use tonic::{Request, Response, Status};
use yizhan_proto::v1::{self, transfer_service_server::TransferService};

use super::decode::{point, record};
use crate::{
    app::{App, transfers},
    identity::caller::Caller,
};

pub struct TransferApi {
    pub app: App,
}

#[tonic::async_trait]
impl TransferService for TransferApi {
    async fn transfer_member(
        &self,
        request: Request<v1::TransferMemberRequest>,
    ) -> Result<Response<v1::TransferMemberResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let (member, to) = (record(&request.member, "member")?, point(&request.to, "to")?);
        let sent = transfers::transfer(&self.app, &caller, member, to).await?;
        Ok(Response::new(v1::TransferMemberResponse {
            id: sent.id.to_string(),
            member: sent.member.to_string(),
            to: sent.to.to_string(),
            state: sent.state.number(),
            basis: sent.basis.number(),
            reference: sent.reference,
        }))
    }
}
