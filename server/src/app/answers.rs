//! What an answer rests on, home by home: "unknown since 14:02" is an answer, a false "0" is not.

use yizhan_proto::v1::{self, FeedState};

use super::{App, sight::Sight};
use crate::{
    domain::{
        audience::{Audience, FeedId},
        id::PointCode,
        time::Time,
    },
    feed::heads::View,
    store::CopyState,
    wire::value::time_message,
};

/// The state of every home whose feeds of these audiences a caller asked about.
pub fn points(app: &App, sight: &Sight, audiences: &[Audience]) -> Vec<v1::PointState> {
    let roster = app.keys.roster();
    let homes = roster.points().filter(|entry| entry.revoked.is_none());
    homes.map(|entry| point(app, sight, &entry.code, audiences)).collect()
}

/// The state of one home. It is as good as the worst of the feeds that the answer needs.
pub fn point(app: &App, sight: &Sight, home: &PointCode, audiences: &[Audience]) -> v1::PointState {
    let now = app.outside.now();
    let is_ours = app.keys.is_home(home);
    let mut state = match is_ours {
        // Own rows that neighbours or a former host still have are missing here: no false "0".
        true if !app.writer.recovery().is_taken_back() => FeedState::Hidden,
        true => FeedState::Own,
        false => FeedState::Current,
    };
    // As old as the oldest of what the answer rests on.
    let mut newest: Option<Time> = None;
    let mut rests_on: Option<(u64, Time)> = None;
    for audience in audiences {
        let feed = FeedId::new(home.clone(), *audience);
        if !sight.allows(&feed) || !app.keys.may_hold(&feed) {
            // Domestic rows are for some jurisdictions only; network rows are missed.
            if *audience == Audience::Network {
                state = worse(state, FeedState::Hidden);
            }
            continue;
        }
        // A feed that nobody has sealed yet has no rows to lack.
        let view = app.heads.find(&feed).unwrap_or_default();
        let is_known = view.head.is_some() || view.stated.is_some();
        if !is_known && view.held.is_none() && view.filling.is_none() {
            continue;
        }
        let heard = app.heads.heard_of(&feed).map(|heard| heard.at);
        let sealed = view.head.as_ref().map(|head| head.statement().sealed_at);
        let known = heard.max(sealed);
        newest = newest.map_or(known, |newest| known.map(|known| known.min(newest)));
        state = worse(state, of_view(&view));
        let lacking = view.lacking_since().filter(|_| !is_ours);
        if lacking.is_some_and(|at| now.millis() - at.millis() > app.stale_after_ms as i64) {
            state = worse(state, FeedState::Stale);
        }
        let held = view.readable();
        if let (None, Some(seal)) = (rests_on, held.and_then(|held| held.seal.as_ref())) {
            rests_on = Some((seal.statement().sequence.0, seal.statement().sealed_at));
        }
    }
    let newest = newest.or_else(|| app.heads.heard(home).map(|heard| heard.at));
    let age_ms = newest.map(|at| (now.millis() - at.millis()).max(0) as u64);
    if !is_ours {
        state = match age_ms {
            None => FeedState::Hidden,
            Some(age_ms) if age_ms > app.stale_after_ms => worse(state, FeedState::Stale),
            Some(_) => state,
        };
    }
    v1::PointState {
        point: home.to_string(),
        sequence: rests_on.map_or(0, |(sequence, _)| sequence),
        sealed_time: rests_on.map(|(_, sealed_at)| time_message(sealed_at)),
        head_age_ms: if is_ours { 0 } else { age_ms.unwrap_or(0) },
        answered: state != FeedState::Hidden,
        state: state.into(),
    }
}

/// Where the copy of one feed stands, its age aside.
pub fn of_view(view: &View) -> FeedState {
    match view.held.as_ref().map(|held| held.state) {
        Some(_) if view.unchecked.is_some() || view.is_disowned() => FeedState::Hidden,
        Some(_) if view.is_frozen() => FeedState::Frozen,
        Some(CopyState::Own) => FeedState::Own,
        Some(CopyState::CatchingUp) => FeedState::CatchingUp,
        Some(CopyState::Current) if view.lags() => FeedState::CatchingUp,
        Some(CopyState::Current) => FeedState::Current,
        Some(CopyState::Filling | CopyState::Indexing | CopyState::Retired) | None => {
            FeedState::Hidden
        }
    }
}

/// The states are numbered from good to bad.
fn worse(a: FeedState, b: FeedState) -> FeedState {
    if a as i32 >= b as i32 { a } else { b }
}
