//! How this node is doing: what it holds, how fresh that is, who it talks to.

use super::{App, error::Result};
use crate::{
    disk::Room,
    domain::{
        audience::{Audience, FeedId},
        policy::{Operation, Reach},
        time::Time,
    },
    feed::{heads::View, writer::Recovery},
    identity::caller::Caller,
    link::links::LinkView,
    parcel::office::Figures,
    store::{
        CopyState,
        freezes::{self, Heard},
        hand_overs::{self, Stage},
        records,
    },
    wire::entry::quarantined,
};

/// Rows that cannot be read are counted up to here.
const QUARANTINE_COUNTED: usize = 10_000;
/// Points that were hosted here and are named.
const HAND_OVERS: u32 = 1_000;

/// Where a feed stands here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Written here.
    Own,
    /// As new as the newest head, and the home was heard lately.
    Current,
    /// Newer rows are known of and on their way.
    CatchingUp,
    /// The home was not heard for long, or has gone on in another epoch: what is newer is unknown.
    Stale,
    /// The home contradicted itself; the last verified state is served.
    Frozen,
    /// No row of it is shown, for a stable reason.
    Hidden(&'static str),
}

/// One feed, as this node sees it.
pub struct FeedReport {
    pub feed: FeedId,
    pub view: View,
    pub standing: Standing,
    /// Since the home's own newest word on its heads arrived; none for feeds written here, and
    /// where there was no word yet.
    pub head_age_ms: Option<u64>,
    /// Points at which it is frozen, of a feed that is written here.
    pub frozen_at: Vec<Heard>,
}

pub struct NodeReport {
    pub feeds: Vec<FeedReport>,
    /// None: the caller may not know them.
    pub links: Option<Vec<LinkView>>,
    pub parcels: Option<Figures>,
    /// Rows kept and not understood.
    pub quarantine: u64,
    /// None: the caller may not know, or nothing keeps the node from writing.
    pub recovery: Option<Recovery>,
    /// None: the caller may not know, or it was not looked yet.
    pub room: Option<Room>,
    pub is_scarce: bool,
    /// Points that were hosted here and have nodes of their own; none for callers that may not know.
    pub hand_overs: Vec<(String, Stage)>,
}

/// The node's state, as far as the caller may see it.
pub async fn status(app: &App, caller: &Caller) -> Result<NodeReport> {
    let reach = caller.may(Operation::ReadStatus)?;
    let everything = reach == Reach::Everything;
    let now = app.outside.now();
    let mut heard = match everything {
        true => freezes::list_heard(&mut *app.db.reader().await?).await?,
        false => Vec::new(),
    };
    let feeds = app
        .heads
        .all()
        .into_iter()
        .filter(|(feed, _)| everything || is_for_anybody(feed.audience))
        .map(|(feed, view)| {
            let of_feed = heard.extract_if(.., |heard| heard.feed == feed).collect();
            FeedReport { frozen_at: of_feed, ..report(app, feed, view, now) }
        })
        .collect();
    let quarantine = {
        let db = &mut *app.db.reader().await?;
        let word = app.db.dialect.word(&quarantined());
        records::find_positions(db, app.db.dialect, &word, 0, QUARANTINE_COUNTED).await?.len()
    };
    let links = everything.then(|| app.links.all());
    let recovery = Some(app.writer.recovery()).filter(|state| everything && !state.is_over());
    let parcels = match everything {
        true => Some(app.post.figures().await?),
        false => None,
    };
    let hand_overs = match everything {
        true => hand_overs::list(&mut *app.db.reader().await?, HAND_OVERS).await?,
        false => Vec::new(),
    };
    Ok(NodeReport {
        hand_overs,
        feeds,
        links,
        parcels,
        quarantine: quarantine as u64,
        recovery,
        room: app.disk.room().filter(|_| everything),
        is_scarce: app.disk.is_scarce(),
    })
}

fn is_for_anybody(audience: Audience) -> bool {
    match audience {
        Audience::Public | Audience::Roster => true,
        Audience::Sealed | Audience::Home | Audience::Domestic | Audience::Network => false,
    }
}

fn report(app: &App, feed: FeedId, view: View, now: Time) -> FeedReport {
    let own = app.keys.signer(&feed).is_some();
    let heard = app.heads.heard_of(&feed).filter(|_| !own).map(|heard| heard.at);
    let since = |then: Time| u64::try_from(now.millis() - then.millis()).unwrap_or(0);
    // Before the first word, the silence has lasted as long as this node has listened.
    let silent_ms = since(heard.unwrap_or(app.started));
    // What the home has named and nobody brings is missed from when it was named.
    let lacking_ms = view.lacking_since().map_or(0, since);
    let standing = match standing(own, &view, silent_ms.max(lacking_ms) > app.stale_after_ms) {
        Standing::Hidden(_) if !own && view.held.is_none() && !app.keys.may_hold(&feed) => {
            Standing::Hidden("NOT_ENTITLED")
        }
        standing => standing,
    };
    let head_age_ms = heard.map(since);
    FeedReport { feed, view, standing, head_age_ms, frozen_at: Vec::new() }
}

fn standing(own: bool, view: &View, silent: bool) -> Standing {
    let Some(held) = &view.held else {
        return Standing::Hidden(match view {
            View { filling: Some(_), .. } => "NOT_VERIFIED_YET",
            // The home has named it, and no neighbour may hold it or passes it on.
            View { stated: Some(_), head: None, .. } => "NO_ENTITLED_PATH",
            View { .. } => "NOTHING_HELD",
        });
    };
    match held.state {
        _ if view.unchecked.is_some() => Standing::Hidden("NOT_CHECKED_SINCE_RESTORE"),
        _ if view.is_disowned() => Standing::Hidden("KEY_LIMITED"),
        _ if view.is_frozen() => Standing::Frozen,
        CopyState::Filling | CopyState::Indexing => Standing::Hidden("NOT_SEARCHABLE_YET"),
        CopyState::Retired => Standing::Hidden("RETIRED"),
        CopyState::Own | CopyState::Current | CopyState::CatchingUp if own => Standing::Own,
        _ if silent || view.is_of_past_epoch() => Standing::Stale,
        CopyState::CatchingUp => Standing::CatchingUp,
        CopyState::Own | CopyState::Current if view.lags() => Standing::CatchingUp,
        CopyState::Own | CopyState::Current => Standing::Current,
    }
}

#[cfg(test)]
mod tests {
    use yizhan_proto::v1::{FeedState, tombstone::Reason};

    use super::*;
    use crate::{
        app::{
            answers,
            samples::{FOUNDER, code, founder},
        },
        domain::{
            id::RecordId,
            kind::Kind,
            position::{Epoch, Sequence},
        },
        feed::{
            change::Change,
            heads::{Held, Position},
        },
        store::Slot,
    };

    fn holding(state: CopyState) -> View {
        let held = Held {
            slot: Slot(1),
            epoch: Epoch { counter: 1, random: [0; 16] },
            state,
            sequence: Sequence(7),
            live: 7,
            seal: None,
        };
        let mut view = View::default();
        view.held = Some(held);
        view
    }

    #[test]
    fn a_copy_is_current_until_its_home_falls_silent() {
        assert_eq!(standing(false, &holding(CopyState::Current), false), Standing::Current);
        assert_eq!(standing(false, &holding(CopyState::Current), true), Standing::Stale);
        assert_eq!(standing(false, &holding(CopyState::CatchingUp), false), Standing::CatchingUp);
    }

    #[test]
    fn a_copy_of_an_epoch_that_is_over_is_stale_until_the_next_one_is_here() {
        for state in [CopyState::Current, CopyState::CatchingUp] {
            let mut view = holding(state);
            view.stated = Some(Position { epoch: 2, number: 1 });
            assert_eq!(standing(false, &view, false), Standing::Stale);
            assert_eq!(answers::of_view(&view), FeedState::Stale);
            view.contradicted = Some(1);
            assert_eq!(standing(false, &view, false), Standing::Frozen);
        }
        let mut late = holding(CopyState::Current);
        late.stated = Some(Position { epoch: 1, number: 1 });
        assert_eq!(standing(false, &late, false), Standing::CatchingUp);
        assert_eq!(answers::of_view(&late), FeedState::CatchingUp);
    }

    #[test]
    fn what_is_written_here_is_never_stale() {
        assert_eq!(standing(true, &holding(CopyState::Own), true), Standing::Own);
    }

    #[test]
    fn a_frozen_feed_is_frozen_whatever_else_it_is() {
        let mut frozen = holding(CopyState::Current);
        frozen.contradicted = Some(1);
        assert_eq!(standing(false, &frozen, true), Standing::Frozen);
    }

    #[test]
    fn what_was_never_verified_is_hidden() {
        assert_eq!(standing(false, &View::default(), false), Standing::Hidden("NOTHING_HELD"));
        let mut filling = holding(CopyState::Filling);
        filling.filling = filling.held.take();
        assert_eq!(standing(false, &filling, false), Standing::Hidden("NOT_VERIFIED_YET"));
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_kept_and_counted_and_its_feed_goes_on() {
        let node = founder().await;
        let app = &node.app;
        let operator = Caller::Operator { point: code(FOUNDER) };
        let quarantine = async || status(app, &operator).await.unwrap().quarantine;
        assert_eq!(quarantine().await, 0);
        let feed = FeedId::new(code(FOUNDER), Audience::Public);
        let put = async |feed: &FeedId, kind: Kind, id: u8| {
            let payload = b"\xff of another version".to_vec();
            let change = Change::new().put(feed.clone(), kind, RecordId([id; 16]), payload);
            app.writer.commit(change).await.unwrap();
        };
        put(&feed, Kind(9_999), 1).await;
        put(&feed, Kind::EVENT, 2).await;
        assert_eq!(quarantine().await, 2);
        put(&app.keys.roster_feed(), Kind::ROSTER_POINT, 3).await;
        assert_eq!(quarantine().await, 3, "of the roster too");
        put(&app.keys.roster_feed(), Kind(9_999), 4).await;
        assert_eq!(quarantine().await, 4);
        assert!(app.keys.roster().get(&code(FOUNDER)).is_some(), "the rest of it counts");

        app.writer
            .commit(Change::new().remove(feed, RecordId([2; 16]), Reason::Withdrawn))
            .await
            .unwrap();
        assert_eq!(quarantine().await, 3);
    }

    #[test]
    fn what_leaves_its_home_only_by_consent_is_not_for_anybody() {
        assert!(is_for_anybody(Audience::Public) && is_for_anybody(Audience::Roster));
        for audience in [Audience::Sealed, Audience::Home, Audience::Domestic, Audience::Network] {
            assert!(!is_for_anybody(audience));
        }
    }
}
