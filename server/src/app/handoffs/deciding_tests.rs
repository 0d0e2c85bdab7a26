use super::*;
use crate::domain::{
    help_reference::Reference,
    help_request::samples::{always, request},
};

const HERE: &str = "GB-LON";
const OTHER: &str = "HK";
const REQUEST: [u8; 16] = [7; 16];

fn release(request: HelpRequest, number: u32) -> v1::HandoffWord {
    let mut word = v1::HandoffWord {
        handoff: vec![9; 16],
        request: REQUEST.to_vec(),
        owner_number: number,
        key_id: vec![4; 16],
        key: Some(v1::HelpKey::default()),
        help_request: Some(request.into()),
        ..v1::HandoffWord::default()
    };
    word.set_kind(v1::handoff_word::Kind::Release);
    word
}

fn noted(from: &str, to: &str, state: HandoffState) -> Noted {
    let home = HERE.parse().unwrap();
    let mut noted = first_note(&home, RecordId([9; 16]), from, &release(request(), 1));
    noted.handoff.to = to.to_owned();
    noted.handoff.state = state.number();
    noted
}

fn stub() -> v1::HelpStub {
    let request = request();
    v1::HelpStub {
        reference: request.reference.to_string(),
        lookup_hash: request.lookup_hash,
        mac_hash: request.mac_hash,
        owner_number: 1,
        ..v1::HelpStub::default()
    }
}

fn heard(noted: Option<&Noted>, known: Known<'_>, word: &v1::HandoffWord) -> Effect {
    hear(noted, known, OTHER, word).unwrap()
}

#[test]
fn an_owner_is_not_made_the_owner_of_what_it_was_never_offered() {
    let own = request();
    let known = Known { owned: Some(&own), ..Known::default() };
    assert_eq!(heard(None, known, &release(request(), 9)), Effect::Refused);
    let offered = noted(OTHER, HERE, HandoffState::Offered);
    assert_eq!(heard(Some(&offered), known, &release(request(), 9)), Effect::Refused);
    assert_eq!(heard(None, Known::default(), &release(request(), 1)), Effect::Owns);
}

#[test]
fn only_the_request_that_a_stub_is_left_of_takes_its_place() {
    let stub = stub();
    let known = Known { stub: Some(&stub), ..Known::default() };
    assert_eq!(heard(None, known, &release(request(), 2)), Effect::Owns);
    assert_eq!(heard(None, known, &release(request(), 1)), Effect::Nothing, "an old one");
    for other in [
        HelpRequest { lookup_hash: vec![8; 32], ..request() },
        HelpRequest { mac_hash: Vec::new(), ..request() },
        HelpRequest { reference: Reference::new("LON", 2023, 13), ..request() },
    ] {
        assert_eq!(heard(None, known, &release(other, 2)), Effect::Refused);
    }
}

#[test]
fn a_word_on_another_request_or_of_another_point_is_not_of_the_handoff() {
    let accepted = noted(OTHER, HERE, HandoffState::Accepted);
    let word = release(request(), 1);
    assert_eq!(heard(Some(&accepted), Known::default(), &word), Effect::Owns);
    let of_another = v1::HandoffWord { request: vec![8; 16], ..word.clone() };
    assert_eq!(heard(Some(&accepted), Known::default(), &of_another), Effect::Refused);
    let with_another = noted("AU-SYD", HERE, HandoffState::Accepted);
    assert_eq!(heard(Some(&with_another), Known::default(), &word), Effect::Refused);
}

#[test]
fn a_release_names_the_key_that_comes_with_it_and_no_other() {
    let hours = always();
    let taken = |word: &v1::HandoffWord| {
        let mut noted = noted(OTHER, HERE, HandoffState::Accepted);
        take_over(&mut noted, word, Time(1), (&hours, &hours))
    };
    let word = release(request(), 1);
    assert_eq!(taken(&word).unwrap().owner_number, 1);
    for forged in [
        v1::HandoffWord { key_id: vec![5; 16], ..word.clone() },
        v1::HandoffWord { key: None, ..word.clone() },
        v1::HandoffWord { key_id: Vec::new(), key: None, ..word },
    ] {
        assert!(matches!(taken(&forged), Err(Error::Invalid(_))));
    }
}

#[test]
fn what_follows_a_request_comes_from_who_had_it() {
    use Author::*;
    use Follower::*;
    for author in [None, Some(Client), Some(Desk), Some(Note), Some(System)] {
        assert_eq!(may_follow(&[], author), Some(false), "a stranger");
        assert_eq!(may_follow(&[FormerOwner], author), Some(true));
        assert_eq!(may_follow(&[Origin, FormerOwner], author), Some(true));
        assert_eq!(may_follow(&[Deputy], author), Some(author == Some(System)));
        let taken_in = matches!(author, None | Some(Client));
        assert_eq!(may_follow(&[Intake], author), Some(taken_in));
        assert_eq!(may_follow(&[Origin], author), None, "its RELEASE is on the way");
    }
    assert_eq!(may_follow(&[FormerOwner], Some(Unspecified)), Some(false));
}

#[test]
fn what_is_taken_over_stands_where_it_stood_and_is_nobodys() {
    use HelpState::*;
    let hours = always();
    for (before, after) in [
        (Received, Received),
        (Triaged, Triaged),
        // Whoever had it assigned does not handle it here.
        (Assigned, Triaged),
        (InProgress, InProgress),
        (WaitingClient, WaitingClient),
    ] {
        let mut noted = noted(OTHER, HERE, HandoffState::Accepted);
        let passed = HelpRequest { state: before, assignee: "li".into(), ..request() };
        let taken = take_over(&mut noted, &release(passed, 1), Time(1), (&hours, &hours)).unwrap();
        assert_eq!((taken.state, taken.assignee.as_str()), (after, ""), "{before:?}");
    }
}

#[test]
fn what_is_let_go_of_is_kept_until_it_has_come_and_comes_back_as_it_was() {
    let hours = always();
    let mut origin = noted(HERE, OTHER, HandoffState::Offered);
    let own = HelpRequest { assignee: "li".into(), ..request() };
    let wrapped = HelpRequest { wrap: vec![8; 104], ..own.clone() };
    let both = (own.clone(), wrapped);
    let mut stub = let_go(&mut origin, both, "wang", None, Time(1)).unwrap();
    assert_eq!((stub.owner.as_str(), stub.owner_number), (OTHER, 1));
    let said = origin.handoff.outgoing.clone().unwrap();
    assert!(said.kept && origin.handoff.unsettled);

    // Whoever takes it over knows who can still get it back.
    let mut other = noted(HERE, OTHER, HandoffState::Accepted);
    other.feed = sealed_feed(&OTHER.parse().unwrap());
    let word = v1::HandoffWord { key_id: vec![4; 16], key: Some(Default::default()), ..said };
    let taken = take_over(&mut other, &word, Time(2), (&hours, &hours)).unwrap();
    assert_eq!(taken.kept_by.map(|point| point.to_string()).as_deref(), Some(HERE));

    let elsewhere = v1::HelpStub { owner: "AU-SYD".into(), ..stub.clone() };
    assert!(take_back(&mut origin.clone(), &elsewhere, Time(3)).unwrap().is_none());
    let mut lost = origin.clone();
    let back = take_back(&mut lost, &stub, Time(3)).unwrap().unwrap();
    assert_eq!(lost.state().unwrap(), HandoffState::Returned);
    assert!(lost.handoff.outgoing.is_none() && !lost.handoff.unsettled);
    let as_it_was = HelpRequest { owner_number: 2, updated: Time(3), ..own };
    assert_eq!(back, as_it_was, "readable here, and newer than what was released");

    settle(&mut origin, &mut stub);
    assert_eq!((stub.kept.as_ref(), origin.handoff.unsettled), (None, false));
    assert_eq!(wire::said(origin.handoff.outgoing.as_ref().unwrap()), Some(Word::Done));
    assert!(take_back(&mut origin, &stub, Time(3)).unwrap().is_none());
}

#[test]
fn what_another_still_keeps_is_not_passed_on() {
    let mut own = request();
    own.handoff = Some(RecordId([9; 16]));
    let offered = noted(HERE, OTHER, HandoffState::Offered);
    let mut accept = wire::word(offered.id, &offered.handoff, Word::Accept);
    accept.request = REQUEST.to_vec();
    let known = |is_kept| Known { owned: Some(&own), stub: None, is_kept };
    assert_eq!(heard(Some(&offered), known(true), &accept), Effect::Later);
    assert_eq!(heard(Some(&offered), known(false), &accept), Effect::Releases);
    // The word that nothing is kept any more.
    let taken = noted(OTHER, HERE, HandoffState::Released);
    let done = wire::word(taken.id, &taken.handoff, Word::Done);
    assert_eq!(heard(Some(&taken), known(true), &done), Effect::Settled);
    assert_eq!(heard(Some(&taken), known(false), &done), Effect::Nothing);
    let accepted = noted(OTHER, HERE, HandoffState::Accepted);
    assert_eq!(heard(Some(&accepted), Known::default(), &done), Effect::Later, "RELEASE first");
}
