//! The group service.

use tonic::{Request, Response, Status};
use yizhan_proto::v1::{self, group_service_server::GroupService};

use super::decode::{optional_point, record};
use crate::{
    app::{
        App,
        error::Error,
        groups::{self, Asked, Enrolment},
    },
    domain::{
        group::{GroupKind, GroupState, PlaceRole, PlaceState},
        region::Region,
        text::Invalid,
    },
    identity::caller::Caller,
    wire::value::{date, optional, required},
};

pub struct GroupApi {
    pub app: App,
}

/// An enumeration's value that may be missing.
fn maybe<T>(
    number: i32,
    field: &str,
    read: fn(i32, &str) -> Result<T, Invalid>,
) -> Result<Option<T>, Error> {
    Ok((number != 0).then(|| read(number, field)).transpose()?)
}

#[tonic::async_trait]
impl GroupService for GroupApi {
    async fn create_group(
        &self,
        request: Request<v1::CreateGroupRequest>,
    ) -> Result<Response<v1::CreateGroupResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let new = required(request.group, "group").map_err(Error::from)?;
        let home = optional_point(&request.home, "home")?;
        let group = groups::create(&self.app, &caller, new, home, &request.request_id).await?;
        Ok(Response::new(v1::CreateGroupResponse { group: Some(group) }))
    }

    async fn get_group(
        &self,
        request: Request<v1::GetGroupRequest>,
    ) -> Result<Response<v1::GetGroupResponse>, Status> {
        let caller = Caller::of(&request);
        let seen = groups::get(&self.app, &caller, &request.into_inner().id).await?;
        Ok(Response::new(v1::GetGroupResponse {
            group: Some(seen.group),
            places: seen.places as u32,
            persons: seen.persons as u32,
            point: Some(seen.point),
        }))
    }

    async fn list_groups(
        &self,
        request: Request<v1::ListGroupsRequest>,
    ) -> Result<Response<v1::ListGroupsResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let asked = Asked {
            kind: maybe(request.kind, "kind", GroupKind::from_number)?,
            state: maybe(request.state, "state", GroupState::from_number)?,
            page_size: request.page_size,
            page_token: request.page_token,
        };
        let page = groups::list(&self.app, &caller, asked).await?;
        Ok(Response::new(v1::ListGroupsResponse {
            items: page.items,
            next_page_token: page.next_page_token,
            points: page.points,
        }))
    }

    async fn move_group(
        &self,
        request: Request<v1::MoveGroupRequest>,
    ) -> Result<Response<v1::MoveGroupResponse>, Status> {
        let caller = Caller::of(&request);
        let v1::MoveGroupRequest { id, state, etag } = request.into_inner();
        let state = GroupState::from_number(state, "state").map_err(Error::from)?;
        let group = groups::move_on(&self.app, &caller, &id, state, &etag).await?;
        Ok(Response::new(v1::MoveGroupResponse { group: Some(group) }))
    }

    async fn enrol_group_member(
        &self,
        request: Request<v1::EnrolGroupMemberRequest>,
    ) -> Result<Response<v1::EnrolGroupMemberResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let new = Enrolment {
            group: request.group,
            member: record(&request.member, "member")?,
            role: maybe(request.role, "role", PlaceRole::from_number)?,
            from: date(request.from, "from").map_err(Error::from)?,
            duty_region: optional(&request.duty_region, |text| Region::parse(text, "duty_region"))
                .map_err(Error::from)?,
        };
        let member = groups::enrol(&self.app, &caller, new).await?;
        Ok(Response::new(v1::EnrolGroupMemberResponse { member: Some(member) }))
    }

    async fn move_group_member(
        &self,
        request: Request<v1::MoveGroupMemberRequest>,
    ) -> Result<Response<v1::MoveGroupMemberResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let member = record(&request.member, "member")?;
        let state = PlaceState::from_number(request.state, "state").map_err(Error::from)?;
        let on = date(request.on, "on").map_err(Error::from)?;
        let moved =
            groups::move_place(&self.app, &caller, &request.group, member, state, on).await?;
        Ok(Response::new(v1::MoveGroupMemberResponse { member: Some(moved) }))
    }

    async fn list_group_members(
        &self,
        request: Request<v1::ListGroupMembersRequest>,
    ) -> Result<Response<v1::ListGroupMembersResponse>, Status> {
        let caller = Caller::of(&request);
        let v1::ListGroupMembersRequest { group, page_size, page_token, state } =
            request.into_inner();
        let state = maybe(state, "state", PlaceState::from_number)?;
        let page =
            groups::list_places(&self.app, &caller, &group, state, page_size, &page_token).await?;
        Ok(Response::new(v1::ListGroupMembersResponse {
            items: page.items,
            next_page_token: page.next_page_token,
            points: page.points,
        }))
    }

    async fn set_group_duty(
        &self,
        request: Request<v1::SetGroupDutyRequest>,
    ) -> Result<Response<v1::SetGroupDutyResponse>, Status> {
        let caller = Caller::of(&request);
        let v1::SetGroupDutyRequest { group, duty, etag } = request.into_inner();
        let duty = required(duty, "duty").and_then(TryInto::try_into).map_err(Error::from)?;
        let group = groups::set_duty(&self.app, &caller, &group, duty, &etag).await?;
        Ok(Response::new(v1::SetGroupDutyResponse { group: Some(group) }))
    }

    async fn list_group_duty(
        &self,
        request: Request<v1::ListGroupDutyRequest>,
    ) -> Result<Response<v1::ListGroupDutyResponse>, Status> {
        let caller = Caller::of(&request);
        let v1::ListGroupDutyRequest { group, on, region } = request.into_inner();
        let on = date(on, "on").map_err(Error::from)?;
        let duty = groups::list_duty(&self.app, &caller, &group, on, &region).await?;
        Ok(Response::new(duty))
    }
}
