//! The import service.

use std::pin::Pin;

use futures::Stream;
use tokio::sync::mpsc;
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, Streaming};
use yizhan_proto::v1::{
    self, import_request,
    import_response::{self, Part},
    import_service_server::ImportService,
};

use super::decode::optional_point;
use crate::{
    app::{
        App,
        error::Error,
        import::{self, FileHead, Order},
    },
    domain::text::Invalid,
    identity::caller::Caller,
    wire::value::optional_time,
};

/// Largest piece of a file.
const CHUNK_MAX: usize = 65_536;
/// Pieces taken ahead of what is read.
const PARTS_AHEAD: usize = 16;
/// Words on how it is going that wait for the client.
const ANSWERS: usize = 4;

pub struct ImportApi {
    pub app: App,
}

#[tonic::async_trait]
impl ImportService for ImportApi {
    type ImportStream = Pin<Box<dyn Stream<Item = Result<v1::ImportResponse, Status>> + Send>>;

    async fn import(
        &self,
        request: Request<Streaming<v1::ImportRequest>>,
    ) -> Result<Response<Self::ImportStream>, Status> {
        let caller = Caller::of(&request);
        let mut incoming = request.into_inner();
        let order = match incoming.message().await?.and_then(|message| message.part) {
            Some(import_request::Part::Settings(settings)) => {
                let as_of = optional_time(settings.as_of_time, "settings.as_of_time");
                Order {
                    dry_run: settings.dry_run,
                    kind: settings.kind,
                    as_of: as_of.map_err(Error::from)?,
                    home: optional_point(&settings.home, "settings.home")?,
                    with_cells: settings.with_cells,
                }
            }
            _ => return Err(Error::from(Invalid::new("settings", "required")).into()),
        };

        let (answers, answer) = mpsc::channel(ANSWERS);
        let (parts, queue) = mpsc::channel(PARTS_AHEAD);
        let (progress, mut going) = mpsc::channel::<import::Progress>(1);
        tokio::spawn(feed(incoming, parts, answers.clone()));
        let words = answers.clone();
        tokio::spawn(async move {
            while let Some(import::Progress { file, rows, bytes }) = going.recv().await {
                let progress = import_response::Progress { file: file.to_owned(), rows, bytes };
                if words.send(Ok(message(Part::Progress(progress)))).await.is_err() {
                    return;
                }
            }
        });
        let app = self.app.clone();
        // In a task of its own: a client that hangs up leaves whole batches.
        tokio::spawn(async move {
            let report = import::run(&app, &caller, order, queue, progress).await;
            let last = report.map(|report| message(Part::Report(report))).map_err(Status::from);
            let _ = answers.send(last).await;
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answer))))
    }
}

/// Passes the pieces on. Only a stream that ended well ends the import well.
async fn feed(
    mut incoming: Streaming<v1::ImportRequest>,
    parts: mpsc::Sender<import::Part>,
    answers: mpsc::Sender<Result<v1::ImportResponse, Status>>,
) {
    while let Some(request) = incoming.next().await {
        let part = match request.map(|request| request.part) {
            Ok(Some(import_request::Part::File(file))) => import::Part::File(head(file)),
            Ok(Some(import_request::Part::Chunk(bytes))) if bytes.len() <= CHUNK_MAX => {
                import::Part::Bytes(bytes)
            }
            Ok(Some(import_request::Part::Chunk(_))) => {
                let _ =
                    answers.send(Err(Error::from(Invalid::new("chunk", "too_long")).into())).await;
                return;
            }
            Ok(Some(import_request::Part::Settings(_))) => {
                let _ =
                    answers.send(Err(Error::from(Invalid::new("settings", "twice")).into())).await;
                return;
            }
            Ok(None) => continue,
            Err(_) => return,
        };
        if parts.send(part).await.is_err() {
            return;
        }
    }
    let _ = parts.send(import::Part::End).await;
}

fn head(file: import_request::File) -> FileHead {
    FileHead {
        name: file.name,
        table: file.table,
        is_sheet: file.is_sheet,
        columns: file.columns.into_iter().map(|column| (column.here, column.column)).collect(),
        values: file
            .values
            .into_iter()
            .map(|value| (value.column, value.here, value.value))
            .collect(),
    }
}

fn message(part: Part) -> v1::ImportResponse {
    v1::ImportResponse { part: Some(part) }
}
