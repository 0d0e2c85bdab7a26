//! Enrolment and renewal on the side that asks, over a channel whose other end has been checked
//! against the pinned authority.

use ed25519_dalek::SigningKey;
use tonic::transport::Channel;
use yizhan_proto::v1::{self, enrolment_service_client::EnrolmentServiceClient};

use super::{
    chain::Chain,
    error::Error,
    keys::{BackupKey, CaseKey, KeyDirectory, TlsIdentity, TlsKey},
    proof::{prove_enrolment, prove_renewal},
    token::JoinToken,
};
use crate::domain::{id::PointCode, roster::NodeId, time::Time};

#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    #[error("the parent refuses: {}", .0.message())]
    Refused(#[source] tonic::Status),
    #[error("the certificate that came back is not the one asked for")]
    WrongCertificate(#[source] Error),
    #[error("the parent's roster is older than the token: {held} < {wanted}")]
    RosterTooOld { held: u64, wanted: u64 },
    #[error("a key cannot be used")]
    Keys(#[source] Error),
}

/// The keys of a point, if it has some already: a second node of the point takes the first one's.
#[derive(Debug)]
pub struct PointKeys {
    pub seal: SigningKey,
    pub case: CaseKey,
}

impl PointKeys {
    pub fn generate() -> PointKeys {
        PointKeys { seal: SigningKey::from_bytes(&rand::random()), case: CaseKey::generate() }
    }
}

/// A node that has joined. Everything in it is on disk.
#[derive(Debug)]
pub struct Joined {
    pub network: String,
    pub point: PointCode,
    pub founder: PointCode,
    /// An older roster must not be believed.
    pub roster_sequence: u64,
    /// Somebody may hold records of this point: its host, or its neighbours.
    pub has_past: bool,
    pub identity: TlsIdentity,
}

/// Joins with a token: makes keys, enrols, and keeps what comes back. After a failure at any moment
/// it may be called again: the keys made first are used again, so that the token is still good.
pub async fn join(
    channel: Channel,
    token: &JoinToken,
    public_host: Option<String>,
    point_keys: Option<PointKeys>,
    directory: &KeyDirectory,
    now: Time,
) -> Result<Joined, JoinError> {
    let (tls, point_keys) = keys(directory, point_keys).map_err(JoinError::Keys)?;
    let node = node_of(&tls);
    let mut client = EnrolmentServiceClient::new(channel);
    let nonce = client.get_nonce(v1::GetNonceRequest {}).await.map_err(JoinError::Refused)?;
    let nonce = nonce.into_inner();
    let body = v1::EnrolBody {
        token: token.reveal().to_string(),
        nonce: nonce.nonce,
        keys: Some(v1::NodeKeys {
            tls_spki: tls.spki().as_der().to_vec(),
            seal_key: point_keys.seal.verifying_key().to_bytes().to_vec(),
            case_key: point_keys.case.public().to_vec(),
        }),
        node: node.to_string(),
        public_host: public_host.unwrap_or_default(),
    };
    let request =
        prove_enrolment(&body, &nonce.challenge_key, &tls, &point_keys.seal, &point_keys.case)
            .map_err(JoinError::Keys)?;
    let response = client.enrol(request).await.map_err(JoinError::Refused)?.into_inner();

    let chain = Chain::from_pem(&response.certificate_chain_pem)
        .and_then(|chain| chain.check(&token.authority, now).map(|()| chain))
        .map_err(JoinError::WrongCertificate)?;
    if chain.peer().point != token.point || chain.peer().node != node {
        return Err(JoinError::WrongCertificate(Error::OtherPoint));
    }
    if response.roster_sequence < token.roster_sequence {
        let (held, wanted) = (response.roster_sequence, token.roster_sequence);
        return Err(JoinError::RosterTooOld { held, wanted });
    }
    let founder = response
        .founder
        .parse()
        .map_err(|_| JoinError::WrongCertificate(Error::malformed("the founding point")))?;
    let identity = TlsIdentity::new(tls, chain).map_err(JoinError::WrongCertificate)?;
    directory.save_tls(&identity).map_err(JoinError::Keys)?;
    directory.remove_pending_tls().map_err(JoinError::Keys)?;
    Ok(Joined {
        network: response.network,
        point: token.point.clone(),
        founder,
        roster_sequence: response.roster_sequence,
        has_past: response.has_past,
        identity,
    })
}

/// Gets a new certificate for the same key, and keeps it. The old one may have expired long ago. The
/// caller swaps the answer in.
pub async fn renew(
    channel: Channel,
    identity: &TlsIdentity,
    seal: &SigningKey,
    directory: &KeyDirectory,
    now: Time,
) -> Result<TlsIdentity, JoinError> {
    let mut client = EnrolmentServiceClient::new(channel);
    let nonce = client.get_nonce(v1::GetNonceRequest {}).await.map_err(JoinError::Refused)?;
    let peer = identity.chain.peer();
    let body = v1::RenewBody {
        point: peer.point.to_string(),
        node: peer.node.to_string(),
        nonce: nonce.into_inner().nonce,
        tls_spki: identity.key.spki().as_der().to_vec(),
    };
    let request = prove_renewal(&body, &identity.key, seal).map_err(JoinError::Keys)?;
    let response = client.renew(request).await.map_err(JoinError::Refused)?.into_inner();

    let authority = identity.chain.authority_fingerprint();
    let renewed = Chain::from_pem(&response.certificate_chain_pem)
        .and_then(|chain| chain.check(&authority, now).map(|()| chain))
        .and_then(|chain| identity.renewed(chain))
        .map_err(JoinError::WrongCertificate)?;
    if renewed.chain.peer() != peer {
        return Err(JoinError::WrongCertificate(Error::OtherPoint));
    }
    directory.save_tls(&renewed).map_err(JoinError::Keys)?;
    Ok(renewed)
}

/// A node is named after the key it joined with, so that a second try names the same one.
pub fn node_of(tls: &TlsKey) -> NodeId {
    let mut id = [0; 8];
    id.copy_from_slice(&tls.spki().fingerprint().0[..8]);
    NodeId(id)
}

/// The keys to join with, on disk before anybody hears of them.
fn keys(directory: &KeyDirectory, given: Option<PointKeys>) -> Result<(TlsKey, PointKeys), Error> {
    let tls = match directory.find_pending_tls()? {
        Some(tls) => tls,
        None => {
            let tls = TlsKey::generate()?;
            directory.save_pending_tls(&tls)?;
            tls
        }
    };
    let found = match (directory.find_seal()?, directory.find_case()?) {
        (Some(seal), Some(case)) => Some(PointKeys { seal, case }),
        _ => None,
    };
    let keys = given.or(found).unwrap_or_else(PointKeys::generate);
    directory.save_seal(&keys.seal)?;
    directory.save_case(&keys.case)?;
    if directory.find_backup()?.is_none() {
        directory.save_backup(&BackupKey::generate())?;
    }
    Ok((tls, keys))
}
