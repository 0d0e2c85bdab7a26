//! The member service.

use tonic::{Request, Response, Status};
use yizhan_proto::v1::{self, member_service_server::MemberService};

use super::decode::{optional_point, record};
use crate::{
    app::{
        App,
        error::Error,
        members::{self, ErasureAnswer},
    },
    domain::{
        audit::NO_RECORD,
        id::{PointCode, RecordId},
        member::Role,
        text::Invalid,
    },
    identity::caller::Caller,
    wire::value::{date, required},
};

pub struct MemberApi {
    pub app: App,
}

#[tonic::async_trait]
impl MemberService for MemberApi {
    async fn create_member(
        &self,
        request: Request<v1::CreateMemberRequest>,
    ) -> Result<Response<v1::CreateMemberResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let member = required(request.member, "member").map_err(Error::from)?;
        let home = optional_point(&request.home, "home")?;
        if request.other_than.len() > members::LIKE_MAX {
            let hint = format_args!("at most {}", members::LIKE_MAX);
            return Err(Error::from(Invalid::new("other_than", "too_many").hint(hint)).into());
        }
        let other_than = request.other_than.iter().map(|id| record(id, "other_than"));
        let other_than = other_than.collect::<Result<_, _>>()?;
        let new = members::New { member, home, request_id: request.request_id, other_than };
        let member = members::create(&self.app, &caller, new).await?;
        Ok(Response::new(v1::CreateMemberResponse { member: Some(member) }))
    }

    async fn get_member(
        &self,
        request: Request<v1::GetMemberRequest>,
    ) -> Result<Response<v1::GetMemberResponse>, Status> {
        let caller = Caller::of(&request);
        let id = record(&request.into_inner().id, "id")?;
        let found = members::get(&self.app, &caller, id).await?;
        Ok(Response::new(v1::GetMemberResponse {
            id: id.to_string(),
            home: found.home.to_string(),
            seen: Some(found.seen),
            point: Some(found.point),
        }))
    }

    async fn update_member(
        &self,
        request: Request<v1::UpdateMemberRequest>,
    ) -> Result<Response<v1::UpdateMemberResponse>, Status> {
        let caller = Caller::of(&request);
        let member = required(request.into_inner().member, "member").map_err(Error::from)?;
        let member = members::update(&self.app, &caller, member).await?;
        Ok(Response::new(v1::UpdateMemberResponse { member: Some(member) }))
    }

    async fn search_members(
        &self,
        request: Request<v1::SearchMembersRequest>,
    ) -> Result<Response<v1::SearchMembersResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let role = match request.role {
            0 => None,
            number => Some(Role::from_number(number, "role").map_err(Error::from)?),
        };
        let asked = members::Search {
            home: optional_point(&request.home, "home")?,
            words: request.words,
            region: request.region,
            field: request.field,
            language: request.language,
            role,
            page_size: request.page_size,
            page_token: request.page_token,
            live: request.live,
        };
        let page = members::search(&self.app, &caller, asked).await?;
        Ok(Response::new(v1::SearchMembersResponse {
            items: page.items,
            next_page_token: page.next_page_token,
            points: page.points,
        }))
    }

    async fn leave_member(
        &self,
        request: Request<v1::LeaveMemberRequest>,
    ) -> Result<Response<v1::LeaveMemberResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let id = record(&request.id, "id")?;
        let ended_on = date(request.ended_on, "ended_on").map_err(Error::from)?;
        let member = members::leave(&self.app, &caller, id, ended_on, &request.etag).await?;
        Ok(Response::new(v1::LeaveMemberResponse { member: Some(member) }))
    }

    async fn give_consent(
        &self,
        request: Request<v1::GiveConsentRequest>,
    ) -> Result<Response<v1::GiveConsentResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let grant = required(request.grant, "grant").map_err(Error::from)?;
        let grant = members::give(&self.app, &caller, grant, &request.request_id).await?;
        Ok(Response::new(v1::GiveConsentResponse { grant: Some(grant) }))
    }

    async fn withdraw_consent(
        &self,
        request: Request<v1::WithdrawConsentRequest>,
    ) -> Result<Response<v1::WithdrawConsentResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let member = record(&request.member, "member")?;
        let (purpose, scope) = (&request.purpose, &request.scope);
        let grants = members::withdraw(&self.app, &caller, member, purpose, scope).await?;
        Ok(Response::new(v1::WithdrawConsentResponse { grants }))
    }

    async fn list_grants(
        &self,
        request: Request<v1::ListGrantsRequest>,
    ) -> Result<Response<v1::ListGrantsResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let member = record(&request.member, "member")?;
        let (size, token) = (request.page_size, &request.page_token);
        let (items, next_page_token) =
            members::list_grants(&self.app, &caller, member, size, token).await?;
        Ok(Response::new(v1::ListGrantsResponse { items, next_page_token }))
    }

    async fn erase_member(
        &self,
        request: Request<v1::EraseMemberRequest>,
    ) -> Result<Response<v1::EraseMemberResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let id = record(&request.id, "id")?;
        let wish = members::Wish { preview: request.preview, identity: request.identity };
        let mut answer = v1::EraseMemberResponse::default();
        match members::erase(&self.app, &caller, id, wish).await? {
            ErasureAnswer::Preview(preview) => {
                answer.preview = Some(v1::ErasurePreview {
                    records: preview.records,
                    appearances: preview.appearances,
                    points: preview.points.iter().map(PointCode::to_string).collect(),
                });
            }
            ErasureAnswer::Asked(approval) => answer.approval = approval.to_string(),
            ErasureAnswer::Done(erased) => {
                answer.removed_records = erased.removed;
                if erased.order != NO_RECORD {
                    answer.order = erased.order.to_string();
                }
            }
        }
        Ok(Response::new(answer))
    }

    async fn list_member_copies(
        &self,
        request: Request<v1::ListMemberCopiesRequest>,
    ) -> Result<Response<v1::ListMemberCopiesResponse>, Status> {
        let caller = Caller::of(&request);
        let id: RecordId = record(&request.into_inner().id, "id")?;
        let found = members::list_copies(&self.app, &caller, id).await?;
        Ok(Response::new(v1::ListMemberCopiesResponse {
            id: id.to_string(),
            copies: found.copies,
            certificate: found.certificate,
            moved_to: found.moved_to.map(|to| to.to_string()).unwrap_or_default(),
        }))
    }

    async fn access_member(
        &self,
        request: Request<v1::AccessMemberRequest>,
    ) -> Result<Response<v1::AccessMemberResponse>, Status> {
        let caller = Caller::of(&request);
        let id = record(&request.into_inner().id, "id")?;
        Ok(Response::new(members::access(&self.app, &caller, id).await?))
    }
}
