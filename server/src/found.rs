//! What `init` and `join` leave in a node's directory: keys, settings, what clients pin, and at the
//! founding node the first roster.

use std::{fs, io, path::Path, sync::Arc};

use ed25519_dalek::SigningKey;
use prost::Message;
use tonic_types::StatusExt;
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
        enrolment::{Told, find_told, newcomer},
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
            FoundError::Dial(DialError::Handshake(error)) => of_handshake(error),
            FoundError::Dial(_) => "PARENT_UNREACHABLE",
            FoundError::Join(JoinError::Refused(status)) => match told(status) {
                Some(told) => told.reason,
                None if status.code() == tonic::Code::Unavailable => "PARENT_UNREACHABLE",
                None => "JOIN_REFUSED",
            },
            FoundError::Join(JoinError::RosterTooOld { .. }) => "ROSTER_TOO_OLD",
            FoundError::Join(JoinError::WrongCertificate(error)) => of_certificate(error),
            FoundError::Join(JoinError::Keys(_)) => "IDENTITY",
            FoundError::Token(_) => "TOKEN_MALFORMED",
            FoundError::PointKeys { .. } => "POINT_KEYS_MISSING",
            FoundError::OtherKeys => "POINT_KEYS_DIFFER",
            FoundError::OtherDatabase(_) => "DATABASE_OF_ANOTHER_POINT",
            FoundError::Name => "NETWORK_NAME",
        }
    }

    /// What to do, in English and Chinese.
    pub fn advice(&self) -> (&'static str, &'static str) {
        if let FoundError::Join(JoinError::Refused(status)) = self
            && let Some(told) = told(status)
        {
            return (told.advice, told.advice_zh);
        }
        match self.reason() {
            "OCCUPIED" => ("choose an empty directory", "请选择空目录"),
            "TOKEN_MALFORMED" => (
                "copy the whole token, from yz1 to the point code",
                "请复制完整令牌，从 yz1 到联络点代码",
            ),
            "WRONG_NETWORK" => (
                "the token and --parent are of different networks: check both",
                "令牌与 --parent 不属于同一网络，请核对两者",
            ),
            CLOCK => (
                "set this machine's clock and the parent's right, and try again",
                "请校准本机与上级的时钟后重试",
            ),
            "PARENT_UNREACHABLE" => (
                "check --parent: it is the parent's link address",
                "请核对 --parent：应为上级的链路地址",
            ),
            "ROSTER_TOO_OLD" => (
                "the parent is behind the token: try again when it has caught up",
                "上级的名册早于令牌，请待其同步后重试",
            ),
            "JOIN_REFUSED" => (
                "ask the parent's operator for a new token: `yizhand token --point CODE`",
                "请上级联络点的运维人员重新签发：`yizhand token --point CODE`",
            ),
            "POINT_KEYS_MISSING" | "POINT_KEYS_DIFFER" => (
                "copy seal.key and case.key from the directory `keys` of the point's first node, \
                 and name the directory they are in by --point-keys",
                "请从该联络点首个节点的 keys 目录复制 seal.key 与 case.key，并用 --point-keys 指明所在目录",
            ),
            "DATABASE_OF_ANOTHER_POINT" => (
                "name an empty database, or the point's own",
                "请使用空数据库或该联络点自己的数据库",
            ),
            "NETWORK_NAME" => ("choose another name", "请另选名称"),
            _ => ("see the message above, and try again", "请参看上面的说明后重试"),
        }
    }

    /// What failed, in Chinese.
    pub fn message_zh(&self) -> &'static str {
        if let FoundError::Join(JoinError::Refused(status)) = self
            && let Some(told) = told(status)
        {
            return told.zh;
        }
        match self.reason() {
            "OCCUPIED" => "该目录已有节点",
            "DIRECTORY" => "目录无法写入",
            "STORAGE_FAILED" => "存储失败",
            "ROSTER" => "名册无法写入",
            "TOKEN_MALFORMED" => "加入令牌不完整",
            "WRONG_NETWORK" => "对方属于另一网络",
            CLOCK => "证书此刻无效，时钟可能有误",
            "PARENT_UNREACHABLE" => "无法连接上级",
            "ROSTER_TOO_OLD" => "上级的名册早于令牌",
            "JOIN_REFUSED" | "CERTIFICATE_REFUSED" => "未获准加入",
            "POINT_KEYS_MISSING" => "该数据库属于已有密钥的联络点，但未提供密钥",
            "POINT_KEYS_DIFFER" => "所提供的密钥与数据库不符",
            "DATABASE_OF_ANOTHER_POINT" => "该数据库属于另一联络点",
            "NETWORK_NAME" => "网络名称不合规定",
            _ => "密钥或证书有误",
        }
    }
}

/// The clock of one of the two is wrong: no certificate is valid for ever, nor before it was made.
const CLOCK: &str = "CLOCK";

/// What a node that refused has told, if this program knows the reason.
fn told(status: &tonic::Status) -> Option<&'static Told> {
    find_told(&status.get_error_details().error_info()?.reason)
}

/// Why the other end of a connection was not believed.
fn of_handshake(error: &io::Error) -> &'static str {
    use rustls::{CertificateError as Certificate, Error};
    match error.get_ref().and_then(|source| source.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(Certificate::UnknownIssuer)) => "WRONG_NETWORK",
        Some(Error::InvalidCertificate(
            Certificate::Expired
            | Certificate::ExpiredContext { .. }
            | Certificate::NotValidYet
            | Certificate::NotValidYetContext { .. },
        )) => CLOCK,
        _ => "PARENT_NOT_BELIEVED",
    }
}

fn of_certificate(error: &IdentityError) -> &'static str {
    match error {
        IdentityError::WrongAuthority => "WRONG_NETWORK",
        IdentityError::NotValidNow => CLOCK,
        _ => "CERTIFICATE_REFUSED",
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

#[cfg(test)]
mod tests {
    use rustls::{CertificateError, Error};

    use super::*;
    use crate::identity::enrolment::Refusal;

    fn handshake(error: CertificateError) -> FoundError {
        let error = io::Error::new(io::ErrorKind::InvalidData, Error::InvalidCertificate(error));
        FoundError::Dial(DialError::Handshake(error))
    }

    #[test]
    fn another_network_and_a_wrong_clock_are_told_apart() {
        assert_eq!(handshake(CertificateError::UnknownIssuer).reason(), "WRONG_NETWORK");
        assert_eq!(handshake(CertificateError::Expired).reason(), "CLOCK");
        assert_eq!(handshake(CertificateError::BadSignature).reason(), "PARENT_NOT_BELIEVED");
        let stale = FoundError::Join(JoinError::WrongCertificate(IdentityError::NotValidNow));
        assert_eq!(stale.reason(), "CLOCK");
        assert!(stale.advice().0.contains("clock") && stale.message_zh().contains("时钟"));
    }

    #[test]
    fn every_refusal_is_told_in_both_languages() {
        for refusal in [Refusal::TokenExpired, Refusal::Unavailable, Refusal::NotBelow] {
            let (_, reason) = refusal.kind();
            let told = find_told(reason).expect(reason);
            assert!(!told.zh.is_ascii() && !told.advice_zh.is_ascii() && told.advice.is_ascii());
        }
    }
}
