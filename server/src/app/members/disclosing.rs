//! Cards in the same change as what they rest on.

use prost::Message;
use yizhan_proto::v1::{self, tombstone::Reason};

use crate::{
    domain::{
        audience::{Audience, FeedId},
        disclosure::Disclosed,
        id::{PointCode, RecordId},
        kind::Kind,
    },
    feed::change::Change,
};

/// Adds to a change that exactly these cards of a member exist, and no others. `reason` is told of
/// those that go.
pub fn disclose(
    mut change: Change,
    home: &PointCode,
    id: RecordId,
    disclosed: Disclosed,
    reason: Reason,
) -> Change {
    let feed = |audience| FeedId::new(home.clone(), audience);
    let (network, domestic) = (feed(Audience::Network), feed(Audience::Domestic));
    change = match disclosed.card {
        Some((audience, card)) => {
            let payload = v1::Card::from(card).encode_to_vec();
            match audience {
                Audience::Domestic => change.move_to(network, domestic, Kind::CARD, id, payload),
                _ => change.move_to(domestic, network, Kind::CARD, id, payload),
            }
        }
        None => change.remove(network, id, reason).remove(domestic, id, reason),
    };
    match disclosed.public_card {
        Some(card) => {
            let payload = v1::PublicCard::from(card).encode_to_vec();
            change.put(feed(Audience::Public), Kind::PUBLIC_CARD, id, payload)
        }
        None => change.remove(feed(Audience::Public), id, reason),
    }
}
