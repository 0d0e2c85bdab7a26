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
        // By this node's clock alone: what a home writes into its seals is its own clock's, which may be
        // years ahead. Before its first word, it has been silent for as long as this node has listened.
        let heard = app.heads.heard_of(&feed).map_or(app.started, |heard| heard.at);
        newest = Some(newest.map_or(heard, |newest| newest.min(heard)));
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
        Some(CopyState::CatchingUp | CopyState::Current) if view.is_of_past_epoch() => {
            FeedState::Stale
        }
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

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    };

    use ed25519_dalek::SigningKey;

    use super::*;
    use crate::{
        app::samples::{FOUNDER, admin, code, founder_with},
        domain::{
            policy::Operation,
            position::{Epoch, Sequence},
        },
        feed::{
            heads::{Heard, Held, Position},
            seal::{Seal, Statement},
        },
        notify::Ways,
        outside::Outside,
        store::Slot,
    };

    const MINUTE_US: i64 = 60_000_000;
    const TEN_YEARS_US: i64 = 10 * 365 * 24 * 60 * MINUTE_US;

    #[tokio::test]
    async fn a_home_whose_clock_is_ahead_is_stale_once_it_falls_silent() {
        let clock = Arc::new(AtomicI64::new(Outside::real().now().0));
        let now = {
            let clock = clock.clone();
            move || Time(clock.load(Ordering::Relaxed))
        };
        let node =
            founder_with(Outside::new(now, |bytes| rand::fill(bytes)), Ways::default()).await;
        node.enrol("GB-LON").await;
        let app = &node.app;
        let feed = FeedId::new(code("GB-LON"), Audience::Network);
        let epoch = Epoch { counter: 1, random: [1; 16] };
        let statement = Statement {
            network: "gd".into(),
            feed: feed.clone(),
            epoch,
            number: 1,
            sequence: Sequence(1),
            live: 1,
            digest: [1; 32],
            previous: None,
            sealed_at: Time(app.outside.now().0 + TEN_YEARS_US),
            successor: None,
        };
        let seal = Arc::new(Seal::sign(statement, &SigningKey::from_bytes(&[1; 32])));
        app.heads.update(&feed, |view| {
            view.held = Some(Held {
                slot: Slot(9),
                epoch,
                state: CopyState::Current,
                sequence: Sequence(1),
                live: 1,
                seal: Some(seal.clone()),
            });
        });
        app.heads.raise(&seal);
        let sight =
            Sight::of(app, &admin(FOUNDER), Operation::ReadReport, Operation::ReadReport).unwrap();
        let seen = || point(app, &sight, &feed.home, &[Audience::Network]);
        let pass = |minutes: i64| clock.fetch_add(minutes * MINUTE_US, Ordering::Relaxed);

        pass(10);
        let before = seen();
        assert_eq!(before.state(), FeedState::Current, "listened to for ten minutes");
        assert_eq!(before.head_age_ms, 600_000, "since this node began to listen");
        let heard = Heard {
            number: 1,
            at: app.outside.now(),
            audience: Some(Audience::Network),
            heads: vec![(Audience::Network, Position { epoch: 1, number: 1 })],
            statement: Arc::default(),
        };
        app.heads.hear(&feed.home, heard, |_| true);
        pass(29);
        assert_eq!((seen().state(), seen().head_age_ms), (FeedState::Current, 29 * 60_000));
        pass(2);
        assert_eq!((seen().state(), seen().head_age_ms), (FeedState::Stale, 31 * 60_000));
    }
}
