//! Accounts as their administrators change them: alone, or, where it is about a provincial admin, with a
//! second person.

use super::{
    App,
    accounts::{self, Hands, NewAccount},
    approvals::{self, Task},
    error::{Error, Result},
    holders,
    roles::Changed,
};
use crate::{
    domain::{
        account::{self, Account, AccountId},
        audit::Deed,
        id::{PointCode, RecordId},
        policy::{Operation, Role},
    },
    identity::caller::Caller,
};

/// What became of a new password.
pub enum Replaced {
    Now,
    /// This approval is needed first.
    Asked(RecordId),
}

/// Adds an account, or asks a second person.
pub async fn create(app: &App, caller: &Caller, new: NewAccount) -> Result<Changed> {
    account::new_password(&new.password, "password")?;
    holders::check(app, caller, &new).await?;
    let (now, random) = (app.outside.now(), app.outside.random());
    let (id, _) = random.split_at(16);
    let id = AccountId(id.try_into().expect("BUG: 16 of 32 bytes"));
    let (account, hands) = app.accounts.check_new(caller, &new, id, now)?;
    if hands == Hands::One {
        return Ok(Changed::Now(app.accounts.create(caller, new, now, random).await?));
    }
    let hash = app.accounts.passwords.hash(&new.password, salt_for(app, &account.name)).await?;
    let task = Task::AddUser {
        name: account.name.clone(),
        role: account.role.name().to_owned(),
        point: account.point.to_string(),
        member: account.member.map(|member| member.to_string()),
        hash,
    };
    Ok(Changed::Asked(ask(app, caller, &account, &task).await?))
}

/// Closes an account for good, or asks a second person.
pub async fn disable(app: &App, caller: &Caller, name: &str) -> Result<Changed> {
    let now = app.outside.now();
    let (account, hands) = app.accounts.administered(caller, name, now).await?;
    if hands == Hands::One || account.disabled.is_some() {
        let deed = caller.deed(Operation::ManageAccounts);
        return Ok(Changed::Now(app.accounts.close(account, deed, now).await?));
    }
    let task = Task::DisableUser { name: account.name.clone() };
    Ok(Changed::Asked(ask(app, caller, &account, &task).await?))
}

/// Replaces a password: the own one, or somebody else's, with a second person where it takes one.
pub async fn set_password(
    app: &App,
    caller: &Caller,
    name: &str,
    new: &str,
    current: &str,
) -> Result<Replaced> {
    let (now, salt) = (app.outside.now(), app.outside.random());
    if !caller.is_named(name) {
        caller.may(Operation::ChangePassword)?;
        account::new_password(new, "new_password")?;
        let (account, hands) = app.accounts.administered(caller, name, now).await?;
        if hands == Hands::Two {
            let salt = salt_for(app, &account.name);
            let hash = app.accounts.passwords.hash(new, salt).await?;
            let task = Task::SetPassword { name: account.name.clone(), hash };
            return Ok(Replaced::Asked(ask(app, caller, &account, &task).await?));
        }
    }
    app.accounts.set_password(caller, name, new, current, now, salt).await?;
    Ok(Replaced::Now)
}

/// Says that a member's account is in the member's own hands. It takes somebody else than who has given
/// its password.
pub async fn confirm(app: &App, caller: &Caller, name: &str) -> Result<Account> {
    app.accounts.confirm(caller, name, app.outside.now()).await
}

/// The same password asked for twice is one task, and waits for one approval.
fn salt_for(app: &App, name: &str) -> [u8; 16] {
    let mut key = app.keys.seal_key().to_bytes().to_vec();
    key.extend(name.as_bytes());
    let derived = blake3::derive_key("yizhan 2026 salt of a password that waits", &key);
    let mut salt = [0; 16];
    salt.copy_from_slice(&derived[..16]);
    salt
}

async fn ask(app: &App, caller: &Caller, account: &Account, task: &Task) -> Result<RecordId> {
    let about = (&account.point, account.name.as_str());
    approvals::order(app, caller, Operation::GrantProvincialAdmin, about, task).await
}

/// An account that somebody wants, as the task of an approval keeps it.
pub(super) struct Wanted {
    pub name: String,
    pub role: String,
    pub point: String,
    pub member: Option<String>,
    pub hash: String,
}

/// Adds what two persons want, if whoever asked may still want it. The approval's id becomes the
/// account's, so that doing it twice is doing it once.
pub(super) async fn add_agreed(
    app: &App,
    asker: &Caller,
    (deed, approval): (Deed, RecordId),
    wanted: Wanted,
) -> Result<()> {
    let point: PointCode = wanted.point.parse()?;
    let member = wanted.member.map(|id| RecordId::parse(&id, "member")).transpose()?;
    let new = NewAccount {
        name: wanted.name,
        password: String::new(),
        role: Role::of_account(&wanted.role, "role")?,
        point: Some(point),
        member,
    };
    holders::check(app, asker, &new).await?;
    let now = app.outside.now();
    let (account, _) = app.accounts.check_new(asker, &new, AccountId(approval.0), now)?;
    app.accounts.add(account, wanted.hash, deed, now).await?;
    Ok(())
}

pub(super) async fn disable_agreed(
    app: &App,
    asker: &Caller,
    deed: Deed,
    name: &str,
) -> Result<()> {
    let now = app.outside.now();
    let (account, _) = app.accounts.administered(asker, name, now).await?;
    app.accounts.close(account, deed, now).await?;
    Ok(())
}

pub(super) async fn set_password_agreed(
    app: &App,
    asker: &Caller,
    deed: Deed,
    name: &str,
    hash: String,
) -> Result<()> {
    let now = app.outside.now();
    let (account, _) = app.accounts.administered(asker, name, now).await?;
    if account.disabled.is_some() {
        return Err(Error::Precondition {
            reason: "USER_DISABLED",
            message: "the account is disabled for good · 此账号已永久停用".to_owned(),
        });
    }
    let by = Some(accounts::giver(asker));
    app.accounts.put_password(account, (hash, by), deed, now).await
}
