//! `yizhan member move` and what follows it: another point becomes a member's home.

use yizhan_client::{
    answer::Answer,
    channel::{Node, once, repeating},
    document::member_move::{COLUMNS, document},
    error::{Result, present},
};
use yizhan_proto::v1::{
    AcceptMoveRequest, DeclineMoveRequest, ListMovesRequest, MoveMemberRequest, MoveView,
    RecallMoveRequest,
};

pub async fn start(node: &Node, request: MoveMemberRequest) -> Result<Answer> {
    one(once(node.moves().move_member(request)).await?.r#move)
}

pub async fn accept(node: &Node, id: String) -> Result<Answer> {
    one(once(node.moves().accept_move(AcceptMoveRequest { id })).await?.r#move)
}

pub async fn decline(node: &Node, id: String, reason: String) -> Result<Answer> {
    one(once(node.moves().decline_move(DeclineMoveRequest { id, reason })).await?.r#move)
}

pub async fn recall(node: &Node, id: String) -> Result<Answer> {
    one(once(node.moves().recall_move(RecallMoveRequest { id })).await?.r#move)
}

pub async fn list(node: &Node, all: bool) -> Result<Answer> {
    let listed = repeating(|| {
        let mut moves = node.moves();
        async move { moves.list_moves(ListMovesRequest { all }).await }
    });
    let items = listed.await?.moves.iter().map(document).collect();
    Ok(Answer::list(items, String::new(), COLUMNS))
}

fn one(view: Option<MoveView>) -> Result<Answer> {
    Ok(Answer::one(document(&present(view)?)))
}
