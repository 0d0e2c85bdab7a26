//! Whose an account is. A member's is tied to one record, and to it alone: the member is at home where
//! the account is, and has no other.

use super::{
    App,
    accounts::{NewAccount, within},
    error::{Error, Result},
    records,
};
use crate::{
    domain::{
        account::OwnWord,
        audience::Audience,
        id::{PointCode, RecordId},
        kind::Kind,
        policy::Operation,
    },
    identity::caller::Caller,
};

/// Is a new account's person at home where the account is to be? Another home's member is to its
/// administrator like one who is not there.
pub async fn check(app: &App, caller: &Caller, new: &NewAccount) -> Result<()> {
    let Some(member) = new.member else { return Ok(()) };
    let reach = caller.may(Operation::ManageAccounts)?;
    let own = caller.point().ok_or(Error::Denied)?;
    let point = new.point.as_ref().unwrap_or(own);
    within(caller, reach, point)?;
    if is_at_home(app, point, member).await? {
        return Ok(());
    }
    app.audit.refused(caller, Operation::ManageAccounts, Some(member), "not_found").await?;
    Err(Error::NotFound { noun: "member" })
}

async fn is_at_home(app: &App, point: &PointCode, member: RecordId) -> Result<bool> {
    let found = records::find(app, member).await?;
    let mut found = found.iter().filter(|found| found.feed.home == *point);
    Ok(found.any(|found| found.is(Kind::MEMBER, Audience::Home)))
}

/// What a person alone may do, the person has to do: not somebody who has given the password away, nor
/// who may have changed it in the person's place.
pub fn own_word(caller: &Caller) -> Result<()> {
    let (reason, message) = match caller.own_word() {
        OwnWord::Own => return Ok(()),
        OwnWord::Given => (
            "PASSWORD_NOT_OWN",
            "an administrator has set this password: change it first (yizhan user passwd) · \
             此密码由管理员设置，请先自行修改密码",
        ),
        OwnWord::Unconfirmed => (
            "ACCOUNT_NOT_CONFIRMED",
            "somebody else than who has set the first password has to confirm that this account is \
             yours (yizhan user confirm) · 须由设置初始密码者以外的管理员确认此账号归您本人使用",
        ),
    };
    Err(Error::Precondition { reason, message: message.to_owned() })
}
