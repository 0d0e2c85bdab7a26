//! The account service.

use tonic::{Request, Response, Status};
use yizhan_proto::v1::{
    self, ConfirmUserRequest, ConfirmUserResponse, CreateUserRequest, CreateUserResponse,
    DisableUserRequest, DisableUserResponse, GetCallerRequest, GetCallerResponse, ListUsersRequest,
    ListUsersResponse, SetOtpRequest, SetOtpResponse, SetPasswordRequest, SetPasswordResponse,
    SetRoleRequest, SetRoleResponse, SignInRequest, SignInResponse, SignOutRequest,
    SignOutResponse, User, account_service_server::AccountService,
};

use crate::{
    app::{
        App,
        accounts::{Accounts, NewAccount},
        error::Error,
        roles::{self, Changed, RoleChange},
        users::{self, Replaced},
    },
    domain::{account::USER_NAME_MAX, id::RecordId, text::Invalid},
    identity::caller::{Caller, bearer},
    outside::Outside,
    wire::{
        account::{role, role_message},
        value::{optional, optional_time, time_message},
    },
};

/// Accounts on a page if the caller does not say.
const PAGE_SIZE_DEFAULT: u32 = 50;
const PAGE_SIZE_MAX: u32 = 1_000;

pub struct AccountApi {
    pub app: App,
    pub accounts: Accounts,
    pub outside: Outside,
}

#[tonic::async_trait]
impl AccountService for AccountApi {
    async fn sign_in(
        &self,
        request: Request<SignInRequest>,
    ) -> Result<Response<SignInResponse>, Status> {
        let SignInRequest { name, password, otp } = request.into_inner();
        let (now, random) = (self.outside.now(), self.outside.random());
        let signed_in = self.accounts.sign_in(&name, &password, &otp, now, random).await?;
        Ok(Response::new(SignInResponse {
            token: signed_in.token.reveal(),
            user: Some(signed_in.account.into()),
            expire_time: Some(time_message(signed_in.expires)),
        }))
    }

    async fn sign_out(
        &self,
        request: Request<SignOutRequest>,
    ) -> Result<Response<SignOutResponse>, Status> {
        if let Some(token) = bearer(request.metadata()) {
            self.accounts.sign_out(token).await?;
        }
        Ok(Response::new(SignOutResponse {}))
    }

    async fn get_caller(
        &self,
        request: Request<GetCallerRequest>,
    ) -> Result<Response<GetCallerResponse>, Status> {
        let caller = Caller::of(&request);
        let known = self.accounts.known(&caller).await?;
        let answer = match caller {
            Caller::Account { name, role, point, also, member, expires, .. } => {
                let user = User {
                    name,
                    role: role_message(role).into(),
                    point: point.to_string(),
                    grants: also.into_iter().map(v1::RoleGrant::from).collect(),
                    member: member.map(|member| member.to_string()).unwrap_or_default(),
                    ..known.map(User::from).unwrap_or_default()
                };
                GetCallerResponse { user: Some(user), expire_time: Some(time_message(expires)) }
            }
            Caller::Anonymous | Caller::Peer { .. } | Caller::Operator { .. } => {
                GetCallerResponse::default()
            }
        };
        Ok(Response::new(answer))
    }

    async fn create_user(
        &self,
        request: Request<CreateUserRequest>,
    ) -> Result<Response<CreateUserResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let new = NewAccount {
            name: request.name,
            password: request.password,
            role: role(request.role, "role").map_err(Error::from)?,
            point: optional(&request.point, str::parse).map_err(Error::from)?,
            member: optional(&request.member, |id| RecordId::parse(id, "member"))
                .map_err(Error::from)?,
        };
        let (user, approval) = told(users::create(&self.app, &caller, new).await?);
        Ok(Response::new(CreateUserResponse { user, approval }))
    }

    async fn list_users(
        &self,
        request: Request<ListUsersRequest>,
    ) -> Result<Response<ListUsersResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let size = page_size(request.page_size).map_err(Error::from)?;
        let after = after(&request.page_token).map_err(Error::from)?;

        // One more than asked for tells whether there is a next page.
        let mut accounts = self.accounts.list(&caller, &after, size + 1).await?;
        let more = accounts.len() > size as usize;
        accounts.truncate(size as usize);
        let next_page_token = match accounts.last() {
            Some(last) if more => hex::encode(&last.name),
            _ => String::new(),
        };
        let users = accounts.into_iter().map(User::from).collect();
        Ok(Response::new(ListUsersResponse { users, next_page_token }))
    }

    async fn disable_user(
        &self,
        request: Request<DisableUserRequest>,
    ) -> Result<Response<DisableUserResponse>, Status> {
        let caller = Caller::of(&request);
        let name = request.into_inner().name;
        let (user, approval) = told(users::disable(&self.app, &caller, &name).await?);
        Ok(Response::new(DisableUserResponse { user, approval }))
    }

    async fn set_password(
        &self,
        request: Request<SetPasswordRequest>,
    ) -> Result<Response<SetPasswordResponse>, Status> {
        let caller = Caller::of(&request);
        let SetPasswordRequest { name, new_password, current_password } = request.into_inner();
        let set = users::set_password(&self.app, &caller, &name, &new_password, &current_password);
        let approval = match set.await? {
            Replaced::Now => String::new(),
            Replaced::Asked(approval) => approval.to_string(),
        };
        Ok(Response::new(SetPasswordResponse { approval }))
    }

    async fn confirm_user(
        &self,
        request: Request<ConfirmUserRequest>,
    ) -> Result<Response<ConfirmUserResponse>, Status> {
        let caller = Caller::of(&request);
        let account = users::confirm(&self.app, &caller, &request.into_inner().name).await?;
        Ok(Response::new(ConfirmUserResponse { user: Some(account.into()) }))
    }

    async fn set_role(
        &self,
        request: Request<SetRoleRequest>,
    ) -> Result<Response<SetRoleResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let moment = |message, field| optional_time(message, field).map_err(Error::from);
        let change = RoleChange {
            role: role(request.role, "role").map_err(Error::from)?.name().to_owned(),
            also: request.also,
            ended: request.ended,
            point: Some(request.point).filter(|point| !point.is_empty()),
            categories: request.categories,
            from_us: moment(request.from_time, "from_time")?.map(|time| time.0),
            to_us: moment(request.to_time, "to_time")?.map(|time| time.0),
        };
        let changed = roles::set_role(&self.app, &caller, &request.name, change).await?;
        let (user, approval) = told(changed);
        Ok(Response::new(SetRoleResponse { user, approval }))
    }

    async fn set_otp(
        &self,
        request: Request<SetOtpRequest>,
    ) -> Result<Response<SetOtpResponse>, Status> {
        let caller = Caller::of(&request);
        let SetOtpRequest { current_password, code, off } = request.into_inner();
        let (now, random) = (self.outside.now(), self.outside.random());
        let asked = (code.as_str(), off);
        let codes = self.accounts.set_codes(&caller, &current_password, asked, now, random).await?;
        let (secret, url, active) = (codes.secret, codes.url, codes.active);
        Ok(Response::new(SetOtpResponse { secret, url, active }))
    }
}

/// The account as it is now, or the approval that is needed first.
fn told(changed: Changed) -> (Option<User>, String) {
    match changed {
        Changed::Now(account) => (Some(account.into()), String::new()),
        Changed::Asked(approval) => (None, approval.to_string()),
    }
}

/// The page size used for the one asked for. Too large is lowered, not refused.
fn page_size(asked: i32) -> Result<u32, Invalid> {
    match u32::try_from(asked) {
        Ok(0) => Ok(PAGE_SIZE_DEFAULT),
        Ok(size) => Ok(size.min(PAGE_SIZE_MAX)),
        Err(_) => Err(Invalid::new("page_size", "negative")),
    }
}

/// The name after which a page begins.
fn after(page_token: &str) -> Result<String, Invalid> {
    let name = hex::decode(page_token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    name.filter(|name| name.chars().count() <= USER_NAME_MAX)
        .ok_or_else(|| Invalid::new("page_token", "not_a_page_token"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_sized_and_continued_within_limits() {
        assert_eq!(page_size(0).unwrap(), PAGE_SIZE_DEFAULT);
        assert_eq!(page_size(i32::MAX).unwrap(), PAGE_SIZE_MAX);
        assert_eq!(page_size(-1).unwrap_err().reason, "negative");
        assert_eq!(after("").unwrap(), "");
        assert_eq!(after(&hex::encode("王")).unwrap(), "王");
        assert!(after("zz").is_err());
    }
}
