//! The report service.

use tonic::{Request, Response, Status};
use yizhan_proto::v1::{self, report_service_server::ReportService};

use crate::{
    app::{App, error::Error, report},
    identity::caller::Caller,
    wire::value::date,
};

pub struct ReportApi {
    pub app: App,
}

#[tonic::async_trait]
impl ReportService for ReportApi {
    async fn get_report(
        &self,
        request: Request<v1::GetReportRequest>,
    ) -> Result<Response<v1::GetReportResponse>, Status> {
        let caller = Caller::of(&request);
        let v1::GetReportRequest { name, as_of, live } = request.into_inner();
        let as_of = date(as_of, "as_of").map_err(Error::from)?;
        let report = report::get(&self.app, &caller, &name, as_of, live).await?;
        Ok(Response::new(report))
    }
}
