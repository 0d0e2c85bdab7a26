//! The control service, on the node's local socket: whoever may open that is the node's operator.

use std::{collections::BTreeSet, path::PathBuf, pin::Pin, time::Duration};

use futures::Stream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use yizhan_proto::v1::{self, control_service_server::ControlService, verify_response::Kind};

use crate::{
    app::{App, audit, error::Error, network, recovery},
    backup,
    domain::{
        audience::{Audience, FeedId},
        id::PointCode,
        position::Epoch,
        region,
        roster::{Limit, Position},
        time::Time,
    },
    feed::verify,
    identity::{caller::Caller, spki::Fingerprint, token::TTL_DEFAULT},
    store::{CopyState, FeedStore},
    wire::{roster::public_host, value::time_message},
};

/// A copy that is written while it is checked is checked again, so often.
const TRIES: usize = 5;
/// Between two words on the progress of a backup.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

pub struct ControlApi {
    pub app: App,
    pub authority: Fingerprint,
    pub backup: backup::Source,
}

impl ControlApi {
    fn operator(&self) -> Caller {
        Caller::Operator { point: self.app.keys.point.clone() }
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl ControlService for ControlApi {
    type VerifyStream = Answers<v1::VerifyResponse>;
    type BackUpStream = Answers<v1::BackUpResponse>;

    async fn create_token(
        &self,
        request: Request<v1::CreateTokenRequest>,
    ) -> Result<Response<v1::CreateTokenResponse>, Status> {
        let request = request.into_inner();
        let point: PointCode = request.point.parse().map_err(Error::from)?;
        // An older network may have points that today would be refused.
        if self.app.keys.roster().get(&point).is_none() {
            region::place_of_point(&point).map_err(Error::from)?;
        }
        let ttl = match request.ttl {
            None => TTL_DEFAULT,
            Some(ttl) => Duration::try_from(ttl).map_err(|_| {
                Error::from(crate::domain::text::Invalid::new("ttl", "out_of_range"))
            })?,
        };
        let public_host = match request.public_host.as_str() {
            "" => None,
            host => Some(public_host(host).map_err(Error::from)?),
        };
        let (app, operator, authority) = (&self.app, self.operator(), self.authority);
        let (token, expires) =
            network::create_token(app, &operator, authority, point.clone(), public_host, ttl)
                .await?;
        Ok(Response::new(v1::CreateTokenResponse {
            token,
            point: point.to_string(),
            expire_time: Some(time_message(expires)),
        }))
    }

    async fn revoke_point(
        &self,
        request: Request<v1::RevokePointRequest>,
    ) -> Result<Response<v1::RevokePointResponse>, Status> {
        let request = request.into_inner();
        let point: PointCode = request.point.parse().map_err(Error::from)?;
        let revoked: Time =
            network::revoke_point(&self.app, &self.operator(), point.clone(), &request.reason)
                .await?;
        Ok(Response::new(v1::RevokePointResponse {
            point: point.to_string(),
            revoke_time: Some(time_message(revoked)),
        }))
    }

    async fn declare_basis(
        &self,
        request: Request<v1::DeclareBasisRequest>,
    ) -> Result<Response<v1::DeclareBasisResponse>, Status> {
        let request = request.into_inner();
        let declared = network::declare_basis(&self.app, &self.operator(), request).await?;
        Ok(Response::new(declared))
    }

    async fn approve_epoch(
        &self,
        request: Request<v1::ApproveEpochRequest>,
    ) -> Result<Response<v1::ApproveEpochResponse>, Status> {
        let request = request.into_inner();
        let feed: FeedId = request.feed.parse().map_err(Error::from)?;
        let epoch: Epoch = request.epoch.parse().map_err(Error::from)?;
        network::approve_epoch(&self.app, &self.operator(), feed, epoch).await?;
        let v1::ApproveEpochRequest { feed, epoch } = request;
        Ok(Response::new(v1::ApproveEpochResponse { feed, epoch }))
    }

    async fn limit_seal_key(
        &self,
        request: Request<v1::LimitSealKeyRequest>,
    ) -> Result<Response<v1::LimitSealKeyResponse>, Status> {
        let request = request.into_inner();
        let point: PointCode = request.point.parse().map_err(Error::from)?;
        let mut limit = Limit::new();
        for last in &request.last_good {
            let audience = Audience::parse(&last.audience, "audience").map_err(Error::from)?;
            limit.insert(audience, Position { epoch: last.epoch, sequence: last.sequence });
        }
        network::limit_seal_key(&self.app, &self.operator(), point, limit).await?;
        Ok(Response::new(v1::LimitSealKeyResponse { point: request.point }))
    }

    async fn verify(
        &self,
        _request: Request<v1::VerifyRequest>,
    ) -> Result<Response<Self::VerifyStream>, Status> {
        let (sender, answers) = mpsc::channel(16);
        tokio::spawn(check_everything(self.app.clone(), sender));
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }

    async fn back_up(
        &self,
        request: Request<v1::BackUpRequest>,
    ) -> Result<Response<Self::BackUpStream>, Status> {
        let (sender, answers) = mpsc::channel(16);
        let file = request.into_inner().file.into();
        tokio::spawn(back_up(self.backup.clone(), file, self.app.outside.now(), sender));
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }

    async fn recover(
        &self,
        request: Request<v1::RecoverRequest>,
    ) -> Result<Response<v1::RecoverResponse>, Status> {
        let named = request.into_inner().feeds.into_iter();
        let named: BTreeSet<FeedId> =
            named.map(|feed| feed.parse()).collect::<Result<_, _>>().map_err(Error::from)?;
        let feeds = match named.is_empty() {
            true => recovery::go_on(&self.app, &self.operator()).await?,
            false => recovery::next_epochs(&self.app, &self.operator(), named).await?,
        };
        let feed = |(feed, epoch): (FeedId, Epoch)| v1::RecoveredFeed {
            feed: feed.to_string(),
            epoch: Some(epoch.into()),
            epoch_name: epoch.to_string(),
        };
        Ok(Response::new(v1::RecoverResponse { feeds: feeds.into_iter().map(feed).collect() }))
    }
}

async fn back_up(
    backup: backup::Source,
    file: PathBuf,
    now: Time,
    answers: mpsc::Sender<Result<v1::BackUpResponse, Status>>,
) {
    use v1::back_up_response::Kind;
    let answer = |kind| Ok(v1::BackUpResponse { kind: Some(kind) });
    let (steps, mut taken_steps) = mpsc::channel::<backup::Step>(1);
    let taking = backup.take(file, now, steps);
    let telling = async {
        let mut every = tokio::time::interval(PROGRESS_EVERY);
        while let Some(backup::Step { subject, done, total }) = taken_steps.recv().await {
            let progress = v1::Progress { subject: subject.to_owned(), done, total };
            let _ = answers.send(answer(Kind::Progress(progress))).await;
            every.tick().await;
        }
    };
    let (taken, ()) = tokio::join!(taking, telling);
    let last = match taken {
        Ok(taken) => answer(Kind::Summary(v1::BackUpSummary {
            file: taken.file.display().to_string(),
            size_bytes: taken.size_bytes,
            snapshot_time: Some(time_message(taken.snapshot)),
        })),
        Err(backup::BackupError::Copy(error)) => Err(Status::from(Error::Storage(error))),
        Err(error) => Err(Status::from(Error::Precondition {
            reason: error.reason(),
            message: with_sources(&error),
        })),
    };
    let _ = answers.send(last).await;
}

/// An error and everything behind it: the operator may know what the disk said.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(behind) = source {
        message.push_str(&format!(": {behind}"));
        source = behind.source();
    }
    message
}

type Findings = mpsc::Sender<Result<v1::VerifyResponse, Status>>;

async fn check_everything(app: App, answers: Findings) {
    let answer = |kind| Ok(v1::VerifyResponse { kind: Some(kind) });
    let result = async {
        let copies = app.db.copies().await?;
        let total = copies.iter().filter(|copy| copy.state != CopyState::Retired).count() as u64;
        let (mut rows, mut findings, mut done) = (0, 0, 0);
        for copy in copies.iter().filter(|copy| copy.state != CopyState::Retired) {
            let (faults, counted) = check_settled(&app, copy.clone()).await?;
            rows += counted;
            done += 1;
            for fault in faults {
                findings += 1;
                let finding = v1::Finding {
                    reason: fault.reason.to_owned(),
                    feed: fault.feed.to_string(),
                    epoch: Some(copy.epoch.into()),
                    record: Vec::new(),
                    detail: fault.detail,
                };
                let _ = answers.send(answer(Kind::Finding(finding))).await;
            }
            let progress = v1::Progress { subject: copy.feed.to_string(), done, total };
            let _ = answers.send(answer(Kind::Progress(progress))).await;
        }
        for fault in app.db.integrity_faults().await? {
            findings += 1;
            let finding = v1::Finding {
                reason: "DATABASE_DAMAGED".to_owned(),
                detail: fault,
                ..Default::default()
            };
            let _ = answers.send(answer(Kind::Finding(finding))).await;
        }
        let audit = audit::verify_all(&app).await?;
        rows += audit.lines;
        findings += audit.faults;
        for found in audit.findings {
            let finding = v1::Finding {
                reason: found.reason.to_owned(),
                detail: format!("audit line {}: {}", found.number, found.detail),
                ..Default::default()
            };
            let _ = answers.send(answer(Kind::Finding(finding))).await;
        }
        let summary = v1::VerifySummary { feeds: total, rows, findings };
        let _ = answers.send(answer(Kind::Summary(summary))).await;
        Ok::<(), crate::store::StoreError>(())
    };
    if let Err(error) = result.await {
        let _ = answers.send(Err(Status::from(Error::Storage(error)))).await;
    }
}

/// Checks a copy in one of the states it passes through.
async fn check_settled(
    app: &App,
    mut copy: crate::store::Copy,
) -> Result<(Vec<verify::Fault>, u64), crate::store::StoreError> {
    for _ in 0..TRIES {
        let (faults, rows) = verify::check_copy(&app.db, &app.keys, &copy).await?;
        if faults.first().is_none_or(|fault| fault.reason != "CHANGED_MEANWHILE") {
            return Ok((faults, rows));
        }
        match app.db.copies().await?.into_iter().find(|newer| newer.slot == copy.slot) {
            Some(newer) => copy = newer,
            None => return Ok((Vec::new(), 0)),
        }
    }
    // Written all the time: its state is checked by every neighbour instead.
    Ok((Vec::new(), 0))
}
