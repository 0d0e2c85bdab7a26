//! The export service.

use std::pin::Pin;

use futures::Stream;
use tokio::sync::mpsc;
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tonic::{Request, Response, Status};
use yizhan_proto::v1::{self, export_service_server::ExportService};

use super::decode::optional_point;
use crate::{
    app::{
        App,
        error::Error,
        export::{self, Asked, ExportKind},
    },
    domain::member::Role,
    identity::caller::Caller,
};

/// Pages made ahead of what the client takes.
const PAGES_AHEAD: usize = 2;

pub struct ExportApi {
    pub app: App,
}

#[tonic::async_trait]
impl ExportService for ExportApi {
    type ExportStream = Pin<Box<dyn Stream<Item = Result<v1::ExportResponse, Status>> + Send>>;

    async fn export(
        &self,
        request: Request<v1::ExportRequest>,
    ) -> Result<Response<Self::ExportStream>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let role = Some(request.role.as_str()).filter(|role| !role.is_empty());
        let asked = Asked {
            kind: ExportKind::parse(&request.kind, "kind").map_err(Error::from)?,
            role: role.map(|role| Role::parse(role, "role")).transpose().map_err(Error::from)?,
            home: optional_point(&request.home, "home")?,
            host: optional_point(&request.host, "host")?,
            words: request.words,
            region: request.region,
            field: request.field,
            language: request.language,
            state: request.state,
            series: request.series,
        };
        let (pieces, made) = mpsc::channel(PAGES_AHEAD);
        let (failures, failure) = mpsc::channel(1);
        let app = self.app.clone();
        // In a task of its own: whoever hangs up is still in the audit.
        tokio::spawn(async move {
            if let Err(error) = export::run(&app, &caller, asked, pieces).await {
                let _ = failures.send(Err(Status::from(error))).await;
            }
        });
        let pieces = ReceiverStream::new(made).map(|piece| Ok(piece.into()));
        Ok(Response::new(Box::pin(pieces.chain(ReceiverStream::new(failure)))))
    }
}
