//! Telling people: what goes into the outbox, and where somebody wants to be told.
//!
//! Whoever has news derives it from what is stored and puts it here; a job delivers. The outbox keeps
//! one notice per person, fact and channel.

use crate::{
    app::error::{Error, Result},
    domain::{
        contact::Email,
        language::Language,
        notice::{self, Channel, Fact, Quiet},
        text::Invalid,
        time::Time,
    },
    identity::{caller::Caller, keys::CaseKey},
    notify::{Ways, target},
    outside::Outside,
    store::{
        StoreError,
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
    pub email: Email,
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

impl Notices {
    /// Tells somebody by mail, inside the caller's transaction. `person` names them on this node.
    pub async fn tell(
        &self,
        db: &mut Connection,
        person: &str,
        reader: &Reader,
        news: &News<'_>,
    ) -> Result<bool, StoreError> {
        if !self.ways.is_open(Channel::Email) {
            return Ok(false);
        }
        let now = self.outside.now();
        let id = name(person, news, Channel::Email);
        let due = reader.quiet.as_ref().and_then(|quiet| quiet.until(now)).unwrap_or(now);
        let waiting = Waiting {
            channel: Channel::Email.number().into(),
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

    /// Sets where the caller wants to be told; none: nowhere any more.
    pub async fn set_reader(&self, caller: &Caller, reader: Option<Reader>) -> Result<()> {
        let Caller::Account { name, .. } = caller else { return Err(Error::Unauthenticated) };
        let mut db = self.db.local().await?;
        match reader {
            None => notices::delete_address(&mut db, name).await?,
            Some(reader) => {
                let address = self.stored(name.as_bytes(), &reader);
                notices::put_address(&mut db, name, &address).await?;
            }
        }
        Ok(())
    }

    /// Opens a stored address; none if it cannot be read any more.
    pub fn reader(&self, place: &[u8], stored: &Address) -> Option<Reader> {
        let email = target::open(&self.case_key, place, &stored.target)?;
        let quiet = match stored.zone.as_str() {
            "" => None,
            zone => {
                let minutes = |minutes: i64| u16::try_from(minutes).unwrap_or(u16::MAX);
                let (from, to) = (minutes(stored.quiet_from), minutes(stored.quiet_to));
                Quiet::new(zone, from, to, "quiet").ok()
            }
        };
        Some(Reader {
            email: Email::parse(&email, "email").ok()?,
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
            target: target::seal(&self.case_key, place, reader.email.as_str(), nonce),
            language: reader.language.to_string(),
            zone,
            quiet_from: from.into(),
            quiet_to: to.into(),
        }
    }
}

/// The language and quiet hours of whoever gave them as text; empty hours: none.
pub fn reader(email: &str, language: &str, quiet: &str, zone: &str) -> Result<Reader, Invalid> {
    Ok(Reader {
        email: Email::parse(email, "email")?,
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
