//! Keys of sealed content. A request's keys lie under the intake key of its hour; that lies under the
//! case keys of the handling point and its deputy, and is nowhere on a disk by itself.
//!
//! Asymmetric work is done once an hour and point, not per request.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
};

use hpke::{
    Deserializable, OpModeR, OpModeS, Serializable, aead::ChaCha20Poly1305, kdf::HkdfSha256,
};
use prost::Message;
use rand::{SeedableRng, rngs::StdRng};
use yizhan_client::sealed::{self, Key};
use yizhan_proto::v1;
use zeroize::Zeroizing;

use crate::{
    app::{
        App,
        error::{Error, Result},
    },
    domain::{
        audience::{Audience, FeedId},
        deputy::deputy_of,
        help_request::HelpRequest,
        id::{PointCode, RecordId},
        kind::Kind,
        roster::Roster,
        time::Time,
    },
    feed::change::Change,
    identity::keys::{CaseKem, CaseKey},
    store::{StoreError, help_requests, records},
};

/// What sealed bytes are for; each is bound to the id in brackets.
/// A request's content (the request).
pub const CONTENT: &str = "content";
/// A message that the client reads (the message).
pub const MESSAGE: &str = "message";
/// An internal note (the message).
pub const NOTE: &str = "note";
/// Where a request was sent instead (the request).
pub const REDIRECT: &str = "redirect";
/// Where the client is told of news (the request).
pub const NOTICES: &str = "notices";
/// Content key and note key (the request).
const KEYS: &str = "keys";
/// Why a request stays closed here.
const KEY_LOST: &str = "KEY_LOST";

const HPKE_INFO: &[u8] = b"yizhan help key v1\0";
/// So long is one intake key used.
const HOUR_US: i64 = 60 * 60 * 1_000_000;
/// Intake keys that are kept open in memory.
const OPENED_MAX: usize = 256;

/// The keys of one request.
pub struct RequestKeys {
    /// Shared with the client.
    pub content: Key,
    /// The handlers' alone.
    pub note: Key,
}

/// The key of an hour, and the record in which it lies wrapped.
pub struct IntakeKey {
    pub id: RecordId,
    pub record: v1::HelpKey,
    key: Key,
    hour: i64,
    deputy: Option<PointCode>,
    /// The case key that it is wrapped for: the owner may get another one within the hour.
    owners: [u8; 32],
    /// Its record is in the owner's feed, or goes to the owner with each request.
    is_kept: bool,
}

pub struct IntakeKeys {
    case_key: CaseKey,
    current: Mutex<BTreeMap<PointCode, Arc<IntakeKey>>>,
    making: tokio::sync::Mutex<()>,
    opened: Mutex<VecDeque<(RecordId, Arc<Key>)>>,
}

impl IntakeKeys {
    pub fn new(case_key: CaseKey) -> IntakeKeys {
        IntakeKeys {
            case_key,
            current: Mutex::default(),
            making: tokio::sync::Mutex::default(),
            opened: Mutex::default(),
        }
    }

    /// This hour's key for requests that `owner` handles. Where the owner's feed is written here, the
    /// key's record is durable before anything is sealed under it; while it cannot be written, whoever
    /// takes the key keeps the record with what is sealed.
    pub async fn current(&self, app: &App, owner: &PointCode) -> Result<Arc<IntakeKey>> {
        let roster = app.keys.roster();
        let hour = app.outside.now().0.div_euclid(HOUR_US);
        let deputy = deputy_of(&roster, owner);
        let is_home = app.keys.is_home(owner);
        let writes = is_home && app.writer.recovery().is_over();
        let owners = self.case_key_of(app, &roster, owner)?;
        let is_wrapped = |key: &Arc<IntakeKey>| key.owners == owners && (key.is_kept || !writes);
        let find = || self.find(owner, hour, deputy.as_ref()).filter(is_wrapped);
        if let Some(key) = find() {
            return Ok(key);
        }
        let _one_at_a_time = self.making.lock().await;
        if let Some(key) = find() {
            return Ok(key);
        }
        let mut made = self.make(app, &roster, owner, deputy.clone(), hour)?;
        made.is_kept = writes || !is_home;
        let made = Arc::new(made);
        if writes {
            let feed = FeedId::new(owner.clone(), Audience::Sealed);
            let payload = made.record.encode_to_vec();
            app.writer.commit(Change::new().put(feed, Kind::HELP_KEY, made.id, payload)).await?;
        }
        lock(&self.current).insert(owner.clone(), made.clone());
        Ok(made)
    }

    /// Is there a key to seal a point's requests to?
    pub fn can_seal_to(&self, app: &App, owner: &PointCode) -> bool {
        app.keys.is_home(owner) || app.keys.roster().case_key(owner).is_some()
    }

    fn find(
        &self,
        owner: &PointCode,
        hour: i64,
        deputy: Option<&PointCode>,
    ) -> Option<Arc<IntakeKey>> {
        let current = lock(&self.current);
        let key = current.get(owner)?;
        (key.hour == hour && key.deputy.as_ref() == deputy).then(|| key.clone())
    }

    /// The key that opens what is sealed to a point.
    fn case_key_of(&self, app: &App, roster: &Roster, point: &PointCode) -> Result<[u8; 32]> {
        // A point that has just been founded is in no roster yet, and is us.
        let own = || app.keys.is_home(point).then(|| self.case_key.public());
        roster.case_key(point).copied().or_else(own).ok_or_else(|| no_key(point))
    }

    fn make(
        &self,
        app: &App,
        roster: &Roster,
        owner: &PointCode,
        deputy: Option<PointCode>,
        hour: i64,
    ) -> Result<IntakeKey> {
        let id = app.outside.record_id();
        let mut key = Key::default();
        *key = app.outside.random();
        let mut wraps = Vec::new();
        for point in std::iter::once(owner).chain(&deputy) {
            let public = self.case_key_of(app, roster, point)?;
            wraps.push(wrap(&key, id, point, &public, app.outside.random())?);
        }
        let owners = self.case_key_of(app, roster, owner)?;
        let record = v1::HelpKey { wraps };
        Ok(IntakeKey { id, record, key, hour, deputy, owners, is_kept: false })
    }

    /// The keys of a request of one of our homes.
    pub async fn open(
        &self,
        app: &App,
        found: &FeedId,
        id: RecordId,
        request: &HelpRequest,
    ) -> Result<RequestKeys> {
        let Some(key_id) = request.intake_key else {
            return Err(Error::Precondition {
                reason: "NO_SEALED_CONTENT",
                message: "the request has no sealed content".into(),
            });
        };
        let key = match self.find_opened(key_id) {
            Some(key) => key,
            None => {
                let record = key_record(app, found, key_id).await?;
                let key = Arc::new(self.unwrap(&record, key_id).ok_or_else(lost)?);
                let mut opened = lock(&self.opened);
                opened.push_back((key_id, key.clone()));
                if opened.len() > OPENED_MAX {
                    opened.pop_front();
                }
                key
            }
        };
        keys_of(&key, id, &request.wrap).ok_or_else(lost)
    }

    /// The points whose case keys open a request.
    pub async fn readers(
        &self,
        app: &App,
        feed: &FeedId,
        request: &HelpRequest,
    ) -> Result<Vec<String>> {
        let Some(id) = request.intake_key else { return Ok(Vec::new()) };
        let record = key_record(app, feed, id).await?;
        Ok(record.wraps.into_iter().map(|wrap| wrap.point).collect())
    }

    /// Is it used for what comes in now?
    pub fn is_current(&self, id: RecordId, now: Time) -> bool {
        let hour = now.0.div_euclid(HOUR_US);
        lock(&self.current).values().any(|key| key.id == id && key.hour == hour)
    }

    /// Drops a key from memory: its record is going to be removed.
    pub fn forget(&self, id: RecordId) {
        lock(&self.opened).retain(|(known, _)| *known != id);
    }

    fn find_opened(&self, id: RecordId) -> Option<Arc<Key>> {
        lock(&self.opened).iter().find(|(known, _)| *known == id).map(|(_, key)| key.clone())
    }

    /// The record of an intake key for another deputy than before; none if it is wrapped for this one,
    /// or does not open.
    pub fn rewrap(
        &self,
        app: &App,
        record: &v1::HelpKey,
        id: RecordId,
        (owner, deputy): (&PointCode, &PointCode),
    ) -> Result<Option<v1::HelpKey>> {
        if record.wraps.iter().any(|wrap| wrap.point == deputy.as_str()) {
            return Ok(None);
        }
        let Some(key) = self.unwrap(record, id) else { return Ok(None) };
        let roster = app.keys.roster();
        let public = roster.case_key(deputy).ok_or_else(|| no_key(deputy))?;
        let owners = record.wraps.iter().filter(|wrap| wrap.point == owner.as_str());
        let mut wraps: Vec<_> = owners.cloned().collect();
        wraps.push(wrap(&key, id, deputy, public, app.outside.random())?);
        Ok(Some(v1::HelpKey { wraps }))
    }

    /// An intake key of ours, wrapped for the key that the roster names for a point; none if it does not
    /// open here.
    pub fn wrap_for(
        &self,
        app: &App,
        record: &v1::HelpKey,
        id: RecordId,
        point: &PointCode,
    ) -> Result<Option<v1::help_key::Wrap>> {
        let Some(key) = self.unwrap(record, id) else { return Ok(None) };
        let roster = app.keys.roster();
        let public = roster.case_key(point).ok_or_else(|| no_key(point))?;
        Ok(Some(wrap(&key, id, point, public, app.outside.random())?))
    }

    /// Opens an intake key with our case key, if it is wrapped for it.
    pub fn unwrap(&self, record: &v1::HelpKey, id: RecordId) -> Option<Key> {
        record.wraps.iter().find_map(|wrap| {
            let encapsulated =
                <CaseKem as hpke::Kem>::EncappedKey::from_bytes(&wrap.encapsulated).ok()?;
            let plain = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, CaseKem>(
                &OpModeR::Base,
                &self.case_key.private(),
                &encapsulated,
                &info(id, &wrap.point),
                &wrap.ciphertext,
                &[],
            )
            .ok()?;
            let plain = Zeroizing::new(plain.to_vec());
            let mut key = Key::default();
            *key = plain[..].try_into().ok()?;
            Some(key)
        })
    }
}

impl IntakeKey {
    /// Seals a request's keys.
    pub fn wrap(&self, id: RecordId, keys: &RequestKeys) -> Vec<u8> {
        let mut both = Zeroizing::new(keys.content.to_vec());
        both.extend_from_slice(keys.note.as_ref());
        sealed::seal_exactly(&self.key, KEYS, &id.0, &both)
    }
}

fn keys_of(key: &Key, id: RecordId, wrap: &[u8]) -> Option<RequestKeys> {
    let both = sealed::open_exactly(key, KEYS, &id.0, wrap)?;
    let mut keys = RequestKeys { content: Key::default(), note: Key::default() };
    *keys.content = both.get(..32)?.try_into().ok()?;
    *keys.note = both.get(32..64)?.try_into().ok()?;
    Some(keys)
}

async fn key_record(app: &App, feed: &FeedId, id: RecordId) -> Result<v1::HelpKey> {
    let readable = app.heads.readable_slots();
    let mut db = app.db.reader().await?;
    let stored = records::find(&mut db, id).await?;
    let row = stored
        .into_iter()
        .find(|stored| readable.get(&stored.slot) == Some(feed) && !stored.row.removed)
        .map(|stored| stored.row.payload.to_vec());
    let payload = match row {
        Some(payload) => Some(payload),
        None => help_requests::find_copy(&mut db, feed.home.as_str(), id).await?,
    };
    let damaged = || Error::Storage(StoreError::Damaged { what: "intake key" });
    v1::HelpKey::decode(&payload.ok_or_else(damaged)?[..]).map_err(|_| damaged())
}

fn wrap(
    key: &Key,
    id: RecordId,
    point: &PointCode,
    public: &[u8; 32],
    seed: [u8; 32],
) -> Result<v1::help_key::Wrap> {
    let public =
        <CaseKem as hpke::Kem>::PublicKey::from_bytes(public).map_err(|_| no_key(point))?;
    let (encapsulated, ciphertext) =
        hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, CaseKem>(
            &OpModeS::Base,
            &public,
            &info(id, point.as_str()),
            key.as_ref(),
            &[],
            &mut StdRng::from_seed(seed),
        )
        .map_err(|_| no_key(point))?;
    Ok(v1::help_key::Wrap {
        point: point.to_string(),
        encapsulated: encapsulated.to_bytes().to_vec(),
        ciphertext: ciphertext.to_vec(),
    })
}

fn info(id: RecordId, point: &str) -> Vec<u8> {
    [HPKE_INFO, &id.0, point.as_bytes()].concat()
}

fn no_key(point: &PointCode) -> Error {
    Error::Precondition {
        reason: "NO_CASE_KEY",
        message: format!("the roster names no case key for {point}"),
    }
}

/// Does nothing that this node has open it? Asked again it will be the same.
pub fn is_lost(error: &Error) -> bool {
    matches!(error, Error::Precondition { reason: KEY_LOST, .. })
}

fn lost() -> Error {
    Error::Precondition {
        reason: KEY_LOST,
        message: "the point's case key does not open this request: ask its deputy point".into(),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
