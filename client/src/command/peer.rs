//! `yizhan point admit | revoke | peers`.

use clap::Args;
use serde_json::json;
use yizhan_client::{
    answer::Answer,
    channel::{Node, once, repeating},
    document::{
        duration,
        peer::{COLUMNS, peer},
        time,
    },
    error::{Error, Result},
    pages::{Page, Paging},
    users::needs_approval,
};
use yizhan_proto::v1::{AdmitPeerRequest, ListPeersRequest, RevokePeerRequest};

#[derive(Args)]
pub struct Admit {
    /// Code of the point that joins, or of an existing one that gets another node
    code: String,
    /// How long the token can be used: 90s, 10m, 2h; at most 24h
    #[arg(long, default_value = "10m")]
    ttl: String,
}

#[derive(Args)]
pub struct Revoke {
    /// Code of the point
    code: String,
    /// Why, for people
    #[arg(long, default_value = "", value_name = "TEXT")]
    reason: String,
}

#[derive(Args)]
pub struct Peers {
    #[command(flatten)]
    paging: Paging,
}

impl Admit {
    pub async fn run(self, node: &Node) -> Result<Answer> {
        let ttl = Some(duration(&self.ttl, "ttl")?);
        let request = AdmitPeerRequest { point: self.code, ttl };
        let admitted = once(node.peers().admit_peer(request)).await?;
        if !admitted.approval.is_empty() {
            return Ok(needs_approval(admitted.approval));
        }
        let expires_at = time(admitted.expire_time.as_ref())
            .ok_or_else(|| Error::failed("ANSWER_INCOMPLETE", "the token has no end"))?;
        let (token, point) = (admitted.token, admitted.point);
        Ok(Answer::one(json!({"token": token, "point": point, "expires_at": expires_at})))
    }
}

impl Revoke {
    pub async fn run(self, node: &Node) -> Result<Answer> {
        let request = RevokePeerRequest { point: self.code, reason: self.reason };
        let revoked = once(node.peers().revoke_peer(request)).await?;
        if !revoked.approval.is_empty() {
            return Ok(needs_approval(revoked.approval));
        }
        let revoked_at = time(revoked.revoke_time.as_ref());
        Ok(Answer::one(json!({"point": revoked.point, "revoked_at": revoked_at})))
    }
}

impl Peers {
    pub async fn run(self, node: &Node) -> Result<Answer> {
        let fetch = async |page_size, page_token: String| {
            let request = ListPeersRequest { page_size, page_token };
            let answer = repeating(|| {
                let (mut peers, request) = (node.peers(), request.clone());
                async move { peers.list_peers(request).await }
            });
            let answer = answer.await?;
            Ok(Page { items: answer.items, next_page_token: answer.next_page_token, rest: () })
        };
        let page = self.paging.fetch(fetch).await?;
        Ok(Answer::list(page.items.iter().map(peer).collect(), page.next_page_token, COLUMNS))
    }
}
