//! The status of a node.

use serde_json::{Value, json};
use yizhan_proto::v1::{
    DiskStatus, FeedStatus, FrozenAt, GetStatusResponse, HandOverStatus, LinkStatus,
    RecoveryStatus, hand_over_status, link_status,
};

use super::{answers::feed_state, time, word};
use crate::answer::{Answer, Column};

const FEED_COLUMNS: &[Column] =
    &["home", "audience", "epoch", "sequence", "live", "head_sequence", "head_age_ms", "state"];
const LINK_COLUMNS: &[Column] = &["peer", "state", "since", "last_contact_ms", "rtt_ms", "reason"];

/// The status as a command answers it: its feeds, and below them its links.
pub fn answer(said: &GetStatusResponse) -> Answer {
    Answer::shaped(status(said), "feeds", FEED_COLUMNS).and_rows("links", LINK_COLUMNS)
}

fn status(status: &GetStatusResponse) -> Value {
    // A node that does not count parcels says nothing; a zero would be a claim.
    let parcels = status.parcels.as_ref();
    json!({
        "point": status.point,
        "version": status.version,
        "role": status.role,
        "started_at": time(status.start_time.as_ref()),
        "feeds": status.feeds.iter().map(feed).collect::<Vec<_>>(),
        "links": status.links.iter().map(link).collect::<Vec<_>>(),
        "parcels": {
            "outbox": parcels.map(|parcels| parcels.outbox),
            "inbox": parcels.map(|parcels| parcels.inbox),
            "oldest_ms": parcels.and_then(|parcels| parcels.oldest_ms),
        },
        "quarantine": status.quarantine,
        "recovery": recovery(status.recovery.as_ref()),
        "disk": status.disk.as_ref().map(disk),
        "hand_overs": status.hand_overs.iter().map(hand_over).collect::<Vec<_>>(),
    })
}

/// A point that was hosted there and has a node of its own.
fn hand_over(hand_over: &HandOverStatus) -> Value {
    json!({
        "home": hand_over.home,
        "state": word(hand_over.state, hand_over_status::State::as_str_name, "STATE_"),
    })
}

fn disk(disk: &DiskStatus) -> Value {
    json!({
        "free_bytes": disk.free_bytes,
        "total_bytes": disk.total_bytes,
        "scarce": disk.scarce,
    })
}

/// Always there, so that a script can wait for the end of it.
fn recovery(recovery: Option<&RecoveryStatus>) -> Value {
    let none = RecoveryStatus::default();
    let recovery = recovery.unwrap_or(&none);
    json!({
        "feeds": recovery.feeds,
        "unmarked": recovery.unmarked,
        "reconciling": recovery.reconciling,
    })
}

fn feed(feed: &FeedStatus) -> Value {
    json!({
        "home": feed.home,
        "audience": feed.audience,
        "epoch": feed.epoch.as_ref().map(|epoch| epoch.counter),
        "epoch_random": feed.epoch.as_ref().map(|epoch| hex::encode(&epoch.random)),
        "sequence": feed.sequence,
        "live": feed.live,
        "digest": hex::encode(&feed.digest),
        "sealed_at": time(feed.sealed_time.as_ref()),
        "head_sequence": feed.head_sequence,
        "head_age_ms": feed.head_age_ms,
        "state": feed_state(feed.state),
        "reason": feed.reason,
        "frozen_at": feed.frozen_at.iter().map(frozen).collect::<Vec<_>>(),
    })
}

fn frozen(frozen: &FrozenAt) -> Value {
    json!({
        "point": frozen.point,
        "reason": frozen.reason,
        "epoch": frozen.epoch_counter,
        "number": frozen.number,
        "heard_at": time(frozen.heard_time.as_ref()),
    })
}

fn link(link: &LinkStatus) -> Value {
    json!({
        "peer": link.peer,
        "state": word(link.state, link_status::State::as_str_name, "STATE_"),
        "since": time(link.since_time.as_ref()),
        "last_contact_ms": link.last_contact_ms,
        "rtt_ms": link.rtt_ms,
        "reason": link.reason,
    })
}
