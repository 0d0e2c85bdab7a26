//! `yizhan import`: tables to the node, verdicts back.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use tokio::{fs::File, io::AsyncReadExt, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;
use yizhan_client::{
    answer::Answer,
    channel::Node,
    document::{parse_day, read, report},
    error::{Error, Result},
    progress, sheet,
    table::{ERROR_COLUMNS, Mapping, Table, ignored, line, tables},
};
use yizhan_proto::v1::{
    ImportRequest,
    import_request::{self, Part},
    import_response::{self, Report, RowVerdict},
};

use super::{Context, read_json};

/// Bytes sent at once; the contract's limit.
const CHUNK: usize = 65_536;
/// Pieces read ahead of what the connection takes.
const CHUNKS_AHEAD: usize = 16;

#[derive(Args)]
pub struct Import {
    /// A folder of tables (points.csv, members.csv, ...), or one of them; or a sheet of persons (XLSX)
    #[arg(value_name = "DIR|FILE")]
    from: PathBuf,
    /// Check everything, change nothing
    #[arg(long)]
    dry_run: bool,
    /// Only records of this kind: point, org, member, event, series or group
    #[arg(long, default_value = "")]
    kind: String,
    /// JSON that says how columns and values are called:
    /// {"table":"people","columns":{"手机":"phone"},"values":{"degree":{"硕士生":"7"}}}
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,
    /// The day that the files are of: a consent given later lies in the future
    #[arg(long, value_name = "DAY")]
    as_of: Option<String>,
    /// Code of the hosted point that persons are for whose rows name no home
    #[arg(long, default_value = "", value_name = "POINT")]
    home: String,
    /// Write the rows that stay out here, as CSV with what is wrong; put right, it can be imported
    #[arg(long, value_name = "FILE")]
    errors: Option<PathBuf>,
}

impl Import {
    pub async fn run(self, context: &Context) -> Result<Answer> {
        let mapping: Mapping = match &self.mapping {
            Some(path) => read(read_json(path)?)?,
            None => Mapping::default(),
        };
        let files = tables(&self.from)?;
        let total = files.iter().map(|file| file.size).sum();
        let node = context.node().await?;
        let settings = import_request::Settings {
            dry_run: self.dry_run,
            kind: self.kind,
            as_of_time: self.as_of.as_deref().map(end_of_day).transpose()?,
            home: self.home,
            with_cells: self.errors.is_some(),
        };

        let bar = progress::bar(total, "bytes");
        let (pieces, queue) = mpsc::channel(CHUNKS_AHEAD);
        let sending = tokio::spawn(send(files.clone(), mapping, settings, pieces));
        let report = receive(&node, queue, &bar).await;
        bar.finish_and_clear();
        // Why a file could not be read says more than that the stream broke off.
        let report = match (sending.await, report) {
            (Ok(Err(error)), _) => return Err(error),
            (_, report) => report?,
        };
        if let Some(path) = &self.errors {
            write_errors(path, &files, &report)?;
        }
        if let ([_], Some(why)) = (&files[..], unread(&report)) {
            return Err(why);
        }
        let ignored = ignored(&self.from, &files)?;
        let answer = report::answer(&report, &ignored);
        Ok(answer.with("ignored_files", ignored.into()))
    }
}

/// The last moment of a day in UTC, or now if that is yet to come.
fn end_of_day(day: &str) -> Result<prost_types::Timestamp> {
    let date = parse_day(day, "as_of")?;
    let next = jiff::civil::date(date.year as i16, date.month as i8, date.day as i8)
        .tomorrow()
        .and_then(|day| day.to_zoned(jiff::tz::TimeZone::UTC));
    let next = next.map_err(|error| Error::usage(format!("--as-of {day}: {error}")))?;
    let end = (next.timestamp().as_second() - 1).min(jiff::Timestamp::now().as_second());
    Ok(prost_types::Timestamp { seconds: end, nanos: 0 })
}

/// Why no row at all was read: the node does not take the file. Of several files the others went in,
/// and the report says which did not.
fn unread(report: &Report) -> Option<Error> {
    let why = report.rejected.iter().find(|verdict| verdict.row == 0 && report.rows == 0)?;
    let field = if why.field.is_empty() { &why.file } else { &why.field };
    let told = Error::field(field, &why.reason, &why.message, &why.message_zh);
    let hint = if why.hint.is_empty() { String::new() } else { format!(" ({})", why.hint) };
    let message = match why.field.as_str() {
        "" => format!("{} {}{hint}", why.file, why.message),
        column => format!("{}: {column} {}{hint}", why.file, why.message),
    };
    Some(Error { reason: "FILE_NOT_READ".to_owned(), message, ..told })
}

async fn receive(
    node: &Node,
    queue: mpsc::Receiver<ImportRequest>,
    bar: &indicatif::ProgressBar,
) -> Result<Report> {
    let mut answers = node.imports().import(ReceiverStream::new(queue)).await?.into_inner();
    while let Some(answer) = answers.message().await? {
        match answer.part {
            Some(import_response::Part::Progress(progress)) => {
                bar.set_position(progress.bytes);
                bar.set_message(format!("{} {} rows", progress.file, progress.rows));
            }
            Some(import_response::Part::Report(report)) => {
                return Ok(report);
            }
            None => (),
        }
    }
    Err(Error::failed("IMPORT_BROKE_OFF", "the server ended the import without a report")
        .advice("run it again: rows that went in stay unchanged"))
}

/// Sends settings and tables. Ends early, without error, when the server no longer listens: its
/// answer says why.
async fn send(
    files: Vec<Table>,
    mapping: Mapping,
    settings: import_request::Settings,
    pieces: mpsc::Sender<ImportRequest>,
) -> Result<()> {
    if pieces.send(piece(Part::Settings(settings))).await.is_err() {
        return Ok(());
    }
    for table in files {
        if pieces.send(piece(Part::File(table.head(&mapping)))).await.is_err() {
            return Ok(());
        }
        let is_heard = match table.is_sheet {
            true => {
                let pieces = pieces.clone();
                let sent = tokio::task::spawn_blocking(move || send_sheet(&table, &pieces)).await;
                sent.unwrap_or_else(|_| Err(Error::failed("FILE", "the sheet cannot be read")))?
            }
            false => send_bytes(&table, &pieces).await?,
        };
        if !is_heard {
            return Ok(());
        }
    }
    Ok(())
}

/// False: the server no longer listens.
async fn send_bytes(table: &Table, pieces: &mpsc::Sender<ImportRequest>) -> Result<bool> {
    let unreadable =
        |error| Error::failed("FILE", format!("cannot read {}: {error}", table.path.display()));
    let mut file = File::open(&table.path).await.map_err(unreadable)?;
    loop {
        let mut chunk = Vec::with_capacity(CHUNK);
        (&mut file).take(CHUNK as u64).read_to_end(&mut chunk).await.map_err(unreadable)?;
        if chunk.is_empty() {
            return Ok(true);
        }
        if pieces.send(piece(Part::Chunk(chunk))).await.is_err() {
            return Ok(false);
        }
    }
}

/// Sends a sheet as CSV, every row as wide as the header, blank ones too: rows keep their numbers.
fn send_sheet(table: &Table, pieces: &mpsc::Sender<ImportRequest>) -> Result<bool> {
    let mut chunk: Vec<u8> = Vec::with_capacity(2 * CHUNK);
    let mut is_heard = true;
    let flush = |chunk: &mut Vec<u8>, size: usize| {
        while chunk.len() >= size && !chunk.is_empty() {
            let rest = chunk.split_off(CHUNK.min(chunk.len()));
            let part = std::mem::replace(chunk, rest);
            if pieces.blocking_send(piece(Part::Chunk(part))).is_err() {
                return false;
            }
        }
        true
    };
    sheet::read(&table.path, |mut row| {
        if row.len() < table.header.len().max(2) {
            row.resize(table.header.len().max(2), String::new());
        }
        chunk.extend(line(&row));
        is_heard = flush(&mut chunk, CHUNK);
        is_heard
    })?;
    Ok(is_heard && flush(&mut chunk, 0))
}

fn piece(part: Part) -> ImportRequest {
    ImportRequest { part: Some(part) }
}

/// Writes the rows that stayed out: one file, or for several tables a folder with one each.
fn write_errors(path: &Path, files: &[Table], report: &Report) -> Result<()> {
    let failed = |error: std::io::Error| {
        Error::failed("FILE", format!("cannot write {}: {error}", path.display()))
    };
    let all = || report.rejected.iter().chain(&report.ambiguous);
    let whole: Vec<&RowVerdict> = all().filter(|verdict| verdict.cells.is_empty()).collect();
    if !whole.is_empty() {
        let rows = whole.len();
        progress::note(&format!("{rows} verdicts are not in the error file: see the report"));
    }
    if let [table] = files {
        return fs::write(path, errors_of(table, all())).map_err(failed);
    }
    fs::create_dir_all(path).map_err(failed)?;
    for table in files {
        let of_table = |verdict: &&RowVerdict| verdict.file == table.name;
        if all().filter(of_table).any(|verdict| !verdict.cells.is_empty()) {
            let name = Path::new(&table.name).with_extension("csv");
            fs::write(path.join(name), errors_of(table, all().filter(of_table))).map_err(failed)?;
        }
    }
    Ok(())
}

/// Rows in the order of the file, with what is wrong behind the cells. Marked as UTF-8, which
/// spreadsheets need.
fn errors_of<'a>(table: &Table, verdicts: impl Iterator<Item = &'a RowVerdict>) -> Vec<u8> {
    let mut verdicts: Vec<&RowVerdict> =
        verdicts.filter(|verdict| !verdict.cells.is_empty()).collect();
    verdicts.sort_by_key(|verdict| verdict.row);
    let width = table.header.iter().take_while(|name| *name != ERROR_COLUMNS[0]).count();
    let mut header = table.header[..width].to_vec();
    header.extend(ERROR_COLUMNS.map(str::to_owned));
    let mut text = "\u{feff}".as_bytes().to_vec();
    text.extend(line(&header));
    for verdict in verdicts {
        let mut cells = verdict.cells.clone();
        cells.resize(width, String::new());
        let says = [&verdict.field, &verdict.reason, &verdict.message_zh];
        cells.extend(says.map(String::clone));
        text.extend(line(&cells));
    }
    text
}
