//! The peer service.

use std::time::Duration;

use tonic::{Request, Response, Status};
use yizhan_proto::v1::{self, peer_service_server::PeerService};

use super::decode::point;
use crate::{
    app::{
        App,
        error::Error,
        peers::{self, Admitted, Revoked},
    },
    domain::{roster::RosterEntry, text::Invalid},
    identity::{caller::Caller, spki::Fingerprint},
    wire::value::time_message,
};

pub struct PeerApi {
    pub app: App,
    /// The network's authority, which join tokens name.
    pub authority: Fingerprint,
}

#[tonic::async_trait]
impl PeerService for PeerApi {
    async fn admit_peer(
        &self,
        request: Request<v1::AdmitPeerRequest>,
    ) -> Result<Response<v1::AdmitPeerResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let code = point(&request.point, "point")?;
        let out_of_range = |_| Error::from(Invalid::new("ttl", "out_of_range"));
        let ttl = request.ttl.map(Duration::try_from).transpose().map_err(out_of_range)?;
        let admitted = peers::admit(&self.app, &caller, self.authority, code, ttl).await?;
        let point = request.point;
        Ok(Response::new(match admitted {
            Admitted::Asked(id) => {
                v1::AdmitPeerResponse { approval: id.to_string(), point, ..Default::default() }
            }
            Admitted::Token(token, expires) => v1::AdmitPeerResponse {
                approval: String::new(),
                token,
                point,
                expire_time: Some(time_message(expires)),
            },
        }))
    }

    async fn revoke_peer(
        &self,
        request: Request<v1::RevokePeerRequest>,
    ) -> Result<Response<v1::RevokePeerResponse>, Status> {
        let caller = Caller::of(&request);
        let v1::RevokePeerRequest { point: named, reason } = request.into_inner();
        let code = point(&named, "point")?;
        let revoked = peers::revoke(&self.app, &caller, code, &reason).await?;
        let (approval, revoke_time) = match revoked {
            Revoked::Asked(id) => (id.to_string(), None),
            Revoked::At(at) => (String::new(), Some(time_message(at))),
        };
        Ok(Response::new(v1::RevokePeerResponse { approval, point: named, revoke_time }))
    }

    async fn list_peers(
        &self,
        request: Request<v1::ListPeersRequest>,
    ) -> Result<Response<v1::ListPeersResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let (size, token) = (request.page_size, &request.page_token);
        let (entries, next_page_token) = peers::list(&self.app, &caller, size, token).await?;
        let items = entries.into_iter().map(message).collect();
        Ok(Response::new(v1::ListPeersResponse { items, next_page_token }))
    }
}

fn message(entry: RosterEntry) -> v1::Peer {
    v1::Peer {
        point: entry.code.to_string(),
        name: entry.name,
        parent: entry.parent.map(|point| point.to_string()).unwrap_or_default(),
        host: entry.host.map(|point| point.to_string()).unwrap_or_default(),
        nodes: entry.nodes.len() as u32,
        revoke_time: entry.revoked.as_ref().map(|revoked| time_message(revoked.at)),
        revoke_reason: entry.revoked.map(|revoked| revoked.reason).unwrap_or_default(),
    }
}
