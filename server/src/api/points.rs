//! The point service.

use tonic::{Request, Response, Status};
use yizhan_proto::v1::{self, point_service_server::PointService};

use super::decode::{optional_point, point};
use crate::{
    app::{
        App,
        error::Error,
        points::{self, Answer, Asked, Parts, Seen, Wish},
    },
    domain::point::PointState,
    identity::caller::Caller,
    wire::value::{date, required, time_message},
};

pub struct PointApi {
    pub app: App,
}

#[tonic::async_trait]
impl PointService for PointApi {
    async fn list_points(
        &self,
        request: Request<v1::ListPointsRequest>,
    ) -> Result<Response<v1::ListPointsResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let state = match request.state {
            0 => None,
            number => Some(PointState::from_number(number, "state").map_err(Error::from)?),
        };
        let v1::ListPointsRequest { page_size, page_token, region, .. } = request;
        let asked = Asked { region, state, page_size, page_token };
        let page = points::list(&self.app, &caller, asked).await?;
        Ok(Response::new(v1::ListPointsResponse {
            items: page.items,
            next_page_token: page.next_page_token,
            points: page.points,
        }))
    }

    async fn get_point(
        &self,
        request: Request<v1::GetPointRequest>,
    ) -> Result<Response<v1::GetPointResponse>, Status> {
        let caller = Caller::of(&request);
        let code = point(&request.into_inner().code, "code")?;
        let seen = points::get(&self.app, &caller, &code).await?;
        Ok(Response::new(v1::GetPointResponse {
            point: Some(seen.point),
            state: Some(seen.state),
            detail: seen.detail,
            notes: seen.notes,
        }))
    }

    async fn create_point(
        &self,
        request: Request<v1::CreatePointRequest>,
    ) -> Result<Response<v1::CreatePointResponse>, Status> {
        let caller = Caller::of(&request);
        let v1::CreatePointRequest { point, detail, notes, .. } = request.into_inner();
        let new = required(point, "point").map_err(Error::from)?;
        let parts = Parts::read(detail, notes).map_err(Error::from)?;
        let Seen { point, detail, notes, .. } =
            points::create(&self.app, &caller, new, parts).await?;
        Ok(Response::new(v1::CreatePointResponse { point: Some(point), detail, notes }))
    }

    async fn update_point(
        &self,
        request: Request<v1::UpdatePointRequest>,
    ) -> Result<Response<v1::UpdatePointResponse>, Status> {
        let caller = Caller::of(&request);
        let v1::UpdatePointRequest { point, detail, notes } = request.into_inner();
        let point = required(point, "point").map_err(Error::from)?;
        let wish = Wish { point, detail, notes };
        Ok(Response::new(match points::update(&self.app, &caller, wish).await? {
            Answer::Asked(id) => {
                v1::UpdatePointResponse { approval: id.to_string(), ..Default::default() }
            }
            Answer::Done(seen) => v1::UpdatePointResponse {
                point: Some(seen.point),
                approval: String::new(),
                detail: seen.detail,
                notes: seen.notes,
            },
        }))
    }

    async fn close_point(
        &self,
        request: Request<v1::ClosePointRequest>,
    ) -> Result<Response<v1::ClosePointResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let code = point(&request.code, "code")?;
        let successor = optional_point(&request.successor, "successor")?;
        let closed_on = date(request.closed_on, "closed_on").map_err(Error::from)?;
        let etag = &request.etag;
        let point = points::close(&self.app, &caller, &code, successor, closed_on, etag).await?;
        let update_time = Some(time_message(self.app.outside.now()));
        Ok(Response::new(v1::ClosePointResponse { point: Some(point), update_time }))
    }
}
