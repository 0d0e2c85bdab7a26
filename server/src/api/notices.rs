//! The notice service: where people who work here are told of news.

use tonic::{Request, Response, Status};
use yizhan_proto::v1::{self, notice_service_server::NoticeService};

use crate::{
    app::{App, error::Error, notices},
    domain::policy::Operation,
    identity::caller::Caller,
    wire::notice as wire,
};

pub struct NoticeApi {
    pub app: App,
}

#[tonic::async_trait]
impl NoticeService for NoticeApi {
    async fn get_notice_settings(
        &self,
        request: Request<v1::GetNoticeSettingsRequest>,
    ) -> Result<Response<v1::GetNoticeSettingsResponse>, Status> {
        let (reader, active) = notices::settings(&self.app, &Caller::of(&request)).await?;
        let settings = reader.map(wire::settings);
        Ok(Response::new(v1::GetNoticeSettingsResponse { settings, active }))
    }

    async fn set_notice_settings(
        &self,
        request: Request<v1::SetNoticeSettingsRequest>,
    ) -> Result<Response<v1::SetNoticeSettingsResponse>, Status> {
        let caller = Caller::of(&request);
        caller.may(Operation::ReceiveNotices).map_err(Error::from)?;
        let hosts = self.app.notices.ways.hosts();
        let reader = wire::reader(request.into_inner().settings, hosts).map_err(Error::from)?;
        let (reader, active) = notices::set(&self.app, &caller, reader).await?;
        let settings = reader.map(wire::settings);
        Ok(Response::new(v1::SetNoticeSettingsResponse { settings, active }))
    }
}
