//! Who is told what of a help request, through a real mail server and robots on this machine.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use prost::Message;
use yizhan_client::sealed::{TrackingCode, seal};
use zeroize::Zeroizing;

use super::{
    sealing::NOTICES,
    tests::{named, request, secret},
    *,
};
use crate::{
    app::{
        accounts::NewAccount,
        desk,
        notices::{self, Reader, reader},
        samples::{FOUNDER, Node, code, founder_with},
    },
    domain::{id::RecordId, language::Language, policy::Role, time::Time},
    identity::caller::Caller,
    jobs::{notices::Delivering, runner::Job},
    notify::{
        Robots, Ways,
        http::Address,
        mail::Security,
        robot::{Manner, Robot},
        samples::{MailServer, Post, client_tls, clock, mail, receiver},
        target::{Target, Webhook},
    },
};
use yizhan_proto::v1;

/// Stand in what nobody may read in a notice.
const MARKS: [&str; 2] = ["MARKERTEXT", "markerperson"];
const TAKEN: &str = "HTTP/1.1 204 No Content\r\n\r\n";

/// A node with a mail server, a robot, two people at the desk, and a clock.
struct Desk {
    node: Node,
    seconds: Arc<AtomicUsize>,
    letters: Post,
    robot: Post,
    own_robot: Post,
}

impl Desk {
    async fn new() -> Desk {
        // 2023-03-14, a Tuesday, ten o'clock in Guangzhou.
        let at = Time::parse("2023-03-14T10:00:00+08:00", "at").unwrap().millis() / 1_000;
        let seconds = Arc::new(AtomicUsize::new(at as usize));
        let (letters, robot, own_robot) = (Post::default(), Post::default(), Post::default());
        let server = MailServer { post: letters.clone(), ..MailServer::default() }.start().await;
        let desk_robot = receiver(robot.clone(), vec![TAKEN; 20]).await;
        let li_robot = receiver(own_robot.clone(), vec![TAKEN; 20]).await;
        let tls = client_tls();
        let address = |url: &str| Address::parse(url).unwrap();
        let ways = Ways {
            mail: Some(mail(server, Security::None, None, "")),
            robot: Some(Robot {
                manner: Manner::Generic,
                address: address(&format!("http://{desk_robot}/desk")),
                secret: Zeroizing::new("shared".into()),
                tls: tls.clone(),
            }),
            robots: Some(Robots { hosts: vec!["127.0.0.1".into()], tls }),
        };
        let node = founder_with(clock(&seconds), ways).await;
        let desk = Desk { node, seconds, letters, robot, own_robot };
        desk.hire("wang", Role::Staff).await;
        desk.hire("li", Role::PointAdmin).await;
        let wang = reader("wang@example.org", "en", "", "").unwrap();
        let hosts = ["127.0.0.1".to_owned()];
        let url = format!("http://{li_robot}/li");
        let webhook = Webhook::new(Manner::Generic, &url, "k", &hosts, "url").unwrap();
        let language = Language::parse("zh-Hant", "language").unwrap();
        let li = Reader { target: Target::Webhook(webhook), language, quiet: None };
        desk.tell(("wang", Role::Staff), wang).await;
        desk.tell(("li", Role::PointAdmin), li).await;
        desk
    }

    async fn hire(&self, name: &str, role: Role) {
        let operator = Caller::Operator { point: code(FOUNDER) };
        let new = NewAccount {
            name: name.into(),
            password: "long enough".into(),
            role,
            point: None,
            member: None,
        };
        let app = &self.node.app;
        let seed = *blake3::hash(name.as_bytes()).as_bytes();
        app.accounts.create(&operator, new, app.outside.now(), seed).await.unwrap();
    }

    async fn tell(&self, (name, role): (&str, Role), reader: Reader) {
        let (_, active) =
            notices::set(&self.node.app, &named(name, role), Some(reader)).await.unwrap();
        assert!(active);
    }

    /// Everything that is due is told, however often the jobs run.
    async fn deliver(&self) {
        let app = &self.node.app;
        let delivering = Delivering { notices: app.notices.clone() };
        for _ in 0..2 {
            telling::tell(app).await.unwrap();
            delivering.run_once().await.unwrap();
        }
    }

    /// Takes out what mail, the point's robot and Li's robot were told.
    async fn told(&self) -> [Vec<String>; 3] {
        self.deliver().await;
        let all = [&self.letters, &self.robot, &self.own_robot]
            .map(|post| std::mem::take(&mut *post.lock().unwrap()));
        for mark in MARKS {
            let bodies = all.iter().flatten().filter_map(|one| one.split_once("\r\n\r\n"));
            for (_, body) in bodies {
                assert!(!body.contains(mark), "{body}");
            }
        }
        all
    }

    fn pass(&self, seconds: usize) {
        self.seconds.fetch_add(seconds, Ordering::SeqCst);
    }

    async fn asked(&self) -> Asked {
        let (mut message, tracking) = request(MARKS[0], "");
        let content = message.content.as_mut().unwrap();
        content.contact = format!("phone 1, {}@example.org", MARKS[1]);
        let content_key = message.content_key.clone();
        let new = message.try_into().unwrap();
        let done = submit(&self.node.app, &Caller::Anonymous, new).await.unwrap();
        Asked { reference: done.reference, tracking, content_key }
    }
}

struct Asked {
    reference: String,
    tracking: TrackingCode,
    content_key: Vec<u8>,
}

impl Asked {
    fn secret(&self) -> Secret {
        Secret::parse(&self.reference, Some(secret(&self.tracking))).unwrap()
    }

    async fn wants(
        &self,
        app: &crate::app::App,
        wanted: v1::HelpNotices,
    ) -> crate::app::error::Result<()> {
        let tracked = track(app, &Caller::Anonymous, &self.secret(), 0).await?;
        let Tracked::Here(shown) = tracked else { panic!("it was passed to nobody") };
        let id = RecordId::parse(&shown.id, "id")?;
        let key: [u8; 32] = self.content_key[..].try_into().unwrap();
        let sealed = seal(&key, NOTICES, &id.0, &wanted.encode_to_vec()).unwrap();
        readers::set(app, &self.secret(), sealed).await.map(drop)
    }
}

/// Who was told by mail, and in which words of the subject.
fn to(letters: &[String], address: &str, encoded: &str) -> bool {
    letters
        .iter()
        .any(|letter| letter.contains(&format!("RCPT TO:<{address}>")) && letter.contains(encoded))
}

#[tokio::test]
async fn desk_and_client_are_told_of_each_step_once_and_of_nothing_personal() {
    let desk = Desk::new().await;
    let (app, li) = (&desk.node.app, named("li", Role::PointAdmin));
    let asked = desk.asked().await;
    let [letters, robot, own] = desk.told().await;
    assert_eq!((letters.len(), robot.len(), own.len()), (1, 1, 1), "{letters:?} {robot:?} {own:?}");
    assert!(to(&letters, "wang@example.org", &asked.reference));
    assert!(own[0].starts_with("POST /li") && own[0].contains("有新的求助"));
    assert_eq!(desk.told().await.map(|told| told.len()), [0, 0, 0], "once");

    let client = format!("{}@example.org", MARKS[1]);
    desk::assign(app, &li, &asked.reference, "wang").await.unwrap();
    desk::reply(app, &li, &asked.reference, "x", None).await.unwrap();
    desk::note(app, &li, &asked.reference, "x", None).await.unwrap();
    let [letters, robot, own] = desk.told().await;
    assert_eq!((letters.len(), robot.len(), own.len()), (1, 0, 0), "{letters:?}");
    assert!(to(&letters, &client, "There is an answer for you"));

    desk.pass(60);
    desk::wait(app, &li, &asked.reference, "x").await.unwrap();
    let [letters, ..] = desk.told().await;
    assert_eq!(letters.len(), 1, "asked, and not answered as well: {letters:?}");
    assert!(to(&letters, &client, "We are waiting for your answer"));
    desk.pass(60);
    let anybody = Caller::Anonymous;
    reply(app, &anybody, &asked.secret(), RecordId([9; 16]), vec![1; 256]).await.unwrap();
    let [letters, robot, own] = desk.told().await;
    assert_eq!((letters.len(), robot.len(), own.len()), (1, 0, 0), "its handler alone");
    assert!(to(&letters, "wang@example.org", &asked.reference));
    desk.pass(60);
    desk::resolve(app, &li, &asked.reference, ("x", "advised")).await.unwrap();
    let [letters, ..] = desk.told().await;
    assert_eq!(letters.len(), 1);
    assert!(to(&letters, &client, "Your request is done"));
}

#[tokio::test]
async fn a_client_says_where_when_and_whether_it_is_told() {
    let desk = Desk::new().await;
    let (app, li) = (&desk.node.app, named("li", Role::PointAdmin));
    let asked = desk.asked().await;
    let wanted = |email: &str, hours: &str, off| v1::HelpNotices {
        off,
        email: email.into(),
        language: "en".into(),
        quiet_hours: Some(v1::QuietHours {
            hours: hours.into(),
            time_zone: "Asia/Shanghai".into(),
        }),
    };
    for bad in [wanted("nobody", "", false), wanted("", "22-8", false)] {
        assert!(asked.wants(app, bad).await.is_err());
    }
    asked.wants(app, wanted("other@example.org", "09:00-12:00", false)).await.unwrap();
    desk.told().await;
    desk::reply(app, &li, &asked.reference, "x", None).await.unwrap();
    assert_eq!(desk.told().await[0].len(), 0, "quiet until noon");
    desk.pass(2 * 3_600);
    let [letters, ..] = desk.told().await;
    assert_eq!(letters.len(), 1);
    assert!(to(&letters, "other@example.org", "There is an answer"));
    asked.wants(app, wanted("", "", true)).await.unwrap();
    desk::reply(app, &li, &asked.reference, "y", None).await.unwrap();
    assert_eq!(desk.told().await[0].len(), 0, "opted out");
}

#[tokio::test]
async fn a_promise_that_is_not_kept_is_told_to_who_answers_for_the_point() {
    let desk = Desk::new().await;
    let app = &desk.node.app;
    desk.asked().await;
    desk.told().await;
    // Eight working hours are promised; by the next day at seven they are over.
    desk.pass(30 * 3_600);
    desk::escalate(app).await.unwrap();
    let [letters, robot, own] = desk.told().await;
    assert_eq!((letters.len(), robot.len(), own.len()), (0, 1, 1), "{letters:?} {own:?}");
    assert!(own[0].contains("求助已逾時"));
    desk::escalate(app).await.unwrap();
    assert_eq!(desk.told().await.map(|told| told.len()), [0, 0, 0]);
    // Somebody who is not there any more is told nothing.
    let operator = Caller::Operator { point: code(FOUNDER) };
    app.accounts.disable(&operator, "li", app.outside.now()).await.unwrap();
    desk.asked().await;
    let [letters, _, own] = desk.told().await;
    assert_eq!((letters.len(), own.len()), (1, 0));
}

impl Asked {
    async fn stored(&self, app: &crate::app::App) -> stored::Stored {
        *owned(app, &self.secret()).await.unwrap()
    }

    /// Changes what is stored of it.
    async fn becomes(
        &self,
        app: &crate::app::App,
        change: impl Fn(&mut crate::domain::help_request::HelpRequest),
    ) {
        let stored = self.stored(app).await;
        let deed = crate::domain::audit::Deed::of_node("test");
        let changed = stored::amend(app, stored.feed(), stored.id(), &deed, |request, _| {
            change(request);
            Ok(Vec::new())
        });
        changed.await.unwrap();
    }

    /// A message comes from another point.
    async fn hears(&self, app: &crate::app::App, id: u8, message: v1::HelpMessage) {
        let stored = self.stored(app).await;
        let message = v1::HelpMessage { request: stored.id().0.to_vec(), ..message };
        let kind = crate::domain::kind::Kind::HELP_MESSAGE;
        let change = crate::feed::change::Change::new();
        let (feed, id) = (stored.feed().clone(), RecordId([id; 16]));
        let change = change.put(feed, kind, id, message.encode_to_vec());
        app.writer.commit(change).await.unwrap();
    }
}

fn said(author: v1::sealed_message::Author, at: Time) -> v1::HelpMessage {
    v1::HelpMessage {
        author: author.into(),
        time: Some(crate::wire::value::time_message(at)),
        sealed: vec![1],
        ..v1::HelpMessage::default()
    }
}

#[tokio::test]
async fn what_was_told_at_another_point_is_not_told_again() {
    use v1::sealed_message::Author;
    let desk = Desk::new().await;
    let app = &desk.node.app;
    let asked = desk.asked().await;
    desk.told().await;
    let before = app.outside.now();
    desk.pass(60);
    let now = app.outside.now();
    // It comes from another owner, and what was said there follows it.
    asked
        .becomes(app, |request| {
            request.owner_number = 1;
            (request.passed, request.taken_over, request.updated) = (Some(now), Some(now), now);
        })
        .await;
    asked.hears(app, 11, said(Author::Desk, before)).await;
    asked.hears(app, 12, said(Author::Client, before)).await;
    let client = format!("{}@example.org", MARKS[1]);
    let [letters, ..] = desk.told().await;
    let to_client: Vec<_> = letters.iter().filter(|one| one.contains(&client)).collect();
    assert_eq!(to_client.len(), 1, "that it was passed on, and nothing else: {letters:?}");
    desk.pass(60);
    asked.hears(app, 13, said(Author::Desk, app.outside.now())).await;
    assert!(to(&desk.told().await[0], &client, "There is an answer"));
    // A deputy has told it while this point was away.
    let opened = said(Author::System, app.outside.now());
    let told = v1::HelpMessage { client_told: true, ..opened.clone() };
    asked.hears(app, 14, told).await;
    assert_eq!(desk.told().await[0].len(), 0);
    asked.hears(app, 15, opened).await;
    assert_eq!(desk.told().await[0].len(), 1, "the deputy had no way to");
}

#[tokio::test]
async fn a_lost_key_keeps_nobody_else_from_being_told() {
    let desk = Desk::new().await;
    let (app, li) = (&desk.node.app, named("li", Role::PointAdmin));
    let (lost, other) = (desk.asked().await, desk.asked().await);
    desk.told().await;
    for asked in [&lost, &other] {
        desk::reply(app, &li, &asked.reference, "x", None).await.unwrap();
    }
    lost.becomes(app, |request| request.wrap = vec![9; request.wrap.len()]).await;
    let [letters, ..] = desk.told().await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert!(letters[0].contains(&other.reference));
}

#[tokio::test]
async fn each_promise_that_is_not_kept_is_told_once() {
    let desk = Desk::new().await;
    let (app, li) = (&desk.node.app, named("li", Role::PointAdmin));
    let asked = desk.asked().await;
    desk.told().await;
    let late = async |days: usize| {
        desk.pass(days * 24 * 3_600);
        desk::escalate(app).await.unwrap();
        desk::escalate(app).await.unwrap();
        desk.told().await[2].len()
    };
    // A first answer, then an update.
    assert_eq!(late(2).await, 1);
    assert_eq!(asked.stored(app).await.request.escalation, 2);
    desk::reply(app, &li, &asked.reference, "x", None).await.unwrap();
    assert_eq!(asked.stored(app).await.request.escalation, 0, "what was late is done");
    assert_eq!(late(1).await, 0);
    assert_eq!(late(5).await, 1, "another promise");
}

#[tokio::test]
async fn who_works_in_some_categories_alone_is_told_of_those() {
    let desk = Desk::new().await;
    let app = &desk.node.app;
    desk.hire("zhao", Role::Volunteer).await;
    let zhao = reader("zhao@example.org", "en", "", "").unwrap();
    desk.tell(("zhao", Role::Volunteer), zhao).await;
    let (account, _) = {
        let mut db = app.db.reader().await.unwrap();
        crate::store::accounts::find(&mut db, "zhao").await.unwrap().unwrap()
    };
    let told = async |category: &str| {
        let grant = crate::domain::account::RoleGrant {
            role: Role::Staff,
            point: code(FOUNDER),
            categories: vec!["travel".into(), category.into()],
            from: Time(0),
            to: None,
            granted_by: "li".into(),
        };
        let mut db = app.db.local().await.unwrap();
        crate::store::accounts::put_grant(&mut db, account.id, &grant).await.unwrap();
        drop(db);
        let asked = desk.asked().await;
        to(&desk.told().await[0], "zhao@example.org", &asked.reference)
    };
    assert!(told("legal").await);
    assert!(!told("housing").await);
}
