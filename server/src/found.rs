//! What `init` and `join` leave in a node's directory: keys, settings, what clients pin, and at the
//! founding node the first roster.

use std::{fs, io, path::Path, sync::Arc};

use ed25519_dalek::SigningKey;
use prost::Message;
use yizhan_proto::v1;

use crate::{
    app::audit::Audit,
    config::{self, Address, DatabaseUrl},
    domain::{
        audience::Audience,
        id::{PointCode, RecordId},
        kind::Kind,
        roster::{RosterNode, SealKey},
    },
    feed::{
        change::{Change, CommitError},
        continuity::{Mark, MarkFile, Marks},
        heads::Heads,
        keyring::Keyring,
        seal::Seal,
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
    store::{Copy, CopyState, FeedStore, StoreError, database::Database},
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
    #[error("this database holds what {point} has sealed, and its keys are not given")]
    PointKeys { point: PointCode },
    #[error("the keys given are not those that have sealed what is in this database")]
    OtherKeys,
    #[error("this database belongs to another point: {0}")]
    OtherDatabase(PointCode),
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
            FoundError::PointKeys { .. } => "POINT_KEYS_MISSING",
            FoundError::OtherKeys => "POINT_KEYS_DIFFER",
            FoundError::OtherDatabase(_) => "DATABASE_OF_ANOTHER_POINT",
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
            FoundError::PointKeys { .. } | FoundError::OtherKeys => {
                "copy seal.key and case.key from the directory `keys` of the point's first node, \
                 and name the directory they are in by --point-keys"
            }
            FoundError::OtherDatabase(_) => "name an empty database, or the point's own",
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
        // There is no past to be found out about.
        marks: Some(marks.unwrap_or_default()),
    };
    let audit = Audit::start(db.clone(), outside.clone(), Some(dir), false).await?;
    let (writer, done) = Writer::start(parts).await?;
    let payload = v1::RosterPoint::from(entry).encode_to_vec();
    let feed = keyring.roster_feed();
    let id = roster_id(network, point);
    writer.commit(Change::new().put(feed, Kind::ROSTER_POINT, id, payload)).await?;
    drop(writer);
    let _ = done.await;
    // Its first line is known outside the database before the node runs.
    audit.keep_mark().await?;
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
///
/// A point's second node shares the first one's database and needs its seal and case key, which the
/// operator brings on a way of their own (`point_keys`): neither the parent nor the database sees
/// them.
pub async fn join(
    dir: &Path,
    token: &str,
    parent: &Address,
    place: Place,
    point_keys: Option<&Path>,
    outside: &Outside,
) -> Result<PointCode, FoundError> {
    let token: JoinToken = token.trim().parse().map_err(FoundError::Token)?;
    let directory = prepare(dir)?;
    let point_keys = match point_keys {
        None => None,
        Some(path) => {
            let given = KeyDirectory::open(path)?;
            Some(PointKeys { seal: given.load_seal()?, case: given.load_case()? })
        }
    };
    // Before the token is used up: what is in the database decides which keys are needed.
    let db = Database::open(&database_address(dir, &place.database)).await?;
    let copies = db.copies().await;
    db.close().await;
    let copies = copies?;
    let found = directory.find_seal()?;
    let seal = point_keys.as_ref().map(|keys| &keys.seal).or(found.as_ref());
    let marks = check_database(&copies, &token.point, seal)?;
    let now = outside.now();
    let shares = point_keys.is_some();
    let clock = {
        let outside = outside.clone();
        Clock::new(move || outside.now())
    };
    let tls = enrolment_client(token.authority, &clock)?;
    let stream = open_tcp(&parent.to_string()).await?;
    let (channel, peer) = connect_for_enrolment(stream, tls).await?;
    let host = public_host(&place.listen_public);
    let joined = join::join(channel, &token, host, point_keys, &directory, now)
        .await
        .map_err(FoundError::Join)?;
    if directory.find_backup()?.is_none() {
        directory.save_backup(&BackupKey::generate())?;
    }
    // What the database holds is where this node begins: without marks it would take the database
    // for an old one that was put back. So it must where the point had records and they are not here.
    if !joined.has_past || !copies.is_empty() || shares {
        let (mut mark_file, _) = MarkFile::open(&dir.join(MARKS)).map_err(FoundError::Directory)?;
        mark_file.write(1, &marks).map_err(FoundError::Directory)?;
    }

    let pem = joined.identity.chain.authority_pem();
    fs::write(dir.join(CA_FILE), pem).map_err(FoundError::Directory)?;
    // A second node of the founding point enrols at the first one, which is no neighbour.
    let is_neighbour = peer.point != joined.point;
    let parent_point = if is_neighbour { peer.point.to_string() } else { String::new() };
    let settings = [
        ("network", joined.network),
        ("point", joined.point.to_string()),
        ("founder", joined.founder.to_string()),
        ("parent", parent.to_string()),
        ("parent_point", parent_point),
        ("listen_link", place.listen_link.to_string()),
        ("listen_public", place.listen_public.to_string()),
        ("database", database_setting(&place.database)),
    ];
    write_settings(dir, &settings)?;
    Ok(joined.point)
}

/// Whose database it is: nobody's yet, or that of the point whose seal key is at hand. Answers with
/// the newest seal numbers of what is written there.
fn check_database(
    copies: &[Copy],
    point: &PointCode,
    seal_key: Option<&SigningKey>,
) -> Result<Marks, FoundError> {
    let own = || copies.iter().filter(|copy| copy.state == CopyState::Own);
    let signed = own().filter(|copy| copy.feed.audience != Audience::Roster);
    for copy in signed {
        let key = seal_key.ok_or_else(|| match copy.feed.home == *point {
            true => FoundError::PointKeys { point: point.clone() },
            false => FoundError::OtherDatabase(copy.feed.home.clone()),
        })?;
        let fits = Seal::decode(&copy.seal).is_ok_and(|seal| {
            let network = &seal.statement().network;
            seal.verify(network, &key.verifying_key()).is_ok()
        });
        if !fits {
            return Err(FoundError::OtherKeys);
        }
    }
    let mark = |copy: &Copy| {
        let mark = Mark { epoch: copy.epoch, number: copy.number };
        (copy.feed.clone(), mark)
    };
    Ok(own().map(mark).collect())
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
