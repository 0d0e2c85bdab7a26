//! Points as the roster has them.

use serde_json::{Value, json};
use yizhan_proto::v1;

use super::time;
use crate::answer::Column;

pub const COLUMNS: &[Column] = &["point", "name", "parent", "host", "state", "revoked_at"];

pub fn peer(peer: &v1::Peer) -> Value {
    let revoked_at = time(peer.revoke_time.as_ref());
    json!({
        "point": peer.point,
        "name": peer.name,
        "parent": peer.parent,
        "host": peer.host,
        "nodes": peer.nodes,
        "state": if revoked_at.is_some() { "revoked" } else { "admitted" },
        "revoked_at": revoked_at,
        "reason": peer.revoke_reason,
    })
}
