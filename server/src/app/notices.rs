//! Telling people: what goes into the outbox, and where somebody wants to be told.
//!
//! Whoever has news derives it from what is stored and puts it here; a job delivers. The outbox keeps
//! one notice per person, fact and channel.

use std::sync::Arc;

use crate::{
    app::{
        App,
        error::{Error, Result},
    },
    domain::{
        contact::Email,
        language::Language,
        notice::{self, Channel, Fact, Quiet},
        policy::Operation,
        text::Invalid,
        time::Time,
    },
    identity::{caller::Caller, keys::CaseKey},
    notify::{
        Ways,
        target::{self, Target},
    },
    outside::Outside,
    store::{
        StoreError, audit,
        database::Database,
        notices::{self, Address, Connection, Waiting},
    },
};

/// Notices that wait at most. Beyond that, whoever derives them waits too.
pub const WAITING_MAX: i64 = 100_000;

/// The outbox and the ways out of it.
pub struct Notices {
    pub db: Database,
    pub ways: Ways,
    pub case_key: CaseKey,
    pub outside: Outside,
    /// Language of the point's own robot.
    pub language: Language,
}

/// Where somebody is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Reader {
    pub target: Target,
    pub language: Language,
    pub quiet: Option<Quiet>,
}

/// Something to tell.
#[derive(Clone, Debug)]
pub struct News<'a> {
    pub fact: Fact,
    /// Tells this news from other news of the same fact: the id of a message, a count.
    pub occasion: String,
    pub reference: &'a str,
    /// Label of the state, in the reader's language; may be empty.
    pub label: &'a str,
}

impl Reader {
    fn channel(&self) -> Channel {
        match self.target {
            Target::Email(_) => Channel::Email,
            Target::Webhook(_) => Channel::Webhook,
        }
    }
}

impl Notices {
    /// Is there anybody to be told of anything?
    pub async fn has_readers(&self) -> Result<bool, StoreError> {
        if self.ways.is_open(Channel::Email) || self.ways.is_open(Channel::Webhook) {
            return Ok(true);
        }
        notices::has_addresses(&mut *self.db.reader().await?).await
    }

    /// Is there room in the outbox?
    pub async fn has_room(&self) -> Result<bool, StoreError> {
        let (waiting, _) = notices::figures(&mut *self.db.reader().await?).await?;
        Ok(waiting < WAITING_MAX)
    }

    /// Tells somebody where they want to be told, inside the caller's transaction. `person` names them on this node.
    pub async fn tell(
        &self,
        db: &mut Connection,
        person: &str,
        reader: &Reader,
        news: &News<'_>,
    ) -> Result<bool, StoreError> {
        if !self.ways.reaches(&reader.target) {
            return Ok(false);
        }
        let now = self.outside.now();
        let id = name(person, news, reader.channel());
        let due = reader.quiet.as_ref().and_then(|quiet| quiet.until(now)).unwrap_or(now);
        let waiting = Waiting {
            channel: reader.channel().number().into(),
            fact: news.fact.number().into(),
            reference: news.reference.to_owned(),
            label: news.label.to_owned(),
            attempts: 0,
            address: self.stored(&id, reader),
            id: id.to_vec(),
        };
        notices::insert(db, &waiting, due, now).await
    }

    /// Tells the point's own robot, inside the caller's transaction.
    pub async fn tell_desk(
        &self,
        db: &mut Connection,
        point: &str,
        news: &News<'_>,
    ) -> Result<bool, StoreError> {
        if !self.ways.is_open(Channel::Webhook) {
            return Ok(false);
        }
        let now = self.outside.now();
        let waiting = Waiting {
            id: name(point, news, Channel::Webhook).to_vec(),
            channel: Channel::Webhook.number().into(),
            fact: news.fact.number().into(),
            reference: news.reference.to_owned(),
            label: news.label.to_owned(),
            attempts: 0,
            address: Address {
                target: Vec::new(),
                language: self.language.to_string(),
                zone: String::new(),
                quiet_from: 0,
                quiet_to: 0,
            },
        };
        notices::insert(db, &waiting, now, now).await
    }

    /// Where an account wants to be told; none: nowhere.
    pub async fn find_reader(&self, account: &str) -> Result<Option<Reader>, StoreError> {
        let mut db = self.db.reader().await?;
        let Some(stored) = notices::find_address(&mut db, account).await? else { return Ok(None) };
        Ok(self.reader(account.as_bytes(), &stored))
    }

    /// Sets where an account wants to be told, inside the caller's transaction; none: nowhere any
    /// more.
    async fn set_reader(
        &self,
        db: &mut Connection,
        account: &str,
        reader: Option<Reader>,
    ) -> Result<(), StoreError> {
        match reader {
            None => notices::delete_address(db, account).await,
            Some(reader) => {
                let address = self.stored(account.as_bytes(), &reader);
                notices::put_address(db, account, &address).await
            }
        }
    }

    /// Opens a stored address; none if it cannot be read any more.
    pub fn reader(&self, place: &[u8], stored: &Address) -> Option<Reader> {
        let target = target::open(&self.case_key, place, &stored.target)?;
        let quiet = match stored.zone.as_str() {
            "" => None,
            zone => {
                let minutes = |minutes: i64| u16::try_from(minutes).unwrap_or(u16::MAX);
                let (from, to) = (minutes(stored.quiet_from), minutes(stored.quiet_to));
                Quiet::new(zone, from, to, "quiet").ok()
            }
        };
        Some(Reader {
            target: Target::read(&target)?,
            language: Language::parse(&stored.language, "language").ok()?,
            quiet,
        })
    }

    fn stored(&self, place: &[u8], reader: &Reader) -> Address {
        let nonce = self.outside.random();
        let (zone, (from, to)) = match &reader.quiet {
            Some(quiet) => (quiet.zone().to_owned(), quiet.minutes()),
            None => (String::new(), (0, 0)),
        };
        Address {
            target: target::seal(&self.case_key, place, &reader.target.text(), nonce),
            language: reader.language.to_string(),
            zone,
            quiet_from: from.into(),
            quiet_to: to.into(),
        }
    }
}

/// Where the caller is told, and whether that way is set up here.
pub async fn settings(app: &App, caller: &Caller) -> Result<(Option<Reader>, bool)> {
    caller.may(Operation::ReceiveNotices)?;
    let Caller::Account { name, .. } = caller else { return Err(Error::Denied) };
    let reader = app.notices.find_reader(name).await?;
    let active = reader.as_ref().is_some_and(|reader| app.notices.ways.reaches(&reader.target));
    Ok((reader, active))
}

/// Sets where the caller is told; none: nowhere any more.
pub async fn set(
    app: &App,
    caller: &Caller,
    reader: Option<Reader>,
) -> Result<(Option<Reader>, bool)> {
    caller.may(Operation::ReceiveNotices)?;
    let Caller::Account { name, .. } = caller else { return Err(Error::Denied) };
    let (name, deed) = (name.clone(), caller.deed(Operation::ReceiveNotices));
    let (notices, outside): (Arc<Notices>, Outside) = (app.notices.clone(), app.outside.clone());
    let setting = tokio::spawn(async move {
        let mut tx = notices.db.begin().await?;
        let dialect = tx.dialect;
        let outcome = if reader.is_some() { "set" } else { "removed" };
        notices.set_reader(tx.connection(), &name, reader).await?;
        let acts = [deed.on_nothing(outcome)];
        let (now, salt) = (outside.now(), outside.random());
        audit::append(tx.connection(), dialect, &acts, now, salt).await?;
        tx.commit().await
    });
    setting.await.map_err(|_| Error::Busy)??;
    settings(app, caller).await
}

/// The language and quiet hours of whoever gave them as text; empty hours: none.
pub fn reader(email: &str, language: &str, quiet: &str, zone: &str) -> Result<Reader, Invalid> {
    Ok(Reader {
        target: Target::Email(Email::parse(email, "email")?),
        language: Language::parse(language, "language")?,
        quiet: match quiet {
            "" => None,
            hours => Some(Quiet::parse(hours, zone, "quiet")?),
        },
    })
}

fn name(person: &str, news: &News<'_>, channel: Channel) -> [u8; 32] {
    notice::id(person, &format!("{} {}", news.fact.name(), news.occasion), channel)
}

/// When what is over is forgotten: long after the last repetition could come.
pub fn forgotten_before(now: Time) -> Time {
    const KEPT_US: i64 = 400 * 24 * 60 * 60 * 1_000_000;
    Time(now.0 - KEPT_US)
}
