//! `yizhan import`: CSV tables to the node, verdicts back.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::Value;
use tokio::{fs::File, io::AsyncReadExt, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;
use yizhan_client::{
    answer::Answer,
    channel::Node,
    document::report::{self, REJECTED_COLUMNS},
    error::{Error, Result},
    progress,
};
use yizhan_proto::v1::{
    ImportRequest,
    import_request::{self, Part},
    import_response,
};

use super::Context;

/// The tables that a node takes, in the order in which it needs them.
const TABLES: [&str; 8] =
    ["points", "orgs", "members", "grants", "series", "events", "event_hosts", "appearances"];
/// Bytes sent at once; the contract's limit.
const CHUNK: usize = 65_536;
/// Pieces read ahead of what the connection takes.
const CHUNKS_AHEAD: usize = 16;

#[derive(Args)]
pub struct Import {
    /// A folder of tables (points.csv, members.csv, ...), or one of them
    #[arg(value_name = "DIR|FILE")]
    from: PathBuf,
    /// Check everything, change nothing
    #[arg(long)]
    dry_run: bool,
    /// Only records of this kind: point, org, member, event or series
    #[arg(long, default_value = "")]
    kind: String,
}

impl Import {
    pub async fn run(self, context: &Context) -> Result<Answer> {
        let files = files(&self.from)?;
        let total = files.iter().map(|file| file.size).sum();
        let node = context.node().await?;
        let settings = import_request::Settings { dry_run: self.dry_run, kind: self.kind };

        let bar = progress::bar(total, "bytes");
        let (pieces, queue) = mpsc::channel(CHUNKS_AHEAD);
        let sending = tokio::spawn(send(files, settings, pieces));
        let report = receive(&node, queue, &bar).await;
        bar.finish_and_clear();
        // Why a file could not be read says more than that the stream broke off.
        match (sending.await, report) {
            (Ok(Err(error)), _) => Err(error),
            (_, report) => report,
        }
    }
}

async fn receive(
    node: &Node,
    queue: mpsc::Receiver<ImportRequest>,
    bar: &indicatif::ProgressBar,
) -> Result<Answer> {
    let mut answers = node.imports().import(ReceiverStream::new(queue)).await?.into_inner();
    while let Some(answer) = answers.message().await? {
        match answer.part {
            Some(import_response::Part::Progress(progress)) => {
                bar.set_position(progress.bytes);
                bar.set_message(format!("{} {} rows", progress.file, progress.rows));
            }
            Some(import_response::Part::Report(report)) => {
                progress::note(&format!(
                    "{} rows: {} accepted, {} unchanged, {} skipped, {} rejected, {} ambiguous",
                    report.rows,
                    report.accepted,
                    report.unchanged,
                    report.skipped,
                    report.rejected_rows,
                    report.ambiguous_rows,
                ));
                let document: Value = report::import(&report);
                return Ok(Answer::shaped(document, REJECTED_COLUMNS));
            }
            None => (),
        }
    }
    Err(Error::failed("IMPORT_BROKE_OFF", "the server ended the import without a report")
        .advice("run it again: rows that went in stay unchanged"))
}

/// A table to send.
struct Table {
    path: PathBuf,
    name: String,
    size: u64,
}

/// The tables in a folder, in the node's order; or the one file that was named.
fn files(from: &Path) -> Result<Vec<Table>> {
    let unreadable = |error: std::io::Error| {
        Error::failed("FILE", format!("cannot read {}: {error}", from.display()))
    };
    if fs::metadata(from).map_err(unreadable)?.is_file() {
        return Ok(vec![table(from.to_owned()).map_err(unreadable)?]);
    }
    let mut files = Vec::new();
    for name in TABLES {
        let path = from.join(format!("{name}.csv"));
        if path.is_file() {
            files.push(table(path).map_err(unreadable)?);
        }
    }
    if files.is_empty() {
        return Err(Error::failed("NO_TABLES", format!("no table in {}", from.display()))
            .advice(format!("tables are {}.csv", TABLES.join(".csv, "))));
    }
    Ok(files)
}

fn table(path: PathBuf) -> std::io::Result<Table> {
    let size = fs::metadata(&path)?.len();
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Table { path, name, size })
}

/// Sends settings and tables. Ends early, without error, when the server no longer listens: its
/// answer says why.
async fn send(
    files: Vec<Table>,
    settings: import_request::Settings,
    pieces: mpsc::Sender<ImportRequest>,
) -> Result<()> {
    let piece = |part| ImportRequest { part: Some(part) };
    if pieces.send(piece(Part::Settings(settings))).await.is_err() {
        return Ok(());
    }
    for Table { path, name, size } in files {
        let unreadable =
            |error| Error::failed("FILE", format!("cannot read {}: {error}", path.display()));
        let mut file = File::open(&path).await.map_err(unreadable)?;
        let begins = Part::File(import_request::File { name, size });
        if pieces.send(piece(begins)).await.is_err() {
            return Ok(());
        }
        loop {
            let mut chunk = Vec::with_capacity(CHUNK);
            (&mut file).take(CHUNK as u64).read_to_end(&mut chunk).await.map_err(unreadable)?;
            if chunk.is_empty() {
                break;
            }
            if pieces.send(piece(Part::Chunk(chunk))).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sent_in_the_order_the_node_needs() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["members.csv", "points.csv", "handoffs.csv", "notes.txt"] {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        let names: Vec<String> =
            files(dir.path()).unwrap().into_iter().map(|table| table.name).collect();
        assert_eq!(names, ["points.csv", "members.csv"]);
    }

    #[test]
    fn a_folder_without_tables_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(files(dir.path()).map(|_| ()).unwrap_err().reason, "NO_TABLES");
        assert_eq!(files(&dir.path().join("x")).map(|_| ()).unwrap_err().reason, "FILE");
    }
}
