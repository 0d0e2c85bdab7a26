//! The series service.

use tonic::{Request, Response, Status};
use yizhan_proto::v1::{self, series_service_server::SeriesService};

use super::decode::optional_point;
use crate::{
    app::{App, error::Error, series},
    identity::caller::Caller,
    wire::value::required,
};

pub struct SeriesApi {
    pub app: App,
}

#[tonic::async_trait]
impl SeriesService for SeriesApi {
    async fn create_series(
        &self,
        request: Request<v1::CreateSeriesRequest>,
    ) -> Result<Response<v1::CreateSeriesResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let new = required(request.series, "series").map_err(Error::from)?;
        let home = optional_point(&request.home, "home")?;
        let series = series::create(&self.app, &caller, new, home, &request.request_id).await?;
        Ok(Response::new(v1::CreateSeriesResponse { series: Some(series) }))
    }

    async fn get_series(
        &self,
        request: Request<v1::GetSeriesRequest>,
    ) -> Result<Response<v1::GetSeriesResponse>, Status> {
        let caller = Caller::of(&request);
        let code = request.into_inner().code;
        let (series, point) = series::get(&self.app, &caller, &code).await?;
        Ok(Response::new(v1::GetSeriesResponse { series: Some(series), point: Some(point) }))
    }

    async fn list_series(
        &self,
        request: Request<v1::ListSeriesRequest>,
    ) -> Result<Response<v1::ListSeriesResponse>, Status> {
        let caller = Caller::of(&request);
        let v1::ListSeriesRequest { page_size, page_token } = request.into_inner();
        let page = series::list(&self.app, &caller, page_size, &page_token).await?;
        Ok(Response::new(v1::ListSeriesResponse {
            items: page.items,
            next_page_token: page.next_page_token,
            points: page.points,
        }))
    }
}
