//! The link service: a neighbour with an admitted certificate opens a session.

use std::{pin::Pin, sync::Arc};

use futures::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use yizhan_proto::v1::{self, link_service_server::LinkService};

use crate::{
    identity::peer::Peer,
    link::{
        links::{self, Identity, Links},
        session::Parts,
    },
    store::FeedStore,
};

pub struct LinkApi<S> {
    pub links: Arc<Links>,
    pub parts: Parts<S>,
    pub stop: CancellationToken,
}

#[tonic::async_trait]
impl<S: FeedStore> LinkService for LinkApi<S> {
    type OpenSessionStream =
        Pin<Box<dyn Stream<Item = Result<v1::OpenSessionResponse, Status>> + Send>>;

    async fn open_session(
        &self,
        request: Request<Streaming<v1::OpenSessionRequest>>,
    ) -> Result<Response<Self::OpenSessionStream>, Status> {
        // Put in by the listener after it has asked the roster; without it nobody gets here.
        let peer = request.extensions().get::<Peer>().cloned();
        let peer = peer.ok_or_else(|| Status::unauthenticated("a certificate is needed"))?;
        let identity =
            Identity { point: peer.point, node: peer.node, spki_sha256: peer.spki_sha256 };
        let frames = links::accept(
            self.links.clone(),
            self.parts.clone(),
            identity,
            request.into_inner(),
            self.stop.clone(),
        );
        let responses = frames.map(|frame| Ok(v1::OpenSessionResponse { frame: Some(frame) }));
        Ok(Response::new(Box::pin(responses)))
    }
}
