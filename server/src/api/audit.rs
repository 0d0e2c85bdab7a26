//! The audit service.

use tonic::{Request, Response, Status};
use yizhan_proto::v1::{self, audit_service_server::AuditService};

use super::decode::record;
use crate::{
    app::{App, audit, error::Error},
    identity::caller::Caller,
    wire::value::optional_time,
};

pub struct AuditApi {
    pub app: App,
}

#[tonic::async_trait]
impl AuditService for AuditApi {
    async fn list_audit_lines(
        &self,
        request: Request<v1::ListAuditLinesRequest>,
    ) -> Result<Response<v1::ListAuditLinesResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let asked = audit::Asked {
            record: match request.record.as_str() {
                "" => None,
                id => Some(record(id, "record")?),
            },
            actor: request.actor,
            from: optional_time(request.from_time, "from_time").map_err(Error::from)?,
            to: optional_time(request.to_time, "to_time").map_err(Error::from)?,
            page_size: request.page_size,
            page_token: request.page_token,
        };
        let page = audit::list(&self.app, &caller, asked).await?;
        let items = page.lines.into_iter().map(v1::AuditLine::from).collect();
        let next_page_token = page.next_page_token;
        Ok(Response::new(v1::ListAuditLinesResponse { items, next_page_token }))
    }

    async fn verify_audit(
        &self,
        request: Request<v1::VerifyAuditRequest>,
    ) -> Result<Response<v1::VerifyAuditResponse>, Status> {
        let report = audit::verify(&self.app, &Caller::of(&request)).await?;
        Ok(Response::new(report.into()))
    }
}
