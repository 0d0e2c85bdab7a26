//! `yizhan export`: records to a file.

use std::{
    fs,
    io::{self, BufWriter, Write},
    path::PathBuf,
};

use clap::Args;
use serde_json::json;
use yizhan_client::{
    answer::Answer,
    error::{Error, Result},
    export::{Format, Writer, shown},
};
use yizhan_proto::v1::{ExportRequest, export_response::Part};

use super::Context;

#[derive(Args)]
pub struct Export {
    /// member, grant, event, point, org, group, group_member or series
    kind: String,
    /// csv and xlsx for spreadsheets, vcard for address books, ics for calendars, jsonl for programs
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    format: Format,
    /// Where to; the standard output if not given
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Words of a name or title
    #[arg(long, default_value = "")]
    words: String,
    /// Prefix of a region code: 44, 440100, GB
    #[arg(long, default_value = "", value_name = "PREFIX")]
    region: String,
    /// Field group, expertise or ISCED-F prefix; members only
    #[arg(long, default_value = "", value_name = "CODE")]
    field: String,
    /// BCP 47; members only
    #[arg(long, default_value = "", value_name = "TAG")]
    language: String,
    /// speaker, key_contact, seat_holder, expert or volunteer; members only
    #[arg(long, default_value = "")]
    role: String,
    /// Code of a home point; members and events only
    #[arg(long, default_value = "", value_name = "POINT")]
    home: String,
    /// Code of a point that leads it or has accepted to be a co-host; events only
    #[arg(long, default_value = "", value_name = "POINT")]
    host: String,
    /// Events, points and groups only
    #[arg(long, default_value = "")]
    state: String,
    /// Code of a series; events only
    #[arg(long, default_value = "", value_name = "CODE")]
    series: String,
}

impl Export {
    pub async fn run(self, context: &Context) -> Result<Answer> {
        let node = context.node().await?;
        let request = ExportRequest {
            kind: self.kind.clone(),
            words: self.words,
            region: self.region,
            field: self.field,
            language: self.language,
            role: self.role,
            home: self.home,
            state: self.state,
            series: self.series,
            host: self.host,
        };
        let unwritten = |error: io::Error| {
            let to = shown(self.to.as_deref());
            Error::failed("FILE", format!("cannot write {to}: {error}"))
        };
        let mut pieces = node.exports().export(request).await?.into_inner();
        // Beside the file, so that one that breaks off never stands in its place.
        let part = self.to.as_ref().map(|path| path.with_extension("part"));
        let out: Box<dyn Write + Send> = match &part {
            Some(path) => Box::new(BufWriter::new(private(path).map_err(unwritten)?)),
            None => Box::new(io::stdout()),
        };
        let mut out = Some(out);
        let mut writer = None;
        let mut total = None;
        while let Some(piece) = pieces.message().await? {
            match piece.part {
                Some(Part::Columns(columns)) => {
                    if let Some(out) = out.take() {
                        writer = Some(Writer::new(self.format, columns.names, out)?);
                    }
                }
                Some(Part::Rows(rows)) => {
                    for row in &rows.rows {
                        if let Some(writer) = &mut writer {
                            writer.row(&row.cells)?;
                        }
                    }
                }
                Some(Part::End(end)) => total = Some(end.rows),
                None => (),
            }
        }
        let (Some(writer), Some(rows)) = (writer, total) else {
            return Err(Error::failed("EXPORT_BROKE_OFF", "the server ended the export early")
                .advice("try again"));
        };
        writer.end()?;
        let (Some(part), Some(path)) = (part, &self.to) else { return Ok(Answer::nothing()) };
        fs::rename(&part, path).map_err(unwritten)?;
        let to = path.display().to_string();
        Ok(Answer::one(json!({"kind": self.kind, "rows": rows, "to": to})))
    }
}

/// A file that nobody else may read: it may hold what only the home knows.
fn private(path: &std::path::Path) -> io::Result<fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}
