//! A request from its last word to the day on which nothing of it leads to anybody, with a clock that
//! the test moves.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use super::{
    retention::run,
    stored::sealed_feed,
    tests::{named, request, secret},
    *,
};
use crate::{
    app::{
        attachments::{self, FileKey, Part},
        desk,
        error::Error,
        samples::{FOUNDER, Node, code, founder_with},
    },
    domain::{help_state::HelpState, id::RecordId, kind::Kind, policy::Role, position::Sequence},
    identity::caller::Caller,
    jobs::{notices::Delivering, runner::Job},
    notify::{
        Ways,
        mail::Security,
        samples::{MailServer, Post, clock, mail},
    },
    store::{FeedStore, attachments as files},
};
use yizhan_proto::v1;

const DAY: usize = 24 * 60 * 60;
const CLIENT: &str = "client@example.org";

struct World {
    node: Node,
    seconds: Arc<AtomicUsize>,
    letters: Post,
}

impl World {
    async fn new() -> World {
        let seconds = Arc::new(AtomicUsize::new(1_680_000_000));
        let letters = Post::default();
        let server = MailServer { post: letters.clone(), ..MailServer::default() }.start().await;
        let mail = mail(server, Security::None, None, "");
        let ways = Ways { mail: Some(mail), ..Ways::default() };
        World { node: founder_with(clock(&seconds), ways).await, seconds, letters }
    }

    /// Lets days pass and the job run, twice.
    async fn pass(&self, days: usize) {
        self.seconds.fetch_add(days * DAY, Ordering::SeqCst);
        for _ in 0..2 {
            run(&self.node.app).await.unwrap();
        }
    }

    /// What the client was told since.
    async fn told(&self) -> Vec<String> {
        Delivering { notices: self.node.app.notices.clone() }.run_once().await.unwrap();
        let letters = std::mem::take(&mut *self.letters.lock().unwrap());
        assert!(letters.iter().all(|one| one.contains(CLIENT)));
        letters
    }

    async fn state(&self, reference: &str) -> (HelpState, v1::GetDeskRequestResponse) {
        let admin = named("li", Role::PointAdmin);
        let opened = desk::get(&self.node.app, &admin, reference, "").await.unwrap();
        let state = opened.request.as_ref().unwrap().state;
        (HelpState::from_number(state, "state").unwrap(), opened)
    }

    async fn live(&self, kind: Kind) -> usize {
        let app = &self.node.app;
        let held = app.heads.find(&sealed_feed(&code(FOUNDER))).unwrap().held.unwrap();
        let page = app.db.page(held.slot, Sequence(0), 10_000, 10_000_000).await;
        let rows = page.unwrap().unwrap().rows;
        rows.iter().filter(|row| !row.removed && row.kind == kind).count()
    }
}

async fn with_file(world: &World) -> (String, Secret, RecordId) {
    let app = &world.node.app;
    let key = FileKey::new([7; 32]);
    let upload = attachments::upload(app, "note.txt", key).await.unwrap();
    upload.push(Part::Bytes(b"a note".to_vec())).await;
    upload.push(Part::End).await;
    let (file, _) = upload.finish().await.unwrap();
    let (mut message, tracking) = request("a lease", "");
    let content = message.content.as_mut().unwrap();
    content.contact = CLIENT.into();
    content.files = vec![v1::HelpFile {
        id: file.to_string(),
        name: "note.txt".into(),
        key: vec![7; 32],
        ..v1::HelpFile::default()
    }];
    let done = submit(app, &Caller::Anonymous, message.try_into().unwrap()).await.unwrap();
    let secret = Secret::parse(&done.reference, Some(secret(&tracking))).unwrap();
    (done.reference, secret, file)
}

#[tokio::test]
async fn a_request_is_closed_cleared_and_anonymised_and_each_is_said_before() {
    let world = World::new().await;
    let app = &world.node.app;
    let li = named("li", Role::PointAdmin);
    let (reference, secret, file) = with_file(&world).await;
    desk::reply(app, &li, &reference, "x", None).await.unwrap();
    desk::wait(app, &li, &reference, "and when?").await.unwrap();
    world.pass(6).await;
    assert_eq!(world.told().await.len(), 0);
    world.pass(1).await;
    let letters = world.told().await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert!(letters[0].contains("will be closed soon"));
    let tracked = track(app, &Caller::Anonymous, &secret, 0).await.unwrap();
    let Tracked::Here(shown) = tracked else { panic!("it was passed to nobody") };
    assert!(shown.close_due_time.is_some());
    // An answer ends the silence.
    reply(app, &Caller::Anonymous, &secret, RecordId([9; 16]), vec![1; 256]).await.unwrap();
    world.pass(30).await;
    assert_eq!(world.state(&reference).await.0, HelpState::InProgress);
    desk::wait(app, &li, &reference, "and when?").await.unwrap();
    world.pass(7).await;
    world.pass(7).await;
    assert_eq!(world.told().await.len(), 1);
    let (state, opened) = world.state(&reference).await;
    assert_eq!(state, HelpState::Closed);
    assert_eq!(opened.request.as_ref().unwrap().outcome, "no_answer");

    world.pass(83).await;
    let letters = world.told().await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert!(letters[0].contains("will be deleted soon"));
    assert_eq!(opened.content.unwrap().files.len(), 1);
    world.pass(7).await;
    let (_, opened) = world.state(&reference).await;
    let content = opened.content.unwrap();
    assert_eq!((content.text.as_str(), content.files.len()), ("a lease", 0));
    let mut db = app.db.reader().await.unwrap();
    assert_eq!(files::find(&mut db, file).await.unwrap(), None);
    assert_eq!(files::piece(&mut db, file, 0).await.unwrap(), None);
    drop(db);

    let before = desk::figures(app, &li, None).await.unwrap();
    world.pass(268).await;
    assert_eq!(world.told().await.len(), 1);
    assert_eq!(world.live(Kind::HELP_MESSAGE).await, 4);
    world.pass(7).await;
    let (state, opened) = world.state(&reference).await;
    assert_eq!((state, opened.content, opened.messages.len()), (HelpState::Closed, None, 0));
    let gone = track(app, &Caller::Anonymous, &secret, 0).await;
    assert!(matches!(gone, Err(Error::NotFound { .. })));
    for kind in [Kind::HELP_MESSAGE, Kind::HELP_KEY] {
        assert_eq!(world.live(kind).await, 0, "{kind:?}");
    }
    let after = desk::figures(app, &li, None).await.unwrap();
    let cells = |figures: &[v1::DeskFigures]| format!("{:?}", figures[0].cells);
    assert_eq!(cells(&before), cells(&after), "figures stay");
    let feed = sealed_feed(&code(FOUNDER));
    let sequence = app.heads.find(&feed).unwrap().held.unwrap().sequence;
    world.pass(1_000).await;
    assert_eq!(app.heads.find(&feed).unwrap().held.unwrap().sequence, sequence, "nothing is left");
    assert_eq!(world.told().await.len(), 0);
}

#[tokio::test]
async fn a_key_stays_as_long_as_something_is_sealed_under_it() {
    let world = World::new().await;
    let app = &world.node.app;
    let li = named("li", Role::PointAdmin);
    let (first, ..) = with_file(&world).await;
    let (second, ..) = with_file(&world).await;
    desk::reply(app, &li, &second, "x", None).await.unwrap();
    desk::redirect(app, &li, &first, ("not ours", "the police", "110")).await.unwrap();
    for days in [83, 7, 268, 7] {
        world.pass(days).await;
    }
    assert_eq!(world.state(&first).await.1.content, None);
    assert_eq!(world.state(&second).await.1.content.unwrap().text, "a lease");
    assert_eq!(world.live(Kind::HELP_KEY).await, 1);
}

#[tokio::test]
async fn a_lost_key_stops_no_step() {
    let world = World::new().await;
    let app = &world.node.app;
    let li = named("li", Role::PointAdmin);
    let (reference, secret, _) = with_file(&world).await;
    desk::redirect(app, &li, &reference, ("not ours", "the police", "110")).await.unwrap();
    world.told().await;
    let stored = owned(app, &secret).await.unwrap();
    super::stored::amend(
        app,
        stored.feed(),
        stored.id(),
        &crate::domain::audit::Deed::of_node("test"),
        |request, _| {
            request.wrap = vec![9; request.wrap.len()];
            Ok(Vec::new())
        },
    )
    .await
    .unwrap();
    let refused = desk::get(app, &li, &reference, "").await.map(|_| ());
    assert!(matches!(refused, Err(Error::Precondition { reason: "KEY_LOST", .. })), "{refused:?}");
    for days in [83, 7] {
        world.pass(days).await;
    }
    assert_eq!(world.told().await.len(), 0, "nobody here knows where");
    let request = owned(app, &secret).await.unwrap().request;
    assert!(request.content.is_empty(), "the keys of its files lay in it");
    for days in [268, 7] {
        world.pass(days).await;
    }
    assert!(matches!(owned(app, &secret).await, Err(Error::NotFound { .. })));
    assert_eq!(world.live(Kind::HELP_KEY).await, 0);
}
