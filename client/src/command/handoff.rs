//! `yizhan desk handoff` and what follows it: passing a request to another point.

use yizhan_client::{
    answer::Answer,
    channel::{Node, once, repeating},
    document::handoff::{COLUMNS, document},
    error::{Result, present},
    users::needs_approval,
};
use yizhan_proto::v1::{
    AcceptHandoffRequest, DeclineHandoffRequest, HandoffView, ListHandoffsRequest,
    OfferHandoffRequest, RecallHandoffRequest,
};

pub async fn offer(node: &Node, request: OfferHandoffRequest) -> Result<Answer> {
    let offered = once(node.handoffs().offer_handoff(request)).await?;
    if !offered.approval.is_empty() {
        return Ok(needs_approval(offered.approval));
    }
    one(offered.handoff)
}

pub async fn accept(node: &Node, id: String) -> Result<Answer> {
    one(once(node.handoffs().accept_handoff(AcceptHandoffRequest { id })).await?.handoff)
}

pub async fn decline(
    node: &Node,
    id: String,
    reason: String,
    suggested_point: String,
) -> Result<Answer> {
    let request = DeclineHandoffRequest { id, reason, suggested_point };
    one(once(node.handoffs().decline_handoff(request)).await?.handoff)
}

pub async fn recall(node: &Node, id: String) -> Result<Answer> {
    one(once(node.handoffs().recall_handoff(RecallHandoffRequest { id })).await?.handoff)
}

pub async fn list(node: &Node, all: bool) -> Result<Answer> {
    let items = fetch(node, all).await?.iter().map(document).collect();
    Ok(Answer::list(items, String::new(), COLUMNS))
}

pub async fn fetch(node: &Node, all: bool) -> Result<Vec<HandoffView>> {
    let listed = repeating(|| {
        let mut handoffs = node.handoffs();
        async move { handoffs.list_handoffs(ListHandoffsRequest { all }).await }
    });
    Ok(listed.await?.handoffs)
}

fn one(handoff: Option<HandoffView>) -> Result<Answer> {
    Ok(Answer::one(document(&present(handoff)?)))
}
