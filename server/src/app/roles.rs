//! Giving and taking roles: alone where the policy lets one person, else with a second one.

use serde::{Deserialize, Serialize};

use super::{
    App,
    accounts::{Accounts, said, within},
    approvals::{self, Task},
    error::{Error, Result},
};
use crate::{
    domain::{
        account::{self, Account, CATEGORIES_MAX, GRANTS_MAX, RoleGrant},
        audit::Deed,
        code::codes,
        help_category::HelpCategory,
        id::{PointCode, RecordId},
        policy::{Operation, Reach, Role},
        text::Invalid,
        time::Time,
    },
    identity::caller::Caller,
    store,
};

/// What somebody wants to be done to an account's roles.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RoleChange {
    pub role: String,
    /// Besides the first one, which stays.
    pub also: bool,
    /// Takes such a one away.
    pub ended: bool,
    /// None: the account's own.
    pub point: Option<String>,
    pub categories: Vec<String>,
    pub from_us: Option<i64>,
    /// Before.
    pub to_us: Option<i64>,
}

/// What became of a change of roles.
pub enum Changed {
    Now(Account),
    /// This approval is needed first.
    Asked(RecordId),
}

pub async fn set_role(
    app: &App,
    caller: &Caller,
    name: &str,
    change: RoleChange,
) -> Result<Changed> {
    let (account, point) = app.accounts.check_role(caller, name, &change).await?;
    if needed(&account, &change) == Operation::GrantProvincialAdmin
        && caller.persons(Operation::GrantProvincialAdmin) > 1
    {
        let task = Task::SetRole { name: account.name.clone(), change };
        let about = (&point, account.name.as_str());
        let operation = Operation::GrantProvincialAdmin;
        return Ok(Changed::Asked(approvals::order(app, caller, operation, about, &task).await?));
    }
    let deed = caller.deed(Operation::ManageAccounts);
    let now = app.outside.now();
    Ok(Changed::Now(app.accounts.change_role(&account.name, &change, deed, now).await?))
}

/// A provincial admin is made, and unmade, by more than any other.
fn needed(account: &Account, change: &RoleChange) -> Operation {
    let provincial = Role::ProvincialAdmin;
    match account.role == provincial || change.role == provincial.name() {
        true => Operation::GrantProvincialAdmin,
        false => Operation::ManageAccounts,
    }
}

impl Accounts {
    /// The account and the point that a change is about, if the caller may want it.
    pub async fn check_role(
        &self,
        caller: &Caller,
        name: &str,
        change: &RoleChange,
    ) -> Result<(Account, PointCode)> {
        caller.may(Operation::GrantProvincialAdmin)?;
        Role::of_account(&change.role, "role")?;
        codes(change.categories.iter().map(String::as_str), "categories", CATEGORIES_MAX)?;
        for category in &change.categories {
            HelpCategory::parse(category, "categories")?;
        }
        if change.from_us.zip(change.to_us).is_some_and(|(from, to)| to <= from) {
            return Err(Invalid::new("to_time", "end_before_start").into());
        }
        let name = account::user_name(name, "name")?;
        let found = store::accounts::find(&mut *self.db.reader().await?, &name).await?;
        let not_found = Error::NotFound { noun: "user" };
        let Some((account, _)) = found else { return Err(not_found) };
        let reach = match caller.reach(needed(&account, change)) {
            // Accounts that are not the caller's to manage are not there.
            Reach::Nothing => return Err(not_found),
            reach => reach,
        };
        within(caller, reach, &account.point).map_err(|_| not_found)?;
        if account.disabled.is_some() {
            return Err(Error::Precondition {
                reason: "USER_DISABLED",
                message: "the account is disabled for good · 此账号已永久停用".to_owned(),
            });
        }
        let point = match &change.point {
            Some(point) => point.parse()?,
            None => account.point.clone(),
        };
        within(caller, reach, &point)?;
        Ok((account, point))
    }

    /// Changes an account's roles and ends its sessions. Whoever calls has authorised it.
    pub async fn change_role(
        &self,
        name: &str,
        change: &RoleChange,
        deed: Deed,
        now: Time,
    ) -> Result<Account> {
        let found = store::accounts::find(&mut *self.db.reader().await?, name).await?;
        let (mut account, _) = found.ok_or(Error::NotFound { noun: "user" })?;
        let role = Role::of_account(&change.role, "role")?;
        let id = account.id;
        let grants = store::accounts::grants(&mut *self.db.reader().await?, id).await?;
        if change.also && grants.len() >= GRANTS_MAX {
            return Err(Invalid::new("role", "too_many").into());
        }
        let point = match &change.point {
            Some(point) => point.parse()?,
            None => account.point.clone(),
        };
        let grant = RoleGrant {
            role,
            point,
            categories: change.categories.clone(),
            from: change.from_us.map_or(now, Time),
            to: change.to_us.map(Time),
            granted_by: deed.author.actor.clone(),
        };
        let what = match (change.also, change.ended) {
            (_, true) => "role_ended",
            (true, _) => "role_added",
            _ => "role_set",
        };
        let act = deed.on_nothing(said(&format!("{what}={}", role.name()), id));
        let (also, ended) = (change.also, change.ended);
        self.write(act, now, move |db| {
            Box::pin(async move {
                match (also, ended) {
                    (_, true) => {
                        store::accounts::delete_grant(db, id, role, &grant.point).await?;
                    }
                    (true, _) => store::accounts::put_grant(db, id, &grant).await?,
                    _ => store::accounts::update_role(db, id, role).await?,
                }
                store::accounts::delete_sessions_of(db, id).await
            })
        })
        .await?;
        if !also && !ended {
            account.role = role;
        }
        account.grants = store::accounts::grants(&mut *self.db.reader().await?, id).await?;
        Ok(account)
    }
}
