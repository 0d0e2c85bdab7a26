//! Files of help requests, on their way in and out.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
    path::{Path, PathBuf},
};

use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use yizhan_client::{
    answer::Answer,
    channel::{Node, once},
    error::{Error, Result},
    sealed,
};
use yizhan_proto::v1::{
    GetDeskAttachmentRequest, HelpFile, UploadAttachmentRequest,
    upload_attachment_request::{Head, Part},
};

/// Files of one request.
const COUNT_MAX: usize = 20;
/// Bytes of one part of an upload.
const PART: usize = 60 * 1_024;
/// Parts that wait for the line.
const PARTS: usize = 4;

/// Sends files ahead of the request that names them. Each is sealed under a key that is drawn here and
/// lies in the request's own sealed content.
pub async fn upload(node: &Node, paths: &[PathBuf]) -> Result<Vec<HelpFile>> {
    if paths.len() > COUNT_MAX {
        return Err(Error::field("attachments", "too_many", "has too many", "过多")
            .advice(format!("at most {COUNT_MAX} files")));
    }
    let mut files = Vec::new();
    for path in paths {
        files.push(upload_one(node, path).await?);
    }
    Ok(files)
}

async fn upload_one(node: &Node, path: &Path) -> Result<HelpFile> {
    let unreadable =
        |error| Error::usage(format!("--attach {} cannot be read: {error}", path.display()));
    let mut file = File::open(path).map_err(unreadable)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let key = sealed::random_key();
    let (parts, stream) = mpsc::channel(PARTS);
    let head = Head { name, key: key.to_vec() };
    let sending = async move {
        let part = |part| UploadAttachmentRequest { part: Some(part) };
        // A receiver that is gone has refused: its answer says why.
        if parts.send(part(Part::Head(head))).await.is_err() {
            return Ok(());
        }
        loop {
            let mut bytes = vec![0; PART];
            let read = file.read(&mut bytes)?;
            bytes.truncate(read);
            if read == 0 || parts.send(part(Part::Data(bytes))).await.is_err() {
                return Ok::<(), std::io::Error>(());
            }
        }
    };
    let mut help = node.help_requests();
    let asking = once(help.upload_attachment(ReceiverStream::new(stream)));
    let (sent, answer) = tokio::join!(sending, asking);
    sent.map_err(unreadable)?;
    let answer = answer?;
    Ok(HelpFile {
        id: answer.id,
        name: answer.name,
        media_type: answer.media_type,
        size: answer.size,
        key: key.to_vec(),
    })
}

/// Saves a file of a request where nothing is yet.
pub async fn save(node: &Node, reference: String, id: String, to: &Path) -> Result<Answer> {
    let request = GetDeskAttachmentRequest { reference, id: id.clone() };
    let mut pieces = once(node.desk().get_desk_attachment(request)).await?;
    let unwritable =
        |error| Error::usage(format!("--to {} cannot be written: {error}", to.display()));
    let mut file = OpenOptions::new().write(true).create_new(true).open(to).map_err(unwritable)?;
    let mut size = 0;
    while let Some(piece) = pieces.message().await.map_err(Error::from)? {
        file.write_all(&piece.data).map_err(unwritable)?;
        size += piece.data.len();
    }
    file.sync_all().map_err(unwritable)?;
    Ok(Answer::one(json!({"id": id, "file": to.display().to_string(), "size": size})))
}
