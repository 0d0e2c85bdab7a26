//! Notices through real connections on this machine.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use super::{
    mail::{Mail, Security, Settings},
    robot::{ID_HEADER, Manner, Robot, SIGNATURE_HEADER},
    samples::{MailServer, Post, client_tls, clock, mail, receiver},
    *,
};
use crate::{
    app::notices::{News, Notices, Reader, reader},
    config::Address,
    domain::{language::Language, notice::Fact},
    identity::{keys::CaseKey, tls::provider},
    jobs::{notices::Delivering, runner::Job},
    outside::Outside,
    store::{database::Database, notices},
};

/// A certificate for this machine, and a server that shows it.
fn certified() -> (Vec<u8>, TlsAcceptor) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (made.cert.pem().into_bytes(), TlsAcceptor::from(Arc::new(config)))
}

async fn outbox(dir: &tempfile::TempDir, ways: Ways, outside: Outside) -> Arc<Notices> {
    Arc::new(Notices {
        db: Database::open(&Database::address_in(dir.path())).await.unwrap(),
        ways,
        case_key: CaseKey::generate(),
        outside,
        language: Language::parse("zh-Hans", "language").unwrap(),
    })
}

fn news(occasion: &str) -> News<'static> {
    let occasion = occasion.to_owned();
    News { fact: Fact::Answered, occasion, reference: "LON-23-00012-A", label: "处理中" }
}

async fn tell(notices: &Notices, reader: &Reader, news: &News<'_>) -> bool {
    let mut tx = notices.db.begin().await.unwrap();
    let told = notices.tell(tx.connection(), "request:1", reader, news).await.unwrap();
    tx.commit().await.unwrap();
    told
}

#[tokio::test]
async fn a_letter_is_tried_again_until_it_is_taken_and_told_once() {
    let dir = tempfile::tempdir().unwrap();
    let (post, refuse) = (Post::default(), Arc::new(AtomicUsize::new(2)));
    let server =
        MailServer { post: post.clone(), refuse, tls: None, tls_first: false }.start().await;
    let mail = mail(server, Security::None, None, "");
    let seconds = Arc::new(AtomicUsize::new(1_700_000_000));
    let ways = Ways { mail: Some(mail), ..Ways::default() };
    let notices = outbox(&dir, ways, clock(&seconds)).await;
    let wang = reader("wang@example.org", "zh-Hans", "", "").unwrap();
    assert!(tell(&notices, &wang, &news("m1")).await);
    assert!(!tell(&notices, &wang, &news("m1")).await);
    let job = Delivering { notices: notices.clone() };

    job.run_once().await.unwrap();
    job.run_once().await.unwrap();
    assert_eq!(post.lock().unwrap().len(), 0);
    for _ in 0..2 {
        seconds.fetch_add(600, Ordering::SeqCst);
        job.run_once().await.unwrap();
    }
    seconds.fetch_add(86_400, Ordering::SeqCst);
    job.run_once().await.unwrap();

    let letters = post.lock().unwrap().clone();
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert!(letters[0].contains("RCPT TO:<wang@example.org>"));
    assert!(letters[0].contains("From: desk@gd.example"));
    // The address is gone once it is used, and was never there to be read.
    let (waiting, given_up) = {
        let mut db = notices.db.reader().await.unwrap();
        notices::figures(&mut db).await.unwrap()
    };
    assert_eq!((waiting, given_up), (0, 0));
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(16).any(|part| part == b"wang@example.org"));
    }
    assert!(!tell(&notices, &wang, &news("m1")).await);
    assert!(tell(&notices, &wang, &news("m2")).await);
}

#[tokio::test]
async fn letters_go_over_tls_by_either_way_and_not_to_a_stranger() {
    for tls_first in [true, false] {
        let (trusted, tls) = certified();
        let (post, refuse) = (Post::default(), Arc::default());
        let server = MailServer { post: post.clone(), refuse, tls: Some(tls), tls_first };
        let server = server.start().await;
        let security = if tls_first { Security::Tls } else { Security::StartTls };
        let message = Message {
            id: &[1; 32],
            address: "wang@example.org",
            subject: "LON-23-00012-A：您的求助有新答复",
            body: "您的求助有新答复",
            now: Time(0),
        };
        let stranger = mail(server, security, None, "desk").send(&message).await;
        assert!(matches!(stranger, Err(Failure::Passing(_))), "{stranger:?}");
        let known = mail(server, security, Some(trusted), "desk");
        known.send(&message).await.unwrap();
        let letters = post.lock().unwrap().clone();
        assert_eq!(letters.len(), 1);
        assert!(letters[0].contains("AUTH PLAIN") && letters[0].contains("Message-ID: <0101"));
    }
    let address = Address { host: "mail.example".into(), port: 25 };
    let refused = Mail::new(Settings {
        server: &address,
        security: Security::None,
        from: "desk@gd.example",
        user: "",
        password: None,
        trusted: None,
    });
    assert!(refused.is_err());
}

#[tokio::test]
async fn a_robot_is_told_again_after_it_was_too_busy() {
    let dir = tempfile::tempdir().unwrap();
    let post = Post::default();
    let busy = "HTTP/1.1 200 OK\r\ncontent-length: 17\r\n\r\n{\"errcode\":45009}";
    let taken = "HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\n{\"errcode\":0}";
    let server = receiver(post.clone(), vec![busy, taken]).await;
    let robot = Robot {
        manner: Manner::DingTalk,
        address: http::Address::parse(&format!("http://{server}/robot?access_token=a")).unwrap(),
        secret: Zeroizing::new("SECabc".into()),
        tls: client_tls(),
    };
    let seconds = Arc::new(AtomicUsize::new(1_700_000_000));
    let notices =
        outbox(&dir, Ways { robot: Some(robot), ..Ways::default() }, clock(&seconds)).await;
    let mut tx = notices.db.begin().await.unwrap();
    for _ in 0..2 {
        notices.tell_desk(tx.connection(), "GB-LON", &news("1")).await.unwrap();
    }
    tx.commit().await.unwrap();
    let job = Delivering { notices };
    for _ in 0..4 {
        job.run_once().await.unwrap();
        seconds.fetch_add(600, Ordering::SeqCst);
    }
    let requests = post.lock().unwrap().clone();
    assert_eq!(requests.len(), 2);
    assert!(requests[0].starts_with("POST /robot?access_token=a&timestamp=1700000000000&sign="));
    assert!(requests[1].contains("LON-23-00012-A"));
}

#[tokio::test]
async fn a_receiver_can_check_who_spoke() {
    let post = Post::default();
    let taken = "HTTP/1.1 204 No Content\r\n\r\n";
    let server = receiver(post.clone(), vec![taken]).await;
    let robot = Robot {
        manner: Manner::Generic,
        address: http::Address::parse(&format!("http://{server}/hook")).unwrap(),
        secret: Zeroizing::new("shared".into()),
        tls: client_tls(),
    };
    let (subject, body) = ("LON-23-00012-A: news", "news");
    let message = Message { id: &[3; 32], address: "", subject, body, now: Time(5_000_000) };
    robot.send(&message).await.unwrap();
    let request = post.lock().unwrap()[0].clone();
    assert!(request.contains(&format!("{SIGNATURE_HEADER}: t=5,v1=")));
    assert!(request.contains(&format!("{ID_HEADER}: {}", "03".repeat(32))));
}

#[tokio::test]
async fn nobody_is_woken_at_night() {
    let dir = tempfile::tempdir().unwrap();
    let post = Post::default();
    let server =
        MailServer { post: post.clone(), refuse: Arc::default(), tls: None, tls_first: false };
    let server = server.start().await;
    let ways = Ways { mail: Some(mail(server, Security::None, None, "")), ..Ways::default() };
    // 2023-01-10T23:00:00Z.
    let seconds = Arc::new(AtomicUsize::new(1_673_391_600));
    let notices = outbox(&dir, ways, clock(&seconds)).await;
    let wang = reader("wang@example.org", "en", "22:00-08:00", "Europe/London").unwrap();
    assert!(tell(&notices, &wang, &news("m1")).await);
    let job = Delivering { notices };
    for _ in 0..8 {
        job.run_once().await.unwrap();
        assert_eq!(post.lock().unwrap().len(), 0);
        seconds.fetch_add(3_600, Ordering::SeqCst);
    }
    seconds.fetch_add(3_600, Ordering::SeqCst);
    job.run_once().await.unwrap();
    assert_eq!(post.lock().unwrap().len(), 1);
}
