//! Signing in and out, and the accounts of a point.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use futures::future::BoxFuture;

use super::{
    error::{Error, Result},
    passwords::{Failures, Passwords},
};
use crate::{
    domain::{
        account::{
            self, Account, AccountId, OwnWord, PASSWORD_MAX, SESSION_IDLE_MS, SESSION_MS,
            SessionToken, USER_NAME_MAX,
        },
        audit::{Act, Deed},
        id::{PointCode, RecordId},
        kind::Kind,
        policy::{Operation, Reach, Role},
        text::Invalid,
        time::Time,
    },
    identity::caller::Caller,
    store::{self, database::Database, parcels},
};

/// A session's last use is written down at most this often: reading must not cost a write.
const TOUCH_MS: i64 = 60 * 1_000;

/// What the use cases of this file work with.
#[derive(Clone)]
pub struct Accounts {
    pub(super) db: Database,
    pub(super) passwords: Passwords,
    pub(super) failures: Arc<Failures>,
    salts: Arc<Salts>,
}

/// Makes seeds of the salts of audit lines, none of which can be guessed.
struct Salts {
    key: [u8; 32],
    made: AtomicU64,
}

impl Salts {
    fn next(&self) -> [u8; 32] {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        *blake3::keyed_hash(&self.key, &number.to_be_bytes()).as_bytes()
    }
}

/// A session as its owner sees it, right after signing in.
pub struct SignedIn {
    pub token: SessionToken,
    pub account: Account,
    pub expires: Time,
}

/// What somebody wants a new account to be.
pub struct NewAccount {
    pub name: String,
    pub password: String,
    pub role: Role,
    /// None: the caller's own point.
    pub point: Option<PointCode>,
    /// Whose account it is; members only.
    pub member: Option<RecordId>,
}

impl Accounts {
    /// `random` is anything unpredictable.
    pub fn new(db: Database, random: [u8; 32]) -> Accounts {
        let key = blake3::derive_key("yizhan 2026 salts of lines about accounts", &random);
        let salts = Arc::new(Salts { key, made: AtomicU64::new(0) });
        Accounts { db, passwords: Passwords::new(random), failures: Arc::default(), salts }
    }

    /// Opens a session. A wrong name, a wrong password and a disabled account look alike, also by
    /// the time it takes. `random` becomes the token.
    pub async fn sign_in(
        &self,
        name: &str,
        password: &str,
        code: &str,
        now: Time,
        random: [u8; 32],
    ) -> Result<SignedIn> {
        if name.chars().count() > USER_NAME_MAX || password.len() > PASSWORD_MAX {
            return Err(Error::SignInFailed);
        }
        let name = name.to_lowercase();
        self.failures.begin(&name, now)?;

        let found = store::accounts::find(&mut *self.db.reader().await?, &name).await?;
        let stored = found.as_ref().map(|(_, hash)| hash.as_str());
        let matches = self.passwords.verify(password, stored).await?;
        let account = match found {
            Some((account, _)) if matches && account.disabled.is_none() => account,
            _ => return Err(Error::SignInFailed),
        };
        if account.otp && !self.takes_code(account.id, code, now).await? {
            // The password was right: who has it is told what is missing.
            return Err(Error::CodeNeeded);
        }
        self.failures.forgive(&name);

        let token = SessionToken::from_random(random);
        let expires = Time::from_millis(now.millis() + SESSION_MS);
        let db = &mut *self.db.local().await?;
        store::accounts::delete_ended_sessions(db, now, idle_since(now)).await?;
        store::accounts::insert_session(db, &token.hash(), account.id, now, expires).await?;
        Ok(SignedIn { token, account, expires })
    }

    /// Ends a session; one that is not there is no error.
    pub async fn sign_out(&self, token: &str) -> Result<()> {
        if let Some(token) = SessionToken::parse(token) {
            let db = &mut *self.db.local().await?;
            store::accounts::delete_session(db, &token.hash()).await?;
        }
        Ok(())
    }

    /// The caller that a session token stands for. A token that stands for nobody is an error: a
    /// client whose session has ended must learn that, and not be served as anonymous.
    pub async fn caller(&self, token: &str, now: Time) -> Result<Caller> {
        let hash = SessionToken::parse(token).ok_or(Error::Unauthenticated)?.hash();
        let found = {
            let db = &mut *self.db.reader().await?;
            store::accounts::find_session(db, &hash, now, idle_since(now)).await?
        };
        let session = found.ok_or(Error::Unauthenticated)?;
        if now.millis() - session.used.millis() >= TOUCH_MS {
            store::accounts::touch_session(&mut *self.db.local().await?, &hash, now).await?;
        }
        self.caller_of(session.account, session.expires, now).await
    }

    /// What an account is as a caller, with the roles in force now.
    async fn caller_of(&self, account: Account, expires: Time, now: Time) -> Result<Caller> {
        let own_word = account.own_word();
        let Account { id, name, role, point, member, .. } = account;
        let mut also = store::accounts::grants(&mut *self.db.reader().await?, id).await?;
        also.retain(|grant| grant.holds_at(now));
        let purpose = None;
        Ok(Caller::Account {
            account: id,
            name,
            role,
            point,
            also,
            member,
            own_word,
            purpose,
            expires,
        })
    }

    /// Adds an account. `random` becomes its id and the salt of its password.
    pub async fn create(
        &self,
        caller: &Caller,
        new: NewAccount,
        now: Time,
        random: [u8; 32],
    ) -> Result<Account> {
        account::new_password(&new.password, "password")?;
        let (id, salt) = random.split_at(16);
        let id = AccountId(id.try_into().expect("BUG: 16 of 32 bytes"));
        let salt = salt.try_into().expect("BUG: 16 of 32 bytes");
        let (account, hands) = self.check_new(caller, &new, id, now)?;
        hands.alone()?;
        let hash = self.passwords.hash(&new.password, salt).await?;
        self.add(account, hash, caller.deed(Operation::ManageAccounts), now).await
    }

    /// What a new account would be, if the caller may want it, and by how many. Its password is not
    /// looked at.
    pub(super) fn check_new(
        &self,
        caller: &Caller,
        new: &NewAccount,
        id: AccountId,
        now: Time,
    ) -> Result<(Account, Hands)> {
        let reach = caller.may(Operation::ManageAccounts)?;
        let name = account::user_name(&new.name, "name")?;
        let own = caller.point().ok_or(Error::Denied)?;
        let point = new.point.clone().unwrap_or_else(|| own.clone());
        within(caller, reach, &point)?;
        let hands = hands(caller, new.role)?;
        if new.member.is_some() && new.role != Role::Member {
            return Err(Invalid::new("member", "not_a_members_account").into());
        }
        let account = Account {
            id,
            name,
            role: new.role,
            point,
            created: now,
            disabled: None,
            member: new.member,
            otp: false,
            password_given: !giver(caller).is_empty(),
            password_by: giver(caller),
            confirmed_by: String::new(),
            grants: Vec::new(),
        };
        Ok((account, hands))
    }

    /// Adds an account. Whoever calls has authorised it. Done twice with one id, it is done once.
    pub(super) async fn add(
        &self,
        account: Account,
        hash: String,
        deed: Deed,
        now: Time,
    ) -> Result<Account> {
        let act = about(&deed, &account, "account_added");
        let new = account.clone();
        let added = self.write(act, now, move |db| {
            Box::pin(async move {
                if let Some((known, _)) = store::accounts::find(db, &new.name).await?
                    && known.id == new.id
                {
                    return Ok(Added::Yes);
                }
                if let Some(member) = new.member
                    && store::accounts::has_account(db, member).await?
                {
                    return Ok(Added::MemberHasOne);
                }
                Ok(match store::accounts::insert(db, &new, &hash).await? {
                    true => Added::Yes,
                    false => Added::NameTaken,
                })
            })
        });
        match added.await? {
            Added::Yes => Ok(account),
            Added::NameTaken => Err(Error::Exists { noun: "user" }),
            Added::MemberHasOne => Err(Error::Precondition {
                reason: "MEMBER_HAS_ACCOUNT",
                message: "the member has an account already: disable that one first".to_owned(),
            }),
        }
    }

    /// Accounts by name, from just after `after` (empty: from the first).
    pub async fn list(&self, caller: &Caller, after: &str, limit: u32) -> Result<Vec<Account>> {
        let point = match caller.may(Operation::ReadAccounts)? {
            Reach::Everything => None,
            _ => Some(caller.point().ok_or(Error::Denied)?.as_str()),
        };
        let db = &mut *self.db.reader().await?;
        let mut accounts = store::accounts::list(db, point, after, limit).await?;
        for account in &mut accounts {
            account.grants = store::accounts::grants(db, account.id).await?;
        }
        Ok(accounts)
    }

    /// Whoever the audit names so, as a caller with the roles in force now. None if the account is gone
    /// or disabled.
    pub(super) async fn find_actor(&self, actor: &str, now: Time) -> Result<Option<Caller>> {
        let Some(id) = actor.strip_prefix("member ") else {
            return self.find_caller(actor, now).await;
        };
        let id = hex::decode(id).ok().and_then(|id| id.try_into().ok()).map(AccountId);
        let Some(id) = id else { return Ok(None) };
        let found = store::accounts::find_by_id(&mut *self.db.reader().await?, id).await?;
        match found.filter(|account| account.disabled.is_none()) {
            Some(account) => Ok(Some(self.caller_of(account, now, now).await?)),
            None => Ok(None),
        }
    }

    /// Whoever has an account of this name, as a caller, for use cases that hand work to somebody.
    /// None if the account is disabled.
    pub(super) async fn find_caller(&self, name: &str, now: Time) -> Result<Option<Caller>> {
        let found = store::accounts::find(&mut *self.db.reader().await?, name).await?;
        match found.filter(|(account, _)| account.disabled.is_none()) {
            Some((account, _)) => Ok(Some(self.caller_of(account, now, now).await?)),
            None => Ok(None),
        }
    }

    /// The caller's own account; none for whoever has none.
    pub async fn known(&self, caller: &Caller) -> Result<Option<Account>> {
        let Caller::Account { name, .. } = caller else { return Ok(None) };
        let found = store::accounts::find(&mut *self.db.reader().await?, name).await?;
        Ok(found.map(|(account, _)| account))
    }

    /// Closes an account for good and ends its sessions.
    pub async fn disable(&self, caller: &Caller, name: &str, now: Time) -> Result<Account> {
        let (account, hands) = self.administered(caller, name, now).await?;
        hands.alone()?;
        self.close(account, caller.deed(Operation::ManageAccounts), now).await
    }

    /// The same for whoever has been authorised.
    pub(super) async fn close(
        &self,
        mut account: Account,
        deed: Deed,
        now: Time,
    ) -> Result<Account> {
        let id = account.id;
        let act = about(&deed, &account, "account_disabled");
        self.write(act, now, move |db| {
            Box::pin(async move {
                store::accounts::disable(db, id, now).await?;
                store::accounts::delete_sessions_of(db, id).await
            })
        })
        .await?;
        account.disabled = account.disabled.or(Some(now));
        Ok(account)
    }

    /// Replaces a password and ends the account's sessions. For the own account (`name` empty or
    /// the caller's) the current password is needed: an unattended screen is not enough. What an
    /// administrator sets is for once: its owner speaks for nobody until it is changed.
    pub async fn set_password(
        &self,
        caller: &Caller,
        name: &str,
        new: &str,
        current: &str,
        now: Time,
        salt: [u8; 16],
    ) -> Result<()> {
        caller.may(Operation::ChangePassword)?;
        account::new_password(new, "new_password")?;
        let (account, by) = match caller {
            Caller::Account { name: own, .. } if caller.is_named(name) => {
                (self.own(own, current, now).await?, None)
            }
            _ => {
                let (account, hands) = self.administered(caller, name, now).await?;
                hands.alone()?;
                (account, Some(giver(caller)))
            }
        };
        if account.password_given && new == current {
            return Err(Invalid::new("new_password", "same_password").into());
        }
        let hash = self.passwords.hash(new, salt).await?;
        let deed = caller.deed(Operation::ChangePassword);
        self.put_password(account, (hash, by), deed, now).await
    }

    /// Replaces a password; `by` is who has set it, if not its owner. Whoever calls has authorised it.
    pub(super) async fn put_password(
        &self,
        account: Account,
        (hash, by): (String, Option<String>),
        deed: Deed,
        now: Time,
    ) -> Result<()> {
        let what = if by.is_some() { "password_given" } else { "password_changed" };
        let (act, id) = (about(&deed, &account, what), account.id);
        self.write(act, now, move |db| {
            Box::pin(async move {
                match by {
                    Some(by) => store::accounts::give_password(db, id, &hash, &by).await?,
                    None => store::accounts::change_password(db, id, &hash).await?,
                }
                store::accounts::delete_sessions_of(db, id).await
            })
        })
        .await
    }

    /// Notes that somebody has made sure that an account is in its owner's hands. Whoever has given the
    /// password cannot say so: with it, that one could be there in the owner's place.
    pub(super) async fn confirm(&self, caller: &Caller, name: &str, now: Time) -> Result<Account> {
        let (mut account, _) = self.administered(caller, name, now).await?;
        if account.member.is_none() {
            return Err(Invalid::new("name", "not_a_members_account").into());
        }
        if account.own_word() == OwnWord::Own {
            return Ok(account);
        }
        if caller.is_named(&account.name) || giver(caller) == account.password_by {
            return Err(Error::Precondition {
                reason: "PASSWORD_GIVER",
                message:
                    "somebody else than who has set the password has to confirm the account · \
                          须由设置密码者以外的人确认此账号"
                        .to_owned(),
            });
        }
        if account.password_given {
            return Err(Error::Precondition {
                reason: "PASSWORD_NOT_OWN",
                message: "its owner has not changed the password yet · 本人尚未修改密码".to_owned(),
            });
        }
        let by = caller.author().actor;
        let deed = caller.deed(Operation::ManageAccounts);
        let (act, id) = (about(&deed, &account, "account_confirmed"), account.id);
        account.confirmed_by.clone_from(&by);
        self.write(act, now, move |db| {
            Box::pin(async move { store::accounts::confirm(db, id, &by).await })
        })
        .await?;
        Ok(account)
    }

    /// The caller's own account, after a look at the current password.
    pub(super) async fn own(&self, name: &str, current: &str, now: Time) -> Result<Account> {
        if current.len() > PASSWORD_MAX {
            return Err(Invalid::new("current_password", "wrong_password").into());
        }
        self.failures.begin(name, now)?;
        let found = store::accounts::find(&mut *self.db.reader().await?, name).await?;
        let (account, hash) = found.ok_or(Error::Unauthenticated)?;
        if !self.passwords.verify(current, Some(&hash)).await? {
            return Err(Invalid::new("current_password", "wrong_password").into());
        }
        self.failures.forgive(name);
        Ok(account)
    }

    /// An account that the caller administers, and by how many; one of another point is as if it were
    /// not there.
    pub(super) async fn administered(
        &self,
        caller: &Caller,
        name: &str,
        now: Time,
    ) -> Result<(Account, Hands)> {
        let reach = caller.may(Operation::ManageAccounts)?;
        let name = account::user_name(name, "name")?;
        let db = &mut *self.db.reader().await?;
        let found = store::accounts::find(db, &name).await?.map(|(account, _)| account);
        let found = found.filter(|account| within(caller, reach, &account.point).is_ok());
        let account = found.ok_or(Error::NotFound { noun: "user" })?;
        // Not even the password of somebody who has a role that the caller could not give.
        let mut needed = hands(caller, account.role)?;
        let grants = store::accounts::grants(db, account.id).await?;
        for grant in grants.iter().filter(|grant| grant.to.is_none_or(|to| now < to)) {
            needed = needed.max(hands(caller, grant.role)?);
            within(caller, reach, &grant.point)?;
        }
        Ok((account, needed))
    }

    /// One transaction in a task of its own, with its line in the audit.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        act: Act,
        now: Time,
        work: impl for<'a> FnOnce(Db<'a>) -> Work<'a, T> + Send + 'static,
    ) -> Result<T> {
        let (db, seed) = (self.db.clone(), self.salts.next());
        let writing = tokio::spawn(async move {
            let mut tx = db.begin().await?;
            let dialect = tx.dialect;
            let result = work(tx.connection()).await?;
            store::audit::append(tx.connection(), dialect, &[act], now, seed).await?;
            tx.commit().await?;
            Ok::<T, store::StoreError>(result)
        });
        Ok(writing.await.map_err(|_| Error::Busy)??)
    }
}

/// What became of a new account.
enum Added {
    Yes,
    NameTaken,
    MemberHasOne,
}

/// Who else knows the password that this caller sets for an account. Who operates the node could read
/// everything anyway.
pub(super) fn giver(caller: &Caller) -> String {
    match caller {
        Caller::Operator { .. } => String::new(),
        _ => caller.author().actor,
    }
}

/// What happened to an account. Whoever's it is reads it among the lines on the own record.
fn about(deed: &Deed, account: &Account, what: &str) -> Act {
    let what = said(what, account.id);
    match account.member {
        Some(member) => deed.act(Kind::MEMBER, member, what),
        None => deed.on_nothing(what),
    }
}

/// A connection in a transaction, and what is done with it.
pub(super) type Db<'a> = &'a mut parcels::Connection;
pub(super) type Work<'a, T> = BoxFuture<'a, store::Result<T>>;

/// What happened to which account.
pub(super) fn said(what: &str, id: AccountId) -> String {
    format!("{what} {}", hex::encode(id.0))
}

fn idle_since(now: Time) -> Time {
    Time::from_millis(now.millis() - SESSION_IDLE_MS)
}

/// Does the caller's reach include accounts of this point?
pub(super) fn within(caller: &Caller, reach: Reach, point: &PointCode) -> Result<()> {
    match reach {
        Reach::Everything => Ok(()),
        Reach::OwnPoint if caller.point() == Some(point) => Ok(()),
        _ => Err(Error::Denied),
    }
}

/// By how many something is done.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Hands {
    One,
    Two,
}

impl Hands {
    /// Refused where it takes a second person.
    fn alone(self) -> Result<()> {
        match self {
            Hands::One => Ok(()),
            Hands::Two => Err(Error::TwoPersons),
        }
    }
}

/// By how many an account of this role is made, closed and let in again.
fn hands(caller: &Caller, role: Role) -> Result<Hands> {
    let needed = match role {
        Role::ProvincialAdmin => Operation::GrantProvincialAdmin,
        _ => Operation::ManageAccounts,
    };
    match caller.reach(needed) {
        Reach::Nothing => Err(Error::Denied),
        _ if caller.persons(needed) > 1 => Ok(Hands::Two),
        _ => Ok(Hands::One),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::roles::RoleChange;

    const HOUR: i64 = 60 * 60 * 1_000;

    fn at(ms: i64) -> Time {
        Time::from_millis(ms)
    }

    fn operator() -> Caller {
        Caller::Operator { point: "CN-440100".parse().unwrap() }
    }

    fn admin_of(point: &str) -> Caller {
        Caller::Account {
            account: AccountId([9; 16]),
            name: "boss".into(),
            role: Role::PointAdmin,
            point: point.parse().unwrap(),
            also: Vec::new(),
            member: None,
            own_word: OwnWord::Own,
            purpose: None,
            expires: at(HOUR),
        }
    }

    fn new(name: &str, role: Role) -> NewAccount {
        NewAccount {
            name: name.into(),
            password: "long enough".into(),
            role,
            point: None,
            member: None,
        }
    }

    struct Scratch {
        accounts: Accounts,
        _dir: tempfile::TempDir,
    }

    impl std::ops::Deref for Scratch {
        type Target = Accounts;

        fn deref(&self) -> &Accounts {
            &self.accounts
        }
    }

    async fn accounts() -> Scratch {
        let dir = tempfile::tempdir().unwrap();
        let db = Database::open(&Database::address_in(dir.path())).await.unwrap();
        let accounts = Accounts::new(db, [1; 32]);
        accounts.create(&operator(), new("ann", Role::PointAdmin), at(0), [2; 32]).await.unwrap();
        Scratch { accounts, _dir: dir }
    }

    #[tokio::test]
    async fn a_session_lives_until_sign_out() {
        let accounts = accounts().await;
        let signed = accounts.sign_in("Ann", "long enough", "", at(0), [3; 32]).await.unwrap();
        let token = signed.token.reveal();
        let caller = accounts.caller(&token, at(1)).await.unwrap();
        assert_eq!(caller.role(), Role::PointAdmin);
        assert_eq!(caller.point().unwrap().as_str(), "CN-440100");

        accounts.sign_out(&token).await.unwrap();
        let gone = accounts.caller(&token, at(2)).await.unwrap_err();
        assert!(matches!(gone, Error::Unauthenticated));
        accounts.sign_out(&token).await.unwrap();
    }

    #[tokio::test]
    async fn wrong_name_wrong_password_and_disabled_look_alike() {
        let accounts = accounts().await;
        accounts.create(&operator(), new("bob", Role::Staff), at(0), [4; 32]).await.unwrap();
        accounts.disable(&operator(), "bob", at(1)).await.unwrap();
        for (name, password) in
            [("nobody", "long enough"), ("ann", "wrong"), ("bob", "long enough"), ("", "")]
        {
            let refused = accounts.sign_in(name, password, "", at(2), [5; 32]).await.map(|_| ());
            assert!(matches!(refused, Err(Error::SignInFailed)), "{name}");
        }
    }

    #[tokio::test]
    async fn a_session_ends_when_idle_and_after_twelve_hours_of_use() {
        let accounts = accounts().await;
        let signed = accounts.sign_in("ann", "long enough", "", at(0), [3; 32]).await.unwrap();
        let token = signed.token.reveal();
        let mut now = 0;
        while now + SESSION_IDLE_MS / 2 < SESSION_MS {
            now += SESSION_IDLE_MS / 2;
            accounts.caller(&token, at(now)).await.unwrap();
        }
        assert!(accounts.caller(&token, at(SESSION_MS)).await.is_err());

        let signed = accounts.sign_in("ann", "long enough", "", at(0), [6; 32]).await.unwrap();
        assert!(accounts.caller(&signed.token.reveal(), at(SESSION_IDLE_MS)).await.is_err());
    }

    #[tokio::test]
    async fn disabling_and_a_new_password_end_sessions_at_once() {
        let accounts = accounts().await;
        let first = accounts.sign_in("ann", "long enough", "", at(0), [3; 32]).await.unwrap();
        let salt = [7; 16];
        let operator = operator();
        let set = accounts.set_password(&operator, "ann", "another one", "", at(1), salt);
        set.await.unwrap();
        assert!(accounts.caller(&first.token.reveal(), at(2)).await.is_err());

        let second = accounts.sign_in("ann", "another one", "", at(3), [4; 32]).await.unwrap();
        accounts.disable(&operator, "ann", at(4)).await.unwrap();
        assert!(accounts.caller(&second.token.reveal(), at(5)).await.is_err());
    }

    #[tokio::test]
    async fn the_own_password_needs_the_current_one() {
        let accounts = accounts().await;
        let signed = accounts.sign_in("ann", "long enough", "", at(0), [3; 32]).await.unwrap();
        let caller = accounts.caller(&signed.token.reveal(), at(1)).await.unwrap();
        let salt = [7; 16];
        let refused = accounts.set_password(&caller, "", "another one", "wrong", at(1), salt).await;
        assert!(matches!(refused, Err(Error::Invalid(_))));
        accounts
            .set_password(&caller, "", "another one", "long enough", at(1), salt)
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn accounts_of_another_point_are_not_there() {
        let accounts = accounts().await;
        let stranger = admin_of("HK");
        let refused = accounts.disable(&stranger, "ann", at(1)).await;
        assert!(matches!(refused, Err(Error::NotFound { .. })));
        assert_eq!(accounts.list(&stranger, "", 10).await.unwrap(), []);
        assert_eq!(accounts.list(&admin_of("CN-440100"), "", 10).await.unwrap().len(), 1);
        assert_eq!(accounts.list(&operator(), "ann", 10).await.unwrap(), []);
    }

    #[tokio::test]
    async fn a_provincial_admin_is_appointed_and_changed_at_the_node_only() {
        let accounts = accounts().await;
        let admin = admin_of("CN-440100");
        let wanted = new("gov", Role::ProvincialAdmin);
        let refused = accounts.create(&admin, wanted, at(1), [8; 32]).await;
        assert!(matches!(refused, Err(Error::TwoPersons)));

        let wanted = new("gov", Role::ProvincialAdmin);
        accounts.create(&operator(), wanted, at(1), [8; 32]).await.unwrap();
        assert!(accounts.disable(&admin, "gov", at(2)).await.is_err());
    }

    #[tokio::test]
    async fn a_role_besides_the_first_guards_the_password_too() {
        let accounts = accounts().await;
        let (admin, operator) = (admin_of("CN-440100"), operator());
        for (n, (name, role, point, to)) in (10..).zip([
            ("gov", "provincial_admin", None, None),
            ("far", "staff", Some("HK"), None),
            ("was", "provincial_admin", None, Some(at(1).0)),
        ]) {
            let added = accounts.create(&operator, new(name, Role::Staff), at(0), [n; 32]);
            let mut account = added.await.unwrap();
            let change = RoleChange {
                role: role.into(),
                also: true,
                point: point.map(str::to_owned),
                to_us: to,
                ..RoleChange::default()
            };
            let deed = operator.deed(Operation::ManageAccounts);
            account = accounts.change_role(&account.name, &change, deed, at(0)).await.unwrap();
            assert_eq!(account.grants.len(), 1);
            let set = accounts.set_password(&admin, name, "another one", "", at(2), [7; 16]).await;
            assert_eq!(set.is_ok(), to.is_some(), "{name}");
            assert_eq!(accounts.disable(&admin, name, at(2)).await.is_ok(), to.is_some(), "{name}");
        }
    }

    #[tokio::test]
    async fn a_password_that_was_given_is_nobodys_own_word_and_the_operators_is() {
        let accounts = accounts().await;
        let (admin, salt) = (admin_of("CN-440100"), [7; 16]);
        let speaks = async |password: &str, n: u8| {
            let signed = accounts.sign_in("bob", password, "", at(1), [n; 32]).await.unwrap();
            accounts.caller(&signed.token.reveal(), at(1)).await.unwrap()
        };
        accounts.create(&admin, new("bob", Role::Staff), at(0), [8; 32]).await.unwrap();
        let given = speaks("long enough", 1).await;
        assert_eq!(given.own_word(), OwnWord::Given);
        let set = |new, current| accounts.set_password(&given, "", new, current, at(1), salt);
        assert!(matches!(set("long enough", "long enough").await, Err(Error::Invalid(_))));
        set("quite another", "long enough").await.unwrap();
        assert_eq!(speaks("quite another", 2).await.own_word(), OwnWord::Unconfirmed);
        accounts.set_password(&admin, "bob", "given again", "", at(1), salt).await.unwrap();
        assert_eq!(speaks("given again", 3).await.own_word(), OwnWord::Given);
        accounts.set_password(&operator(), "bob", "at the node", "", at(1), salt).await.unwrap();
        assert_eq!(speaks("at the node", 4).await.own_word(), OwnWord::Own);
    }

    #[tokio::test]
    async fn a_name_is_given_once() {
        let accounts = accounts().await;
        let again = accounts.create(&operator(), new("ANN", Role::Staff), at(1), [8; 32]).await;
        assert!(matches!(again, Err(Error::Exists { .. })));
        let by_staff = accounts.create(&Caller::Anonymous, new("x", Role::Staff), at(1), [8; 32]);
        assert!(matches!(by_staff.await, Err(Error::Unauthenticated)));
    }
}
