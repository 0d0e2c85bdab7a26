//! What `init` and `join` leave in a node's directory: keys, settings, what clients pin, and at the
//! founding node the first roster.

use std::{fs, io, path::Path, sync::Arc};

use ed25519_dalek::SigningKey;
use prost::Message;
use yizhan_proto::v1;

use crate::{
    config::{self, Address, DatabaseUrl},
    domain::{
        id::{PointCode, RecordId},
        kind::Kind,
        roster::{RosterNode, SealKey},
    },
    feed::{
        change::{Change, CommitError},
        continuity::MarkFile,
        heads::Heads,
        keyring::Keyring,
        writer::{self, Writer},
    },
    identity::{
        authority::{Authority, Subject},
        enrolment::newcomer,
        error::Error as IdentityError,
        join::{self, JoinError, PointKeys, node_of},
        keys::{BackupKey, KeyDirectory, TlsIdentity, TlsKey},
        spki::Fingerprint,
        tls::{Clock, enrolment_client},
        token::JoinToken,
    },
    listen::dial::{DialError, connect_for_enrolment, open_tcp},
    outside::Outside,
    store::{StoreError, database::Database},
};

/// What clients pin: the authority's certificate.
pub const CA_FILE: &str = "ca.pem";
pub const KEYS: &str = "keys";
/// The continuity marks, outside the database.
pub const MARKS: &str = "continuity";

#[derive(Debug, thiserror::Error)]
pub enum FoundError {
    #[error("{0} holds a node already")]
    Occupied(String),
    #[error("the directory cannot be written")]
    Directory(#[source] io::Error),
    #[error("keys or certificates failed")]
    Identity(#[from] IdentityError),
    #[error("storage failed")]
    Storage(#[from] StoreError),
    #[error("the roster cannot be written")]
    Roster(#[from] CommitError),
    #[error("the parent cannot be reached")]
    Dial(#[from] DialError),
    #[error("not let in")]
    Join(#[source] JoinError),
    #[error("the join token is not whole")]
    Token(#[source] IdentityError),
    #[error("network name must have 1 to 64 characters without control characters")]
    Name,
}

impl FoundError {
    /// Stable, for scripts: what the parent said, where it said something.
    pub fn reason(&self) -> &str {
        match self {
            FoundError::Occupied(_) => "OCCUPIED",
            FoundError::Directory(_) => "DIRECTORY",
            FoundError::Identity(_) => "IDENTITY",
            FoundError::Storage(_) => "STORAGE_FAILED",
            FoundError::Roster(_) => "ROSTER",
            FoundError::Dial(_) => "PARENT_UNREACHABLE",
            FoundError::Join(JoinError::Refused(status)) => match status.code() {
                tonic::Code::Unavailable => "PARENT_UNREACHABLE",
                _ => "JOIN_REFUSED",
            },
            FoundError::Join(JoinError::RosterTooOld { .. }) => "ROSTER_TOO_OLD",
            FoundError::Join(_) => "JOIN_FAILED",
            FoundError::Token(_) => "TOKEN_MALFORMED",
            FoundError::Name => "NETWORK_NAME",
        }
    }

    /// What to do.
    pub fn advice(&self) -> &'static str {
        match self {
            FoundError::Occupied(_) => "choose an empty directory",
            FoundError::Token(_) => "copy the whole token, from yz1 to the point code",
            FoundError::Join(JoinError::Refused(_)) => {
                "ask the parent's operator for a new token: `yizhand token --point CODE`"
            }
            FoundError::Dial(_) => "check --parent: it is the parent's link address",
            FoundError::Name => "choose another name",
            FoundError::Directory(_)
            | FoundError::Identity(_)
            | FoundError::Storage(_)
            | FoundError::Roster(_)
            | FoundError::Join(_) => "see the message above, and try again",
        }
    }
}

/// Where a new node listens and keeps its tables.
pub struct Place {
    pub listen_link: Address,
    pub listen_public: Address,
    pub database: DatabaseUrl,
}

/// Address of a node's database.
pub fn database_address(dir: &Path, database: &DatabaseUrl) -> String {
    match database {
        DatabaseUrl::Sqlite => Database::address_in(dir),
        DatabaseUrl::Postgres(url) => url.clone(),
    }
}

/// The id under which a point's entry lies in the roster.
pub fn roster_id(network: &str, point: &PointCode) -> RecordId {
    RecordId::of_source(network, Kind::ROSTER_POINT.0, point.as_str(), 0)
}

/// Host that the public certificate covers besides the loopback names; none where one listens on all
/// addresses or on loopback alone.
pub fn public_host(listen: &Address) -> Option<String> {
    let host = listen.host.as_str();
    let local = host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback() || ip.is_unspecified());
    (!local).then(|| host.to_owned())
}

fn prepare(dir: &Path) -> Result<KeyDirectory, FoundError> {
    fs::create_dir_all(dir).map_err(FoundError::Directory)?;
    if dir.join(config::FILE).exists() {
        return Err(FoundError::Occupied(dir.display().to_string()));
    }
    Ok(KeyDirectory::create(&dir.join(KEYS))?)
}

/// Founds a network: authority, issuer, roster, first point. The directory is a node's once its
/// settings are written, which is done last.
pub async fn found(
    dir: &Path,
    network: &str,
    point: &PointCode,
    place: Place,
    outside: &Outside,
) -> Result<Fingerprint, FoundError> {
    if network.is_empty() || network.len() > 64 || network.chars().any(char::is_control) {
        return Err(FoundError::Name);
    }
    let directory = prepare(dir)?;
    let now = outside.now();
    let authority = Authority::found(network, now)?;
    let roster_key = SigningKey::from_bytes(&outside.random());
    let issuer =
        authority.appoint(network, TlsKey::generate()?, &roster_key.verifying_key(), now)?;
    let tls = TlsKey::generate()?;
    let node = node_of(&tls);
    let host = public_host(&place.listen_public);
    let subject = Subject { point: point.clone(), node, public_host: host.clone() };
    let chain = issuer.issue(&subject, tls.spki(), now)?;
    let identity = TlsIdentity::new(tls, chain)?;
    let keys = PointKeys::generate();

    directory.save_authority(&authority)?;
    directory.save_issuer(&issuer)?;
    directory.save_roster_key(&roster_key)?;
    directory.save_seal(&keys.seal)?;
    directory.save_case(&keys.case)?;
    directory.save_backup(&BackupKey::generate())?;
    directory.save_tls(&identity)?;

    // The founding point has no parent; everything else about it is what its code says.
    let mut entry = newcomer(point, point);
    entry.parent = None;
    entry.case_key = Some(keys.case.public());
    let public = keys.seal.verifying_key().to_bytes();
    entry.seal_keys.push(SealKey { public, from_epoch: 1, limit: None });
    let spki_sha256 = identity.key.spki().fingerprint().0;
    entry.nodes.push(RosterNode { node, spki_sha256, public_host: host });

    let db = Database::open(&database_address(dir, &place.database)).await?;
    let keyring = Arc::new(Keyring::new(
        network.to_owned(),
        point.clone(),
        point.clone(),
        keys.seal,
        roster_key.verifying_key(),
        Some(roster_key),
    ));
    let (mark_file, marks) = MarkFile::open(&dir.join(MARKS)).map_err(FoundError::Directory)?;
    let parts = writer::Parts {
        store: db.clone(),
        keys: keyring.clone(),
        heads: Arc::new(Heads::default()),
        outside: outside.clone(),
        mark_file,
        marks,
    };
    let (writer, done) = Writer::start(parts).await?;
    let payload = v1::RosterPoint::from(entry).encode_to_vec();
    let feed = keyring.roster_feed();
    let id = roster_id(network, point);
    writer.commit(Change::new().put(feed, Kind::ROSTER_POINT, id, payload)).await?;
    drop(writer);
    let _ = done.await;
    db.close().await;

    let pem = identity.chain.authority_pem();
    fs::write(dir.join(CA_FILE), pem).map_err(FoundError::Directory)?;
    let settings = [
        ("network", network.to_owned()),
        ("point", point.to_string()),
        ("founder", point.to_string()),
        ("listen_link", place.listen_link.to_string()),
        ("listen_public", place.listen_public.to_string()),
        ("database", database_setting(&place.database)),
    ];
    write_settings(dir, &settings)?;
    Ok(authority.fingerprint())
}

/// Joins a network with a token: fresh keys become a roster entry and a certificate.
pub async fn join(
    dir: &Path,
    token: &str,
    parent: &Address,
    place: Place,
    outside: &Outside,
) -> Result<PointCode, FoundError> {
    let token: JoinToken = token.trim().parse().map_err(FoundError::Token)?;
    let directory = prepare(dir)?;
    let now = outside.now();
    let clock = {
        let outside = outside.clone();
        Clock::new(move || outside.now())
    };
    let tls = enrolment_client(token.authority, &clock)?;
    let stream = open_tcp(&parent.to_string()).await?;
    let (channel, peer) = connect_for_enrolment(stream, tls).await?;
    let host = public_host(&place.listen_public);
    let joined =
        join::join(channel, &token, host, None, &directory, now).await.map_err(FoundError::Join)?;
    if directory.find_backup()?.is_none() {
        directory.save_backup(&BackupKey::generate())?;
    }
    // Opened once now, so that a wrong address shows here and not at the first run.
    Database::open(&database_address(dir, &place.database)).await?.close().await;

    let pem = joined.identity.chain.authority_pem();
    fs::write(dir.join(CA_FILE), pem).map_err(FoundError::Directory)?;
    let settings = [
        ("network", joined.network),
        ("point", joined.point.to_string()),
        ("founder", joined.founder.to_string()),
        ("parent", parent.to_string()),
        ("parent_point", peer.point.to_string()),
        ("listen_link", place.listen_link.to_string()),
        ("listen_public", place.listen_public.to_string()),
        ("database", database_setting(&place.database)),
    ];
    write_settings(dir, &settings)?;
    Ok(joined.point)
}

fn database_setting(database: &DatabaseUrl) -> String {
    match database {
        DatabaseUrl::Sqlite => "sqlite:".to_owned(),
        DatabaseUrl::Postgres(url) => url.clone(),
    }
}

/// Only the owner may read it: a database address may carry a password.
fn write_settings(dir: &Path, settings: &[(&'static str, String)]) -> Result<(), FoundError> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let open = || {
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600).open(dir.join(config::FILE))
    };
    let mut file = open().map_err(FoundError::Directory)?;
    file.write_all(config::file_text(settings).as_bytes()).map_err(FoundError::Directory)?;
    file.sync_all().map_err(FoundError::Directory)
}
