//! Agreeing to what somebody else has asked for: the same for `yizhan approval` over the network and
//! `yizhand approval` on the node's local socket.

use clap::Args;
use yizhan_proto::v1::{GiveApprovalRequest, ListApprovalsRequest};

use crate::{
    answer::Answer,
    channel::{Node, repeating},
    document::approval::{COLUMNS, approval},
    error::{Error, Result, present},
    pages::{Page, Paging},
};

#[derive(Args)]
pub struct List {
    #[command(flatten)]
    paging: Paging,
}

#[derive(Args)]
pub struct Give {
    /// Id of the approval
    id: String,
}

pub async fn list(node: &Node, list: List) -> Result<Answer> {
    let fetch = async |page_size, page_token: String| {
        let request = ListApprovalsRequest { page_size, page_token };
        let answer = repeating(|| {
            let (mut approvals, request) = (node.approvals(), request.clone());
            async move { approvals.list_approvals(request).await }
        });
        let answer = answer.await?;
        Ok(Page { items: answer.items, next_page_token: answer.next_page_token, rest: () })
    };
    let page = list.paging.fetch(fetch).await?;
    Ok(Answer::list(page.items.iter().map(approval).collect(), page.next_page_token, COLUMNS))
}

pub async fn give(node: &Node, give: Give) -> Result<Answer> {
    let given = repeating(|| {
        let (mut approvals, id) = (node.approvals(), give.id.clone());
        async move { approvals.give_approval(GiveApprovalRequest { id }).await }
    });
    let given = present(given.await?.approval)?;
    let shown = approval(&given);
    if shown["state"] == "failed" {
        let reason = given.outcome;
        return Err(Error::failed(&reason, format!("agreed, and then refused: {reason}"))
            .advice("ask again once that is settled"));
    }
    Ok(Answer::one(shown))
}
