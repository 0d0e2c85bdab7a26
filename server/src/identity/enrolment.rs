//! Enrolment and renewal on the side that is asked.
//!
//! The node that gave the token checks it, the nonce and the proofs (`Desk`); the founding node
//! turns what is left into a roster entry and a certificate (`Office`), whether it was asked
//! directly or by a parcel of that node, which vouches for the token.

use std::net::IpAddr;

use ed25519_dalek::VerifyingKey;
use prost::Message;
use tonic::Code;
use yizhan_proto::v1;

use super::{
    authority::{Issuer, Subject},
    error::Error,
    proof::{BODY_MAX, Nonces, check_enrolment, check_renewal},
    spki::Spki,
    token::{FAILURES_MAX, JoinToken, Verdict, judge},
};
use crate::{
    domain::{
        id::PointCode,
        roster::{NodeId, PointKind, Roster, RosterEntry, RosterNode, SealKey},
        text::Invalid,
        time::Time,
    },
    store::tokens::{self, Connection, StorageError, StoredToken},
    wire::roster::public_host,
};

/// Why a node is not let in. The first four tell nothing to somebody without a valid token.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("the request is not well formed")]
    Malformed(#[source] Error),
    #[error("the nonce is too old or not of this node; ask for a new one")]
    NonceNotFresh,
    #[error("a key does not prove itself")]
    NotProved(#[source] Error),
    #[error("the token is not known")]
    TokenUnknown,
    #[error("the token is worth nothing any more after {FAILURES_MAX} wrong secrets")]
    TokenBurnt,
    #[error("the token has expired; ask for a new one")]
    TokenExpired,
    #[error("the token has been used by another key; ask for a new one")]
    TokenUsed,
    #[error("the token is for another point")]
    TokenForOther,
    #[error("the token does not grant that public host; ask for one made with --public-host")]
    HostNotGranted,
    #[error("the point is revoked")]
    Revoked,
    #[error("the roster does not know the point, the node or the key")]
    NotInRoster,
    #[error("the point that vouches does not lie above the one that joins")]
    NotBelow,
    #[error("the entry does not fit the roster")]
    Unfit(#[source] Invalid),
    #[error("the token could not be read or written")]
    Storage(#[source] StorageError),
    #[error("the founding node cannot be asked now; try again")]
    Unavailable,
    #[error("the certificate could not be made")]
    Issue(#[source] Error),
    /// By its reason.
    #[error("the founding node refuses: {0}")]
    ByFounder(&'static str),
}

/// What people read of a refusal, and what they can do about it: one line per reason.
#[derive(PartialEq, Eq, Debug)]
pub struct Told {
    pub reason: &'static str,
    pub zh: &'static str,
    pub advice: &'static str,
    pub advice_zh: &'static str,
}

const NEW_TOKEN: (&str, &str) = (
    "ask the parent's operator for a new token: `yizhand token --point CODE`",
    "请上级联络点的运维人员重新签发：`yizhand token --point CODE`",
);
const AGAIN: (&str, &str) = ("try again", "请重试");

const fn told(
    reason: &'static str,
    zh: &'static str,
    (advice, advice_zh): (&'static str, &'static str),
) -> Told {
    Told { reason, zh, advice, advice_zh }
}

/// In the order of `Refusal`.
static TOLD: [Told; 16] = [
    told(
        "MALFORMED",
        "请求格式有误",
        ("use the same version of yizhand as the parent", "请使用与上级相同版本的 yizhand"),
    ),
    told("NONCE_NOT_FRESH", "随机数已过期或不属于该节点", AGAIN),
    told(
        "KEY_NOT_PROVED",
        "密钥未能自证",
        ("join again in an empty directory", "请在空目录中重新加入"),
    ),
    told(
        "TOKEN_UNKNOWN",
        "令牌未知：可能输错，或由其他节点签发",
        (
            "copy the token again, and name the node that made it by --parent",
            "请重新复制令牌，并用 --parent 指向签发它的节点",
        ),
    ),
    told("TOKEN_BURNT", "密码多次错误，令牌已作废", NEW_TOKEN),
    told("TOKEN_EXPIRED", "令牌已过期", NEW_TOKEN),
    told(
        "TOKEN_USED",
        "令牌已被另一密钥使用",
        (
            "join in the directory of the first try, or ask the parent's operator for a new token",
            "请在首次尝试的目录中继续，或请上级重新签发令牌",
        ),
    ),
    told("TOKEN_FOR_OTHER_POINT", "令牌属于另一联络点", NEW_TOKEN),
    told(
        "HOST_NOT_GRANTED",
        "令牌未授权该公开主机名",
        (
            "ask for a token made with --public-host, or listen on an address",
            "请上级用 --public-host 重新签发，或改为监听地址",
        ),
    ),
    told(
        "POINT_REVOKED",
        "该联络点已被除名",
        (
            "ask the founding node's operator: a revoked point does not come back",
            "请联系创始节点的运维人员：已除名的联络点不能恢复",
        ),
    ),
    told("NOT_IN_ROSTER", "名册中没有该联络点、节点或密钥", NEW_TOKEN),
    told(
        "NOT_BELOW",
        "担保的联络点不在其上级",
        (
            "ask a point that lies above for the token, or the founding node",
            "请由其上级联络点或创始节点签发令牌",
        ),
    ),
    told(
        "UNFIT",
        "登记内容与名册不符",
        (
            "join in an empty directory, so that the keys are new; see the log of the founding node",
            "请在空目录中加入以生成新密钥；详情见创始节点日志",
        ),
    ),
    told(
        "STORAGE_FAILED",
        "令牌无法读写",
        ("see the log of the parent's node, and try again", "请查看上级节点的日志后重试"),
    ),
    told(
        "ISSUER_UNAVAILABLE",
        "暂时联系不上创始节点",
        ("try again once the founding node can be reached", "请在创始节点恢复联系后重试"),
    ),
    told(
        "ISSUE_FAILED",
        "证书未能签发",
        ("see the log of the founding node", "请查看创始节点的日志"),
    ),
];

/// What is told of a refusal with this reason.
pub fn find_told(reason: &str) -> Option<&'static Told> {
    TOLD.iter().find(|told| told.reason == reason)
}

impl Refusal {
    /// What the founding node has answered to the node that asked for another one.
    pub fn by_founder(reason: &str) -> Refusal {
        match find_told(reason) {
            Some(told) if told.reason == "ISSUER_UNAVAILABLE" => Refusal::Unavailable,
            Some(told) => Refusal::ByFounder(told.reason),
            None => Refusal::NotInRoster,
        }
    }

    /// Code and reason that clients act on.
    pub fn kind(&self) -> (Code, &'static str) {
        match self {
            Refusal::Malformed(_) => (Code::InvalidArgument, "MALFORMED"),
            Refusal::NonceNotFresh => (Code::FailedPrecondition, "NONCE_NOT_FRESH"),
            Refusal::NotProved(_) => (Code::PermissionDenied, "KEY_NOT_PROVED"),
            Refusal::TokenUnknown => (Code::PermissionDenied, "TOKEN_UNKNOWN"),
            Refusal::TokenBurnt => (Code::PermissionDenied, "TOKEN_BURNT"),
            Refusal::TokenExpired => (Code::PermissionDenied, "TOKEN_EXPIRED"),
            Refusal::TokenUsed => (Code::PermissionDenied, "TOKEN_USED"),
            Refusal::TokenForOther => (Code::PermissionDenied, "TOKEN_FOR_OTHER_POINT"),
            Refusal::HostNotGranted => (Code::PermissionDenied, "HOST_NOT_GRANTED"),
            Refusal::Revoked => (Code::PermissionDenied, "POINT_REVOKED"),
            Refusal::NotInRoster => (Code::PermissionDenied, "NOT_IN_ROSTER"),
            Refusal::NotBelow => (Code::PermissionDenied, "NOT_BELOW"),
            Refusal::Unfit(_) => (Code::FailedPrecondition, "UNFIT"),
            Refusal::Storage(_) => (Code::Internal, "STORAGE_FAILED"),
            Refusal::Unavailable => (Code::Unavailable, "ISSUER_UNAVAILABLE"),
            Refusal::Issue(_) => (Code::Internal, "ISSUE_FAILED"),
            Refusal::ByFounder(reason) => (Code::PermissionDenied, reason),
        }
    }
}

/// A request to join whose two signatures hold.
#[derive(Clone, Debug)]
pub struct Application {
    pub token: JoinToken,
    pub nonce: Vec<u8>,
    pub tls: Spki,
    pub seal_key: [u8; 32],
    pub case_key: [u8; 32],
    pub node: NodeId,
    pub public_host: Option<String>,
}

impl Application {
    pub fn read(request: &v1::EnrolRequest) -> Result<Application, Refusal> {
        let body = v1::EnrolBody::decode(small(&request.body)?).map_err(undecodable)?;
        let keys = body.keys.unwrap_or_default();
        let invalid = |invalid: Invalid| Refusal::Malformed(invalid.into());
        let application = Application {
            token: body.token.parse().map_err(Refusal::Malformed)?,
            nonce: body.nonce,
            tls: Spki::parse(&keys.tls_spki).map_err(Refusal::Malformed)?,
            seal_key: seal_key(&keys.seal_key)?,
            case_key: key(&keys.case_key)?,
            node: body.node.parse().map_err(invalid)?,
            public_host: match body.public_host.as_str() {
                "" => None,
                host => Some(public_host(host).map_err(invalid)?),
            },
        };
        check_enrolment(request, &application.tls, &application.seal_key)
            .map_err(Refusal::NotProved)?;
        Ok(application)
    }
}

/// A request for a new certificate. Whether its signatures hold, the roster's keys say.
#[derive(Clone, Debug)]
pub struct Renewal {
    pub point: PointCode,
    pub node: NodeId,
    pub nonce: Vec<u8>,
    pub tls: Spki,
    pub request: v1::RenewRequest,
}

impl Renewal {
    pub fn read(request: v1::RenewRequest) -> Result<Renewal, Refusal> {
        let body = v1::RenewBody::decode(small(&request.body)?).map_err(undecodable)?;
        let invalid = |invalid: Invalid| Refusal::Malformed(invalid.into());
        Ok(Renewal {
            point: body.point.parse().map_err(invalid)?,
            node: body.node.parse().map_err(invalid)?,
            nonce: body.nonce,
            tls: Spki::parse(&body.tls_spki).map_err(Refusal::Malformed)?,
            request,
        })
    }

    /// For whom a certificate may be made, by the roster: an expired one does not matter, a revoked
    /// point or a compromised seal key does.
    pub fn check(&self, roster: &Roster) -> Result<Subject, Refusal> {
        let entry = roster.get(&self.point).ok_or(Refusal::NotInRoster)?;
        if entry.revoked.is_some() {
            return Err(Refusal::Revoked);
        }
        let node = entry.node(self.node).filter(|_| entry.host.is_none());
        let node = node.ok_or(Refusal::NotInRoster)?;
        let seal = entry.newest_seal_key().filter(|seal| seal.limit.is_none());
        let seal = seal.ok_or(Refusal::NotInRoster)?;
        if node.spki_sha256 != self.tls.fingerprint().0 {
            return Err(Refusal::NotInRoster);
        }
        check_renewal(&self.request, &self.tls, &seal.public).map_err(Refusal::NotProved)?;
        let public_host = node.public_host.clone();
        Ok(Subject { point: self.point.clone(), node: self.node, public_host })
    }
}

fn small(body: &[u8]) -> Result<&[u8], Refusal> {
    if body.len() > BODY_MAX {
        return Err(Refusal::Malformed(Error::malformed("the request")));
    }
    Ok(body)
}

fn undecodable(_: prost::DecodeError) -> Refusal {
    Refusal::Malformed(Error::malformed("the request"))
}

fn key(bytes: &[u8]) -> Result<[u8; 32], Refusal> {
    bytes.try_into().map_err(|_| Refusal::Malformed(Error::malformed("a public key")))
}

fn seal_key(bytes: &[u8]) -> Result<[u8; 32], Refusal> {
    let bytes = key(bytes)?;
    match VerifyingKey::from_bytes(&bytes) {
        Ok(key) if !key.is_weak() => Ok(bytes),
        _ => Err(Refusal::Malformed(Error::malformed("the seal key"))),
    }
}

/// What the node that gave out a token does about it.
#[derive(Default)]
pub struct Desk {
    nonces: Nonces,
}

/// What is to be done with an application that has passed the desk.
#[derive(Debug)]
pub enum Step {
    /// It was answered before; this is the answer.
    Answered(v1::EnrolResponse),
    /// To be brought to the founding node, and `Desk::finish` with its answer.
    Go(Box<Application>),
}

impl Desk {
    pub fn nonce(&self, now: Time) -> v1::GetNonceResponse {
        self.nonces.make(now)
    }

    /// Checks nonce, proofs and token, and claims the token for this TLS key. Every statement stands
    /// alone: a caller that is dropped between two of them comes again with the same key.
    pub async fn begin(
        &self,
        db: &mut Connection,
        request: &v1::EnrolRequest,
        now: Time,
    ) -> Result<Step, Refusal> {
        let application = Application::read(request)?;
        self.nonces.check(&application.nonce, now).map_err(|_| Refusal::NonceNotFresh)?;
        self.nonces
            .check_case_key(&application.nonce, &application.case_key, request)
            .map_err(Refusal::NotProved)?;

        let (token, key) = (&application.token, application.tls.fingerprint().0);
        let stored = tokens::find(db, token.id).await.map_err(Refusal::Storage)?;
        match judge(stored.as_ref(), token, &key, now) {
            Verdict::Fresh => {
                // The name in a certificate is never the request's: who gave the token has named it.
                // An address says where a node listens, and nobody whose it is takes it for a name.
                let granted = stored.as_ref().and_then(|stored| stored.public_host.as_ref());
                let asked = application.public_host.as_ref();
                if asked.is_some_and(|host| host.parse::<IpAddr>().is_err()) && asked != granted {
                    return Err(Refusal::HostNotGranted);
                }
                let claimed = tokens::claim(db, token.id, key, now, FAILURES_MAX).await;
                if claimed.map_err(Refusal::Storage)? {
                    return Ok(Step::Go(Box::new(application)));
                }
                // Somebody was faster: perhaps our own first try.
                let stored = tokens::find(db, token.id).await.map_err(Refusal::Storage)?;
                self.again(stored, application, &key, now)
            }
            Verdict::Unknown => {
                if stored.is_some() {
                    tokens::count_failure(db, token.id).await.map_err(Refusal::Storage)?;
                }
                Err(Refusal::TokenUnknown)
            }
            _ => self.again(stored, application, &key, now),
        }
    }

    /// Keeps the founding node's answer for a caller that does not receive it.
    pub async fn finish(
        &self,
        db: &mut Connection,
        application: &Application,
        response: &v1::EnrolResponse,
    ) -> Result<(), Refusal> {
        let key = application.tls.fingerprint().0;
        tokens::keep_answer(db, application.token.id, key, &response.encode_to_vec())
            .await
            .map_err(Refusal::Storage)
    }

    /// Checks the nonce of a renewal and, by our own roster, its signatures.
    pub fn renewal(
        &self,
        request: v1::RenewRequest,
        roster: &Roster,
        now: Time,
    ) -> Result<Renewal, Refusal> {
        let renewal = Renewal::read(request)?;
        self.nonces.check(&renewal.nonce, now).map_err(|_| Refusal::NonceNotFresh)?;
        renewal.check(roster)?;
        Ok(renewal)
    }

    fn again(
        &self,
        stored: Option<StoredToken>,
        application: Application,
        key: &[u8; 32],
        now: Time,
    ) -> Result<Step, Refusal> {
        match judge(stored.as_ref(), &application.token, key, now) {
            Verdict::Again { answer: Some(answer) } => {
                let response = v1::EnrolResponse::decode(&answer[..]).map_err(undecodable)?;
                Ok(Step::Answered(response))
            }
            Verdict::Again { answer: None } => Ok(Step::Go(Box::new(application))),
            Verdict::Unknown => Err(Refusal::TokenUnknown),
            Verdict::Burnt => Err(Refusal::TokenBurnt),
            Verdict::Expired => Err(Refusal::TokenExpired),
            Verdict::Fresh | Verdict::Used => Err(Refusal::TokenUsed),
            Verdict::OtherPoint => Err(Refusal::TokenForOther),
        }
    }
}

/// The founding node's side: the only place where certificates are made.
#[derive(Clone, Copy)]
pub struct Office<'a> {
    pub issuer: &'a Issuer,
    pub network: &'a str,
    pub roster: &'a Roster,
}

impl Office<'_> {
    /// Lets a point in: writes its roster entry by `commit`, which answers with the roster's new
    /// sequence, and makes its certificate. `voucher` is the point whose node checked the token.
    /// Done twice with the same application it leaves the same entry.
    ///
    /// `next_epoch` is the first epoch the point's own key will sign where others signed before: for
    /// a hosted point that gets a node of its own, and for a point whose keys were lost.
    pub async fn admit<C>(
        &self,
        voucher: &PointCode,
        application: &Application,
        next_epoch: u64,
        now: Time,
        commit: C,
    ) -> Result<v1::EnrolResponse, Refusal>
    where
        C: AsyncFnOnce(v1::RosterPoint) -> Result<u64, Refusal>,
    {
        let entry = entry_for(self.roster, voucher, application, next_epoch)?;
        let roster_sequence = commit(entry.into()).await?;
        let subject = Subject {
            point: application.token.point.clone(),
            node: application.node,
            public_host: application.public_host.clone(),
        };
        let chain = self.issuer.issue(&subject, &application.tls, now).map_err(Refusal::Issue)?;
        Ok(v1::EnrolResponse {
            certificate_chain_pem: chain.to_pem(),
            network: self.network.to_owned(),
            point: subject.point.to_string(),
            roster_sequence,
            has_past: self
                .roster
                .get(&application.token.point)
                .is_some_and(|entry| entry.host.is_some() || !entry.seal_keys.is_empty()),
            founder: self.roster.root().map(|root| root.code.to_string()).unwrap_or_default(),
        })
    }

    /// Makes a renewed certificate. The names are the roster's; only the time is new.
    pub fn renew(&self, renewal: &Renewal, now: Time) -> Result<v1::RenewResponse, Refusal> {
        let subject = renewal.check(self.roster)?;
        let chain = self.issuer.issue(&subject, &renewal.tls, now).map_err(Refusal::Issue)?;
        Ok(v1::RenewResponse { certificate_chain_pem: chain.to_pem() })
    }
}

/// The roster entry that an application leads to.
pub fn entry_for(
    roster: &Roster,
    voucher: &PointCode,
    application: &Application,
    next_epoch: u64,
) -> Result<RosterEntry, Refusal> {
    let code = &application.token.point;
    let mut entry = match roster.get(code) {
        Some(entry) if entry.revoked.is_some() => return Err(Refusal::Revoked),
        Some(entry) => entry.clone(),
        None => newcomer(code, voucher),
    };
    if code != voucher && !lies_below(roster, &entry, voucher) {
        return Err(Refusal::NotBelow);
    }

    check_seal_key(roster, &entry, &application.seal_key)?;
    let own_key = entry.newest_seal_key().map(|key| key.public) == Some(application.seal_key);
    if !own_key {
        // The epochs so far keep the key that signed them: the host's, or the point's lost one.
        if entry.seal_keys.is_empty()
            && let Some(host) = entry.host.as_ref().and_then(|host| roster.get(host))
            && let Some(key) = host.newest_seal_key()
        {
            entry.seal_keys.push(SealKey { public: key.public, from_epoch: 1, limit: None });
        }
        let after = entry.newest_seal_key().map_or(0, |key| key.from_epoch);
        let from_epoch = if after == 0 { 1 } else { next_epoch.max(after + 1) };
        entry.seal_keys.push(SealKey { public: application.seal_key, from_epoch, limit: None });
        // Nodes that hold the former key do not speak for the point any more.
        entry.nodes.clear();
    }
    entry.host = None;
    entry.case_key = Some(application.case_key);
    entry.nodes.retain(|node| node.node != application.node);
    entry.nodes.push(RosterNode {
        node: application.node,
        spki_sha256: application.tls.fingerprint().0,
        public_host: application.public_host.clone(),
    });
    roster.admits(&entry).map_err(Refusal::Unfit)?;
    // Bounds of lists, as any reader of the record will check them.
    RosterEntry::try_from(v1::RosterPoint::from(entry)).map_err(Refusal::Unfit)
}

/// A seal key is one point's, and one that was replaced or limited does not come back.
fn check_seal_key(
    roster: &Roster,
    entry: &RosterEntry,
    presented: &[u8; 32],
) -> Result<(), Refusal> {
    let newest = entry.newest_seal_key();
    let former = entry.seal_keys.iter().any(|key| key.public == *presented);
    let goes_on = newest.is_some_and(|key| key.public == *presented && key.limit.is_none());
    let elsewhere = roster
        .points()
        .filter(|other| other.code != entry.code)
        .any(|other| other.seal_keys.iter().any(|key| key.public == *presented));
    if elsewhere || (former && !goes_on) {
        return Err(Refusal::Unfit(Invalid::new("keys.seal_key", "used_before")));
    }
    Ok(())
}

/// The entry of a point that nobody has described: its code says what it is and where it lies.
pub fn newcomer(code: &PointCode, parent: &PointCode) -> RosterEntry {
    let (country, place) = code.as_str().split_once('-').unwrap_or((code.as_str(), ""));
    let (kind, region) = match (country, place) {
        ("HK" | "MO", _) => (PointKind::Partner, country.to_owned()),
        ("CN", gb) if gb[2..6] == *"0000" => (PointKind::Province, gb[..6].to_owned()),
        ("CN", gb) => (PointKind::City, gb[..6].to_owned()),
        (country, locode) => (PointKind::Overseas, format!("{country}{}", &locode[..3])),
    };
    let mut entry = RosterEntry::new(code.clone(), code.to_string(), kind);
    entry.registered_region = region;
    entry.parent = Some(parent.clone());
    entry
}

/// Is the voucher the point's host, or somewhere above it?
fn lies_below(roster: &Roster, entry: &RosterEntry, voucher: &PointCode) -> bool {
    if entry.host.as_ref() == Some(voucher) {
        return true;
    }
    let mut above = entry.parent.as_ref();
    for _ in 0..crate::domain::roster::DEPTH_MAX {
        match above {
            Some(point) if point == voucher => return true,
            Some(point) => above = roster.parent(point),
            None => return false,
        }
    }
    false
}

#[cfg(test)]
#[path = "enrolment_tests.rs"]
mod tests;
