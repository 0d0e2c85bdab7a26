//! Files that come with a help request: stripped, sealed, all or nothing.

use std::{fs, path::PathBuf};

use serde_json::Value;
use yizhan_client::channel::Node;
use yizhan_tests::{cluster::Cluster, proxy::Proxy};

use crate::people::{scratch, text};

/// The sample files of the server's own tests.
const GPS: &[u8] = include_bytes!("../../server/src/domain/attachment/samples/gps.jpg");
const PROGRAM: &[u8] = include_bytes!("../../server/src/domain/attachment/samples/program.pdf");
const SMALL: &[u8] = include_bytes!("../../server/src/domain/attachment/samples/small.pdf");
const MARK: &str = "WEIZHANGMARKER in a note of several pieces. ";

fn submit(files: &[String]) -> Vec<&str> {
    let mut arguments = vec![
        "help",
        "submit",
        "--category",
        "medical_advice",
        "--country",
        "GB",
        "--city",
        "GBLON",
        "--lang",
        "en",
        "--text",
        "with files",
    ];
    for file in files {
        arguments.extend(["--attach", file]);
    }
    arguments
}

fn field_reason(answer: &Value) -> &str {
    answer["error"]["fields"][0]["reason"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn files_are_stripped_and_sealed_and_bad_ones_leave_nothing_behind() {
    let cluster = Cluster::found("GB-LON").await;
    let folder = scratch(&cluster).join("files");
    fs::create_dir_all(&folder).unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path: PathBuf = folder.join(name);
        fs::write(&path, bytes).unwrap();
        text(&path)
    };
    let photo = file("gps.jpg", GPS);
    let document = file("small.pdf", SMALL);
    let note = file("note.txt", MARK.repeat(8_000).as_bytes());
    let large = file("large.pdf", &[b"%PDF-1.4\n".to_vec(), vec![b'x'; 30 << 20]].concat());
    let program = file("program.pdf", PROGRAM);
    let empty = file("empty.pdf", b"");
    let student = cluster.visitor("GB-LON");

    let refused = student.run(&submit(&[document.clone(), large])).await.json();
    assert_eq!(refused["error"]["code"], "RESOURCE_EXHAUSTED", "{refused}");
    assert_eq!(field_reason(&refused), "too_large");
    let refused = student.run(&submit(&[program])).await.json();
    assert_eq!(refused["error"]["code"], "INVALID_ARGUMENT", "{refused}");
    assert_eq!(field_reason(&refused), "type_mismatch");
    let refused = student.run(&submit(&[empty])).await.json();
    assert_eq!(field_reason(&refused), "empty", "{refused}");
    let many = vec![document.clone(); 21];
    let refused = student.run(&submit(&many)).await.json();
    assert_eq!(field_reason(&refused), "too_many", "{refused}");
    let desk = cluster.admin("GB-LON").await;
    assert!(desk.list(&["desk", "queue"]).await.is_empty(), "nothing is half stored");

    let asked = student.ask(&submit(&[photo, document, note])).await;
    let reference = asked["reference"].as_str().unwrap();
    let opened = desk.ask(&["desk", "show", reference]).await;
    let files = opened["content"]["attachments"].as_array().unwrap();
    let names: Vec<&str> = files.iter().map(|file| file["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["gps.jpg", "small.pdf", "note.txt"]);
    for (file, expected) in files.iter().zip([None, Some(SMALL.to_vec())]) {
        let id = file["id"].as_str().unwrap();
        let to = text(&folder.join(format!("out-{id}")));
        desk.ask(&["desk", "attachment", reference, id, "--to", &to]).await;
        let saved = fs::read(&to).unwrap();
        assert!(!saved.windows(4).any(|part| part == b"Exif"));
        if let Some(expected) = expected {
            assert_eq!(saved, expected);
        }
    }
    let id = files[2]["id"].as_str().unwrap();
    let to = text(&folder.join("out-note"));
    desk.ask(&["desk", "attachment", reference, id, "--to", &to]).await;
    assert_eq!(fs::read_to_string(&to).unwrap(), MARK.repeat(8_000));
    let unknown = uuid_like(id);
    let get = ["desk", "attachment", reference, unknown.as_str(), "--to", "/dev/null/x"];
    assert_eq!(desk.refused(&get).await, "NOT_FOUND");
    for entry in fs::read_dir(cluster.path("GB-LON")).unwrap().flatten() {
        let Ok(bytes) = fs::read(entry.path()) else { continue };
        assert!(!bytes.windows(14).any(|part| part == &MARK.as_bytes()[..14]), "{entry:?}");
    }
}

/// Another id of the same form.
fn uuid_like(id: &str) -> String {
    let last = if id.ends_with('0') { '1' } else { '0' };
    format!("{}{last}", &id[..id.len() - 1])
}

#[tokio::test]
async fn an_upload_that_is_broken_off_leaves_nothing_behind() {
    use tokio_stream::wrappers::ReceiverStream;
    use yizhan_proto::v1::{UploadAttachmentRequest, upload_attachment_request as upload};
    let cluster = Cluster::found("GB-LON").await;
    let line = Proxy::start(cluster.addresses("GB-LON").public).await.expect("a line");
    let ca = fs::read(cluster.path("GB-LON").join("ca.pem")).unwrap();
    let node = Node::connect(&format!("https://{}", line.address()), &ca).await.expect("a node");
    let (parts, stream) = tokio::sync::mpsc::channel(1);
    let call = tokio::spawn(async move {
        node.help_requests().upload_attachment(ReceiverStream::new(stream)).await.map(drop)
    });
    let send = async |part| {
        parts.send(UploadAttachmentRequest { part: Some(part) }).await.expect("it is taken");
    };
    send(upload::Part::Head(upload::Head { name: "note.txt".to_owned(), key: vec![7; 32] })).await;
    for _ in 0..40 {
        send(upload::Part::Data(MARK.as_bytes().repeat(1_000))).await;
    }
    let rows = async |sql| crate::handoff::count(&cluster, "GB-LON", sql).await;
    const PIECES: &str = "select count(*) from attachment_pieces";
    cluster.eventually("some of it is stored", async || rows(PIECES).await > 0).await;
    line.break_line();
    call.await.expect("it ends").expect_err("the line is broken");
    cluster
        .eventually("nothing is left", async || {
            rows(PIECES).await == 0 && rows("select count(*) from attachments").await == 0
        })
        .await;
}
