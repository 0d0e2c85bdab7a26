//! One-time codes of accounts: turned on with a first code, taken once each, turned off.

use data_encoding::BASE32_NOPAD;

use super::{
    accounts::{Accounts, said},
    error::{Error, Result},
};
use crate::{
    domain::{
        account::AccountId,
        otp::{SECRET, step_of},
        policy::Operation,
        text::Invalid,
        time::Time,
    },
    identity::caller::Caller,
    store::accounts::{OneTime, one_time, put_one_time, take_step},
};

/// What became of it.
#[derive(Default)]
pub struct Codes {
    /// A new secret, for the authenticator; in Base32.
    pub secret: String,
    pub url: String,
    pub active: bool,
}

impl Accounts {
    /// Is this a code of the account, and taken for the first time?
    pub(super) async fn takes_code(&self, id: AccountId, code: &str, now: Time) -> Result<bool> {
        let known = one_time(&mut *self.db.reader().await?, id).await?;
        let secret = known.secret.unwrap_or_default();
        match step_of(&secret, code, now, known.step) {
            Some(step) => Ok(take_step(&mut *self.db.local().await?, id, step).await?),
            None => Ok(false),
        }
    }

    /// Turns the caller's codes on or off. Without a code there is a new secret that has no effect
    /// yet; `random` becomes it.
    pub async fn set_codes(
        &self,
        caller: &Caller,
        password: &str,
        (code, off): (&str, bool),
        now: Time,
        random: [u8; SECRET],
    ) -> Result<Codes> {
        caller.may(Operation::ChangePassword)?;
        let Caller::Account { name, .. } = caller else { return Err(Error::Denied) };
        let account = self.own(name, password, now).await?;
        let known = one_time(&mut *self.db.reader().await?, account.id).await?;
        let wrong = || Invalid::new("code", "wrong_code");
        if off {
            if known.secret.is_some() && !self.takes_code(account.id, code, now).await? {
                return Err(wrong().into());
            }
            self.put_codes(caller, account.id, OneTime::default(), "otp_off", now).await?;
            return Ok(Codes::default());
        }
        if code.is_empty() {
            let active = known.secret.is_some();
            let pending = OneTime { pending: Some(random.to_vec()), ..known };
            self.put_codes(caller, account.id, pending, "otp_offered", now).await?;
            let secret = BASE32_NOPAD.encode(&random);
            let url = format!("otpauth://totp/Yizhan:{name}?secret={secret}&issuer=Yizhan");
            return Ok(Codes { secret, url, active });
        }
        let pending = known.pending.ok_or_else(wrong)?;
        let step = step_of(&pending, code, now, None).ok_or_else(wrong)?;
        let on = OneTime { secret: Some(pending), pending: None, step: Some(step) };
        self.put_codes(caller, account.id, on, "otp_on", now).await?;
        Ok(Codes { active: true, ..Codes::default() })
    }

    async fn put_codes(
        &self,
        caller: &Caller,
        id: AccountId,
        known: OneTime,
        what: &str,
        now: Time,
    ) -> Result<()> {
        let act = caller.deed(Operation::ChangePassword).on_nothing(said(what, id));
        self.write(act, now, move |db| Box::pin(async move { put_one_time(db, id, known).await }))
            .await
    }
}
