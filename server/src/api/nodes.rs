//! The node service.

use std::time::Duration;

use tonic::{Request, Response, Status};
use yizhan_proto::v1::{
    DiskStatus, FeedState, FeedStatus, FrozenAt, GetStatusRequest, GetStatusResponse,
    HandOverStatus, LinkStatus, ParcelStatus, RecoveryStatus, hand_over_status, link_status,
    node_service_server::NodeService,
};

use crate::{
    app::{
        App,
        nodes::{self, FeedReport, Standing},
    },
    feed::writer::Recovery,
    identity::caller::Caller,
    link::links::{LinkState, LinkView},
    parcel::office::Figures,
    store::{freezes::Heard, hand_overs::Stage},
    wire::value::time_message,
};

pub struct NodeApi {
    pub app: App,
}

#[tonic::async_trait]
impl NodeService for NodeApi {
    async fn get_status(
        &self,
        request: Request<GetStatusRequest>,
    ) -> Result<Response<GetStatusResponse>, Status> {
        let report = nodes::status(&self.app, &Caller::of(&request)).await?;
        let links = report.links.unwrap_or_default();
        Ok(Response::new(GetStatusResponse {
            point: self.app.keys.point.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            role: if self.app.leading.is_leader() { "leader" } else { "follower" }.to_owned(),
            start_time: Some(time_message(self.app.started)),
            feeds: report.feeds.into_iter().map(feed).collect(),
            links: links.into_iter().map(link).collect(),
            parcels: report.parcels.map(parcels),
            quarantine: report.quarantine,
            recovery: report.recovery.map(recovery),
            disk: report.room.map(|room| DiskStatus {
                free_bytes: room.free,
                total_bytes: room.total,
                scarce: report.is_scarce,
            }),
            hand_overs: report.hand_overs.into_iter().map(hand_over).collect(),
        }))
    }
}

fn hand_over((home, stage): (String, Stage)) -> HandOverStatus {
    let state = match stage {
        Stage::Sending => hand_over_status::State::Sending,
        Stage::Sent => hand_over_status::State::Sent,
        Stage::Settled => hand_over_status::State::Clearing,
        Stage::Cleared => hand_over_status::State::Cleared,
    };
    HandOverStatus { home, state: state.into() }
}

fn parcels(figures: Figures) -> ParcelStatus {
    ParcelStatus {
        outbox: figures.outbox,
        inbox: figures.inbox,
        oldest_ms: (figures.outbox > 0).then_some(figures.oldest_ms.max(0) as u64),
    }
}

fn feed(report: FeedReport) -> FeedStatus {
    let FeedReport { feed, view, standing, head_age_ms, frozen_at } = report;
    // A copy that nobody reads yet is shown by how far it has come.
    let held = view.held.as_ref().or(view.filling.as_ref());
    let sealed = held.and_then(|held| held.seal.as_ref()).map(|seal| seal.statement());
    let (state, reason) = match standing {
        Standing::Own => (FeedState::Own, ""),
        Standing::Current => (FeedState::Current, ""),
        Standing::CatchingUp => (FeedState::CatchingUp, ""),
        Standing::Stale => (FeedState::Stale, ""),
        Standing::Frozen => (FeedState::Frozen, "EQUIVOCATION"),
        Standing::Hidden(reason) => (FeedState::Hidden, reason),
    };
    FeedStatus {
        home: feed.home.to_string(),
        audience: feed.audience.name().to_owned(),
        epoch: held.map(|held| held.epoch.into()),
        sequence: held.map_or(0, |held| held.sequence.0),
        live: held.map_or(0, |held| held.live),
        digest: sealed.map(|sealed| sealed.digest.to_vec()).unwrap_or_default(),
        sealed_time: sealed.map(|sealed| time_message(sealed.sealed_at)),
        head_sequence: view.head.as_ref().map(|head| head.statement().sequence.0),
        head_age_ms,
        state: state.into(),
        reason: reason.to_owned(),
        frozen_at: frozen_at.into_iter().map(frozen).collect(),
    }
}

fn frozen(heard: Heard) -> FrozenAt {
    FrozenAt {
        point: heard.point.to_string(),
        reason: if heard.proved { "EQUIVOCATION" } else { "DOES_NOT_ADD_UP" }.to_owned(),
        epoch_counter: heard.epoch_counter,
        number: heard.number,
        heard_time: Some(time_message(heard.at)),
    }
}

fn link(view: LinkView) -> LinkStatus {
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let state = match view.state {
        LinkState::Connected => link_status::State::Connected,
        LinkState::Connecting => link_status::State::Connecting,
        LinkState::Down => link_status::State::Down,
    };
    LinkStatus {
        peer: view.peer.to_string(),
        state: state.into(),
        since_time: Some(time_message(view.since)),
        last_contact_ms: view.last_contact.map(ms),
        rtt_ms: view.round_trip.map(ms),
        reason: view.reason,
    }
}

fn recovery(recovery: Recovery) -> RecoveryStatus {
    RecoveryStatus {
        feeds: recovery.feeds.keys().map(ToString::to_string).collect(),
        unmarked: recovery.unmarked,
        reconciling: recovery.reconciling,
    }
}
