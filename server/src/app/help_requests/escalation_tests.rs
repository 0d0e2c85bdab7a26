//! What takes too long, with a clock that the test moves: a parent point hears of it and when it is over,
//! and an offer that nobody answers ends.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use prost::Message;
use yizhan_proto::v1;

use super::{
    stored::{get, sealed_feed, with_reference},
    tests::request,
    *,
};
use crate::{
    app::{
        desk, handoffs,
        samples::{FOUNDER, Node, admin, code, founder_with},
    },
    domain::{
        help_clock::ClockKind,
        help_reference::Reference,
        kind::Kind,
        roster::{NodeId, PointKind, RosterEntry, RosterNode},
        time::Time,
    },
    feed::change::Change,
    found::roster_id,
    identity::{caller::Caller, keys::CaseKey},
    notify::{Ways, samples::clock},
};

const DAY: usize = 24 * 60 * 60;

struct World {
    node: Node,
    seconds: Arc<AtomicUsize>,
}

impl World {
    /// A Tuesday in March 2023.
    async fn new() -> World {
        let seconds = Arc::new(AtomicUsize::new(1_680_000_000));
        World { node: founder_with(clock(&seconds), Ways::default()).await, seconds }
    }

    fn pass(&self, days: usize) {
        self.seconds.fetch_add(days * DAY, Ordering::SeqCst);
    }

    async fn enter(&self, entry: RosterEntry) {
        let id = roster_id("gd", &entry.code);
        let payload = v1::RosterPoint::from(entry).encode_to_vec();
        let change =
            Change::new().put(self.app().keys.roster_feed(), Kind::ROSTER_POINT, id, payload);
        self.app().writer.commit(change).await.unwrap();
    }

    fn app(&self) -> &App {
        &self.node.app
    }

    async fn ask(&self, country: &str) -> Submitted {
        let (mut message, _) = request("a lease", "");
        message.country = country.into();
        submit(self.app(), &Caller::Anonymous, message.try_into().unwrap()).await.unwrap()
    }

    /// References that the founder's desk is shown of points below, after the job has run twice.
    async fn shown_above(&self) -> Vec<String> {
        for _ in 0..2 {
            desk::escalate(self.app()).await.unwrap();
        }
        let asked = desk::Asked::default();
        let page = desk::list(self.app(), &admin(FOUNDER), asked).await.unwrap();
        let of = |one: v1::EscalatedRequest| one.escalation.unwrap().reference;
        page.escalations.into_iter().map(of).collect()
    }
}

#[tokio::test]
async fn a_parent_is_shown_what_was_not_kept_until_it_is_over() {
    let world = World::new().await;
    let mut london = RosterEntry::new(code("GB-LON"), "London".into(), PointKind::City);
    london.parent = Some(code(FOUNDER));
    london.host = Some(code(FOUNDER));
    world.enter(london).await;
    let answered = world.ask("GB").await;
    let withdrawn = world.ask("GB").await;
    assert_eq!(answered.owner.as_str(), "GB-LON");
    assert_eq!(world.shown_above().await, Vec::<String>::new());
    world.pass(3);
    let mut shown = world.shown_above().await;
    shown.sort();
    assert_eq!(shown, [answered.reference.clone(), withdrawn.reference.clone()]);

    let handler = admin(FOUNDER);
    desk::reply(world.app(), &handler, &answered.reference, "yes", None).await.unwrap();
    assert_eq!(world.shown_above().await, std::slice::from_ref(&withdrawn.reference));
    let advice = ("not ours", "the university", "+44 20 0000 0000");
    desk::redirect(world.app(), &handler, &withdrawn.reference, advice).await.unwrap();
    assert_eq!(world.shown_above().await, Vec::<String>::new());
    // Another promise, another word.
    world.pass(21);
    assert_eq!(world.shown_above().await, [answered.reference]);
}

#[tokio::test]
async fn an_offer_that_nobody_answers_ends_and_the_owners_clocks_have_gone_on() {
    let world = World::new().await;
    let app = world.app();
    let mut there = RosterEntry::new(code("HK"), "HK".into(), PointKind::City);
    there.parent = Some(code(FOUNDER));
    there.nodes.push(RosterNode { node: NodeId([2; 8]), spki_sha256: [1; 32], public_host: None });
    there.case_key = Some(CaseKey::generate().public());
    world.enter(there).await;
    let asked = world.ask("KE").await;
    assert_eq!(asked.owner.as_str(), FOUNDER);
    let offer = || handoffs::Offer {
        reference: asked.reference.clone(),
        to: code("HK"),
        summary: "a lease".into(),
        override_reason: String::new(),
    };
    let handler = admin(FOUNDER);
    handoffs::offer(app, &handler, offer()).await.ok().unwrap();
    let reference = Reference::parse(&asked.reference, "reference").unwrap();
    let id = with_reference(app, &reference).await.unwrap()[0].row.id;
    let feed = sealed_feed(&code(FOUNDER));
    let home = code(FOUNDER);
    let question = async || {
        handoffs::expire(app).await.unwrap();
        let handoff = get(app, &feed, id).await.unwrap().request.handoff.unwrap();
        handoffs::asked(app, &home, handoff).await.unwrap()
    };
    assert!(!question().await.unwrap().delay_told);
    world.pass(2);
    assert!(question().await.unwrap().delay_told, "the desk is reminded");
    world.pass(6);
    assert!(question().await.is_none(), "over");

    let request = get(app, &feed, id).await.unwrap().request;
    assert!(request.state.is_open());
    let first = request.clocks.find(ClockKind::FirstResponse).unwrap();
    assert_eq!(first.started, request.received, "it has run all the time");
    assert!(first.due.is_some() && first.met.is_none());
    let another = handoffs::offer(app, &handler, offer()).await;
    assert!(another.is_ok(), "another may be made");
}

#[tokio::test]
async fn what_a_point_could_not_keep_to_goes_when_it_leaves_the_network() {
    let world = World::new().await;
    for point in ["HK", "GB-LON"] {
        world.node.enrol(point).await;
        let mut db = world.app().db.local().await.unwrap();
        let escalation = v1::HelpEscalation { reference: point.into(), ..Default::default() };
        let of = (point, point, FOUNDER);
        let put = crate::store::help_requests::put_escalation;
        put(&mut db, of, &escalation.encode_to_vec(), world.app().outside.now().0).await.unwrap();
    }
    let mut shown = world.shown_above().await;
    shown.sort();
    assert_eq!(shown, ["GB-LON", "HK"]);
    let revoked = crate::domain::roster::Revocation { at: Time(1), reason: String::new() };
    world.node.enrol_with("HK", |entry| entry.revoked = Some(revoked)).await;
    assert_eq!(world.shown_above().await, ["GB-LON"]);
}

#[tokio::test]
async fn a_request_that_was_accepted_and_does_not_come_is_noticed() {
    let world = World::new().await;
    let app = world.app();
    let (feed, id) = (sealed_feed(&code(FOUNDER)), crate::domain::id::RecordId([8; 16]));
    let handoff = v1::Handoff {
        reference: Reference::new("HK", 2023, 12).to_string(),
        request: vec![7; 16],
        from: "HK".into(),
        to: FOUNDER.into(),
        state: crate::domain::handoff::HandoffState::Accepted.number(),
        decide_time: Some(crate::wire::value::time_message(app.outside.now())),
        ..v1::Handoff::default()
    };
    let change = Change::new().put(feed, Kind::HANDOFF, id, handoff.encode_to_vec());
    app.writer.commit(change).await.unwrap();
    let is_noticed = async || {
        handoffs::expire(app).await.unwrap();
        let found = crate::app::records::find(app, id).await.unwrap();
        found[0].message::<v1::Handoff>().unwrap().delay_told
    };
    assert!(!is_noticed().await);
    world.pass(2);
    assert!(is_noticed().await);
}
