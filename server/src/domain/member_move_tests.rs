//! The protocol against the worst of networks: points that crash at every step, words that are lost,
//! doubled and overtaken, records that change under way. Each step of a point is one commit; a word
//! leaves only after it, and is said again until it has been heard.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{
    prelude::*,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};

use super::*;

const POINTS: usize = 3;

/// Breaks the protocol on purpose.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Fault {
    None,
    /// The destination is home as soon as it has the copy.
    OwnsAtCopy,
    /// The old home lets go at the promise, before anything is there.
    ConfirmsAtAccept,
    /// The old home lets go of an older copy than what it has.
    ConfirmsWhatChanged,
    /// A CONFIRM that comes again counts again.
    OldConfirmCounts,
    /// A RECALL that overtakes its offer is forgotten.
    ForgetsRecall,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct MoveId(usize);

/// One side's note of a move.
#[derive(Clone, Debug)]
struct Note {
    side: Side,
    other: usize,
    state: MoveState,
    /// At the origin: the version that was sent last, and of which content.
    version: u64,
    sent: u64,
    /// At the destination: the version that is whole, and its content.
    whole: Option<(u64, u64)>,
}

/// What a point has on its disk.
#[derive(Clone, Default, Debug)]
struct Disk {
    holding: Holding,
    /// What the home knows of the person; it counts up with every change.
    content: u64,
    is_erased: bool,
    notes: BTreeMap<MoveId, Note>,
    /// Written, and not known to be heard. A copy says which content it carries.
    outbox: BTreeSet<(MoveId, usize, Word, u64)>,
}

#[derive(Clone, Debug)]
struct Parcel {
    id: MoveId,
    from: usize,
    to: usize,
    word: Word,
    content: u64,
}

struct World {
    disks: Vec<Disk>,
    wire: Vec<Parcel>,
    next: usize,
    /// The newest content that anybody was told is stored.
    newest: u64,
    seen: Vec<u32>,
    ended: BTreeMap<MoveId, MoveState>,
    fault: Fault,
}

#[derive(Clone, Debug)]
enum Event {
    Request(usize, usize),
    Offer(usize),
    Accept(usize),
    Decline(usize),
    Recall(usize),
    Expire(usize),
    /// The home changes what it knows of the person.
    Edit,
    Erase,
    Post(usize),
    /// The parcel at that place arrives; it may be any, and it may stay to arrive again.
    Arrive(usize, bool),
    Lose(usize),
}

impl World {
    fn new(fault: Fault) -> World {
        let mut disks = vec![Disk::default(); POINTS];
        disks[0].holding = Holding::Owner(0);
        disks[0].content = 1;
        World {
            disks,
            wire: Vec::new(),
            next: 0,
            newest: 1,
            seen: vec![0; POINTS],
            ended: BTreeMap::new(),
            fault,
        }
    }

    fn run(&mut self, event: &Event) {
        match event {
            Event::Request(from, to) => self.request(*from, *to),
            Event::Offer(point) => self.step(*point, Side::Origin, MoveStep::Offer),
            Event::Recall(point) => self.step(*point, Side::Origin, MoveStep::Recall),
            Event::Expire(point) => self.step(*point, Side::Origin, MoveStep::Expire),
            Event::Accept(point) => self.step(*point, Side::Destination, MoveStep::Accept),
            Event::Decline(point) => self.step(*point, Side::Destination, MoveStep::Decline),
            Event::Edit => {
                let newest = &mut self.newest;
                let is_home = |disk: &&mut Disk| matches!(disk.holding, Holding::Owner(_));
                self.disks.iter_mut().filter(is_home).for_each(|disk| {
                    *newest += 1;
                    disk.content = *newest;
                });
            }
            Event::Erase => self.erase(),
            Event::Post(point) => {
                for (id, to, word, content) in self.disks[*point].outbox.clone() {
                    self.wire.push(Parcel { id, from: *point, to, word, content });
                }
            }
            Event::Arrive(at, again) if !self.wire.is_empty() => {
                let at = at % self.wire.len();
                let parcel = match again {
                    true => self.wire[at].clone(),
                    false => self.wire.swap_remove(at),
                };
                self.arrive(&parcel);
            }
            Event::Lose(at) if !self.wire.is_empty() => {
                let at = at % self.wire.len();
                self.wire.swap_remove(at);
            }
            Event::Arrive(..) | Event::Lose(_) => {}
        }
    }

    fn request(&mut self, from: usize, to: usize) {
        let disk = &mut self.disks[from];
        let free =
            disk.notes.values().all(|note| note.side != Side::Origin || !note.state.is_open());
        if from == to || !matches!(disk.holding, Holding::Owner(_)) || disk.is_erased || !free {
            return;
        }
        let id = MoveId(self.next);
        self.next += 1;
        let state = MoveState::Requested;
        let note = Note { side: Side::Origin, other: to, state, version: 0, sent: 0, whole: None };
        disk.notes.insert(id, note);
    }

    /// Somebody at a point acts on the newest move for which that is possible.
    fn step(&mut self, point: usize, side: Side, step: MoveStep) {
        let disk = &mut self.disks[point];
        let found = disk.notes.iter_mut().rev().find_map(|(id, note)| {
            let next = (note.side == side).then(|| after(side, note.state, step)).flatten()?;
            Some((*id, note, next))
        });
        let Some((id, note, next)) = found else { return };
        let before = std::mem::replace(&mut note.state, next);
        let other = note.other;
        if let Some(word) = word_for(side, next, Some(before), note.version) {
            disk.outbox.insert((id, other, word, 0));
        }
    }

    fn erase(&mut self) {
        for disk in &mut self.disks {
            if !matches!(disk.holding, Holding::Owner(_)) {
                continue;
            }
            disk.is_erased = true;
            for (id, note) in &mut disk.notes {
                let recalled = (note.side == Side::Origin)
                    .then(|| after(Side::Origin, note.state, MoveStep::Recall))
                    .flatten();
                let Some(next) = recalled else { continue };
                let before = std::mem::replace(&mut note.state, next);
                if let Some(word) = word_for(Side::Origin, next, Some(before), 0) {
                    disk.outbox.insert((*id, note.other, word, 0));
                }
            }
        }
    }

    /// A word arrives: one commit, and the sender learns that it was heard.
    fn arrive(&mut self, parcel: &Parcel) {
        let note = self.disks[parcel.to].notes.get(&parcel.id).cloned();
        match note {
            Some(note) if note.side == Side::Origin => self.at_origin(parcel, note),
            note => self.at_destination(parcel, note),
        }
        let Parcel { id, to, word, content, .. } = *parcel;
        self.disks[parcel.from].outbox.remove(&(id, to, word, content));
    }

    fn at_origin(&mut self, parcel: &Parcel, mut note: Note) {
        let Parcel { id, from, word, .. } = *parcel;
        let fault = self.fault;
        let disk = &mut self.disks[parcel.to];
        let at = AtOrigin {
            state: note.state,
            version: note.version,
            is_unchanged: note.sent == disk.content || fault == Fault::ConfirmsWhatChanged,
            may_go: matches!(disk.holding, Holding::Owner(_)) && !disk.is_erased,
        };
        let mut effect = hear_at_origin(at, word);
        if fault == Fault::ConfirmsAtAccept && effect == Effect::Becomes(MoveState::Accepted) {
            effect = Effect::Confirms;
        }
        match effect {
            Effect::Becomes(MoveState::Accepted) | Effect::CopiesAgain => {
                note.state = MoveState::Accepted;
                note.version += 1;
                note.sent = disk.content;
                disk.outbox
                    .retain(|(known, _, word, _)| *known != id || !matches!(word, Word::Copy(_)));
                disk.outbox.insert((id, from, Word::Copy(note.version), note.sent));
            }
            Effect::Becomes(state) => {
                let before = std::mem::replace(&mut note.state, state);
                if let Some(word) = word_for(Side::Origin, state, Some(before), note.version) {
                    disk.outbox.insert((id, from, word, 0));
                }
            }
            Effect::Confirms => {
                if let Some((stub, number)) = disk.holding.after_own_release() {
                    note.state = MoveState::Confirmed;
                    disk.holding = stub;
                    disk.content = 0;
                    disk.outbox.insert((id, from, Word::Confirm(number, note.version), 0));
                }
            }
            Effect::Answer(word) => {
                disk.outbox.insert((id, from, word, 0));
            }
            Effect::Owns => unreachable!("only a destination becomes home"),
            Effect::Nothing => {}
        }
        disk.notes.insert(id, note);
    }

    fn at_destination(&mut self, parcel: &Parcel, note: Option<Note>) {
        let Parcel { id, from, word, content, .. } = *parcel;
        let fault = self.fault;
        let disk = &mut self.disks[parcel.to];
        let state = note.as_ref().map(|note| note.state);
        let mut note = note.unwrap_or(Note {
            side: Side::Destination,
            other: from,
            state: MoveState::Offered,
            version: 0,
            sent: 0,
            whole: None,
        });
        // What has come is whole at once here; an older version never takes a newer one's place.
        if let (Word::Copy(version), Some(MoveState::Accepted | MoveState::Copied)) = (word, state)
            && note.whole.is_none_or(|(known, _)| known < version)
        {
            note.whole = Some((version, content));
        }
        let whole = note.whole.map(|(version, _)| version);
        let mut effect = hear_at_destination(state, disk.holding, whole, word);
        match (fault, state, word) {
            (Fault::ForgetsRecall, None, Word::Recall) => effect = Effect::Nothing,
            (Fault::OldConfirmCounts, Some(MoveState::Confirmed), Word::Confirm(..))
            | (Fault::ConfirmsAtAccept, Some(_), Word::Confirm(..)) => effect = Effect::Owns,
            (Fault::OwnsAtCopy, _, Word::Copy(_)) if effect != Effect::Nothing => {
                disk.holding = Holding::Owner(1_000);
            }
            _ => {}
        }
        match effect {
            Effect::Becomes(state) => {
                note.state = state;
                let version = note.whole.map_or(0, |(version, _)| version);
                if let Some(word) = word_for(Side::Destination, state, None, version) {
                    disk.outbox.insert((id, from, word, 0));
                }
                if state == MoveState::Recalled {
                    note.whole = None;
                }
            }
            Effect::Owns => {
                let Word::Confirm(number, _) = word else {
                    unreachable!("only a CONFIRM makes homes")
                };
                note.state = MoveState::Confirmed;
                disk.holding = Holding::Owner(number);
                disk.content = note.whole.map_or(0, |(_, content)| content);
            }
            Effect::Answer(word) => {
                disk.outbox.insert((id, from, word, 0));
            }
            Effect::Confirms | Effect::CopiesAgain => unreachable!("only an origin lets go"),
            Effect::Nothing if state.is_none() => return,
            Effect::Nothing => {}
        }
        disk.notes.insert(id, note);
    }

    /// Everything that was written arrives.
    fn heal(&mut self) -> Result<(), String> {
        for _ in 0..30 {
            for point in 0..POINTS {
                self.run(&Event::Post(point));
            }
            while let Some(parcel) = self.wire.pop() {
                self.arrive(&parcel);
                self.check()?;
            }
        }
        Ok(())
    }

    fn homes(&self) -> Vec<usize> {
        let is_home = |point: &usize| matches!(self.disks[*point].holding, Holding::Owner(_));
        (0..POINTS).filter(is_home).collect()
    }

    /// Where the newest CONFIRM leads, if it has not arrived: the point that is to be home.
    fn under_way(&self) -> Vec<usize> {
        let confirms = self.disks.iter().flat_map(|disk| &disk.outbox);
        let newest = confirms
            .filter_map(|(id, to, word, _)| match word {
                Word::Confirm(number, version) => Some((*number, *id, *to, *version)),
                _ => None,
            })
            .max();
        let Some((number, id, to, version)) = newest else { return Vec::new() };
        let is_newest = self.disks.iter().all(|disk| match disk.holding {
            Holding::Nothing => true,
            Holding::Owner(known) => known < number,
            Holding::Stub(known) => known <= number,
        });
        let note = self.disks[to].notes.get(&id);
        let is_whole = note
            .and_then(|note| note.whole)
            .is_some_and(|(held, content)| held == version && content == self.newest);
        if is_newest && is_whole { vec![to] } else { Vec::new() }
    }

    /// What has to hold at every moment, whatever is under way.
    fn check(&mut self) -> Result<(), String> {
        let homes = self.homes();
        if homes.len() > 1 {
            return Err(format!("two homes: {homes:?}"));
        }
        // Between the two commits the copy that was let go of lies whole at the destination.
        if homes.is_empty() && self.under_way().len() != 1 {
            return Err("no home, and nobody has what the old one let go of".into());
        }
        if let [home] = homes[..]
            && self.disks[home].content != self.newest
        {
            return Err(format!("{home} is home and has lost a change"));
        }
        for (point, disk) in self.disks.iter().enumerate() {
            let number = match disk.holding {
                Holding::Nothing => 0,
                Holding::Owner(number) | Holding::Stub(number) => number,
            };
            if number < self.seen[point] {
                return Err(format!("{point} goes back from {} to {number}", self.seen[point]));
            }
            self.seen[point] = number;
            let open = disk.notes.values().filter(|n| n.side == Side::Origin && n.state.is_open());
            if open.count() > 1 {
                return Err(format!("{point} has two open moves"));
            }
            for (id, note) in &disk.notes {
                if note.side == Side::Origin && !note.state.is_open() {
                    let ended = *self.ended.entry(*id).or_insert(note.state);
                    if ended != note.state {
                        return Err(format!("{id:?} ended as {ended:?}, then as {:?}", note.state));
                    }
                }
            }
        }
        Ok(())
    }

    /// What has to hold once everything has arrived.
    fn check_healed(&mut self) -> Result<(), String> {
        self.check()?;
        if self.homes().len() != 1 {
            return Err("no home after everything has arrived".into());
        }
        for (id, note) in self.disks.iter().flat_map(|disk| &disk.notes) {
            let other = &self.disks[note.other].notes;
            let is_open = |id| other.get(id).is_some_and(|note: &Note| note.state.is_open());
            if note.side == Side::Destination && note.state.is_open() && !is_open(id) {
                return Err(format!("{id:?} stays open at the destination: {note:?}"));
            }
        }
        Ok(())
    }
}

fn event() -> impl Strategy<Value = Event> {
    let point = 0..POINTS;
    prop_oneof![
        3 => (point.clone(), point.clone()).prop_map(|(from, to)| Event::Request(from, to)),
        4 => point.clone().prop_map(Event::Offer),
        4 => point.clone().prop_map(Event::Accept),
        1 => point.clone().prop_map(Event::Decline),
        1 => point.clone().prop_map(Event::Recall),
        1 => point.clone().prop_map(Event::Expire),
        2 => Just(Event::Edit),
        1 => Just(Event::Erase),
        8 => point.prop_map(Event::Post),
        16 => (any::<usize>(), any::<bool>()).prop_map(|(at, again)| Event::Arrive(at, again)),
        2 => any::<usize>().prop_map(Event::Lose),
    ]
}

fn walk(fault: Fault, events: &[Event]) -> Result<(), String> {
    let mut world = World::new(fault);
    for event in events {
        world.run(event);
        world.check()?;
    }
    world.heal()?;
    world.check_healed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn a_member_has_one_home_whatever_happens(events in prop::collection::vec(event(), 0..160)) {
        let outcome = walk(Fault::None, &events);
        prop_assert!(outcome.is_ok(), "{}", outcome.unwrap_err());
    }
}

/// Runs schedules until one shows the fault; the harness counts only if it does.
fn caught(fault: Fault) -> String {
    let config = ProptestConfig {
        cases: 40_000,
        failure_persistence: None,
        max_shrink_iters: 0,
        ..ProptestConfig::default()
    };
    // The same schedules every time: a fault is caught, or it is not.
    let chance = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, chance);
    let found = runner.run(&prop::collection::vec(event(), 0..160), |events| {
        walk(fault, &events).map_err(TestCaseError::fail)
    });
    found.expect_err("the fault is not noticed").to_string()
}

#[test]
fn a_home_that_moves_with_the_copy_is_caught() {
    let what = caught(Fault::OwnsAtCopy);
    assert!(what.contains("two homes"), "{what}");
}

#[test]
fn letting_go_before_the_copy_is_there_is_caught() {
    let what = caught(Fault::ConfirmsAtAccept);
    assert!(what.contains("nobody has what the old one let go of"), "{what}");
}

#[test]
fn letting_go_of_an_older_copy_is_caught() {
    let what = caught(Fault::ConfirmsWhatChanged);
    assert!(what.contains("lost a change") || what.contains("nobody has"), "{what}");
}

#[test]
fn a_confirm_that_counts_again_is_caught() {
    caught(Fault::OldConfirmCounts);
}

#[test]
fn a_recall_that_overtakes_its_offer_and_is_forgotten_is_caught() {
    caught(Fault::ForgetsRecall);
}

/// Every crash between two commits: each prefix of the way, then everything arrives.
#[test]
fn the_way_of_the_book_may_be_cut_after_every_step() {
    let mut way = Vec::new();
    for (from, to) in [(0, 1), (1, 2), (2, 0)] {
        way.extend([
            Event::Request(from, to),
            Event::Offer(from),
            Event::Post(from),
            Event::Arrive(0, false),
            Event::Accept(to),
            Event::Post(to),
            Event::Arrive(0, false),
            // The copy, what was changed meanwhile, and the newer copy.
            Event::Post(from),
            Event::Arrive(0, false),
            Event::Edit,
            Event::Post(to),
            Event::Arrive(0, false),
            Event::Post(from),
            Event::Arrive(0, false),
            Event::Post(to),
            Event::Arrive(0, false),
            Event::Post(from),
            Event::Arrive(0, false),
        ]);
    }
    for cut in 0..=way.len() {
        assert_eq!(walk(Fault::None, &way[..cut]), Ok(()), "cut after {cut} steps");
    }
    let mut world = World::new(Fault::None);
    way.iter().for_each(|event| world.run(event));
    assert_eq!(world.disks[0].holding, Holding::Owner(3), "back where it began, as the fourth");
    assert_eq!(world.disks[2].holding, Holding::Stub(3));
    assert_eq!(world.disks[0].content, world.newest);
}

#[test]
fn after_a_confirm_nothing_is_taken_back() {
    for step in MoveStep::ALL {
        assert_eq!(after(Side::Origin, MoveState::Confirmed, step), None);
        assert_eq!(after(Side::Destination, MoveState::Confirmed, step), None);
    }
    let refused = moved(Side::Origin, MoveState::Confirmed, MoveStep::Recall).unwrap_err();
    assert_eq!(refused.hint, "confirmed: recall; allowed: -");
    let refused = moved(Side::Destination, MoveState::Offered, MoveStep::Recall);
    assert_eq!(refused, Ok(MoveState::Recalled));
    let refused = moved(Side::Origin, MoveState::Offered, MoveStep::Confirm).unwrap_err();
    assert_eq!(refused.hint, "offered: confirm; allowed: accept, decline, recall, expire");
}
