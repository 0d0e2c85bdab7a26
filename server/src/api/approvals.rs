//! The approval service.

use tonic::{Request, Response, Status};
use yizhan_proto::v1::{self, approval_service_server::ApprovalService};

use super::decode::record;
use crate::{
    app::{App, approvals},
    identity::caller::Caller,
    wire::approval::message,
};

pub struct ApprovalApi {
    pub app: App,
}

#[tonic::async_trait]
impl ApprovalService for ApprovalApi {
    async fn list_approvals(
        &self,
        request: Request<v1::ListApprovalsRequest>,
    ) -> Result<Response<v1::ListApprovalsResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let (size, token) = (request.page_size, &request.page_token);
        let (items, next_page_token) = approvals::list(&self.app, &caller, size, token).await?;
        let now = self.app.outside.now();
        let shown = |approval| {
            let task = approvals::word_of(&approval);
            message(approval, task, now)
        };
        let items = items.into_iter().map(shown).collect();
        Ok(Response::new(v1::ListApprovalsResponse { items, next_page_token }))
    }

    async fn give_approval(
        &self,
        request: Request<v1::GiveApprovalRequest>,
    ) -> Result<Response<v1::GiveApprovalResponse>, Status> {
        let caller = Caller::of(&request);
        let id = record(&request.into_inner().id, "id")?;
        let approval = approvals::give(&self.app, &caller, id).await?;
        let task = approvals::word_of(&approval);
        let approval = Some(message(approval, task, self.app.outside.now()));
        Ok(Response::new(v1::GiveApprovalResponse { approval }))
    }
}
