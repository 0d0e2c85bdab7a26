//! The organisation service.

use tonic::{Request, Response, Status};
use yizhan_proto::v1::{self, org_service_server::OrgService};

use super::decode::optional_point;
use crate::{
    app::{
        App,
        error::Error,
        orgs::{self, Asked},
    },
    domain::org::OrgType,
    identity::caller::Caller,
    wire::value::required,
};

pub struct OrgApi {
    pub app: App,
}

#[tonic::async_trait]
impl OrgService for OrgApi {
    async fn list_orgs(
        &self,
        request: Request<v1::ListOrgsRequest>,
    ) -> Result<Response<v1::ListOrgsResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let kind = (request.r#type != 0).then(|| OrgType::from_number(request.r#type, "type"));
        let asked = Asked {
            kind: kind.transpose().map_err(Error::from)?,
            region: request.region,
            words: request.words,
            page_size: request.page_size,
            page_token: request.page_token,
        };
        let page = orgs::list(&self.app, &caller, asked).await?;
        Ok(Response::new(v1::ListOrgsResponse {
            items: page.items,
            next_page_token: page.next_page_token,
            points: page.points,
        }))
    }

    async fn get_org(
        &self,
        request: Request<v1::GetOrgRequest>,
    ) -> Result<Response<v1::GetOrgResponse>, Status> {
        let caller = Caller::of(&request);
        let seen = orgs::get(&self.app, &caller, &request.into_inner().id).await?;
        let point = Some(seen.point);
        Ok(Response::new(v1::GetOrgResponse { org: Some(seen.org), detail: seen.detail, point }))
    }

    async fn create_org(
        &self,
        request: Request<v1::CreateOrgRequest>,
    ) -> Result<Response<v1::CreateOrgResponse>, Status> {
        let caller = Caller::of(&request);
        let v1::CreateOrgRequest { org, detail, request_id, home } = request.into_inner();
        let org = required(org, "org").map_err(Error::from)?;
        let home = optional_point(&home, "home")?;
        let made = orgs::create(&self.app, &caller, org, detail, home, &request_id).await?;
        Ok(Response::new(v1::CreateOrgResponse { org: Some(made.org), detail: made.detail }))
    }

    async fn update_org(
        &self,
        request: Request<v1::UpdateOrgRequest>,
    ) -> Result<Response<v1::UpdateOrgResponse>, Status> {
        let caller = Caller::of(&request);
        let v1::UpdateOrgRequest { org, detail } = request.into_inner();
        let org = required(org, "org").map_err(Error::from)?;
        let made = orgs::update(&self.app, &caller, org, detail).await?;
        Ok(Response::new(v1::UpdateOrgResponse { org: Some(made.org), detail: made.detail }))
    }
}
