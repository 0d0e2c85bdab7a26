//! A point of the simulated network. People at it decide, words come, jobs enter and send them: each
//! step reads, decides by the real rules, and commits after a while; a crash may come in between.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use prost::Message;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::sync::{Notify, mpsc};
use turmoil::net::UdpSocket;
use yizhan_proto::v1;
use yizhan_server::{
    app::{
        handoffs::{
            Noted,
            deciding::{self, Known},
        },
        help_requests::{desks::of_code, stored::sealed_feed},
    },
    domain::{
        handoff::{self, Effect, HandoffMove, HandoffState, Side, Word},
        help_request::HelpRequest,
        help_state::HelpMove,
        id::{PointCode, RecordId},
        kind::Kind,
        position::Sequence,
        time::Time,
        working_time::WorkingTime,
    },
    feed::change::Change,
    wire::{handoff as wire, value::time_message},
};

use super::{
    Defect,
    disk::{Arrived, Disk},
    is,
    oracle::World,
};

pub const PORT: u16 = 4100;
/// The simulated day begins here: Monday 2026-01-05, 08:00 in China.
const START_US: i64 = 1_767_571_200_000_000;
/// Between two rounds of the jobs.
const ROUND: Duration = Duration::from_millis(150);
/// Longest that a commit takes.
const COMMIT_MAX_MS: u64 = 25;
/// Number of the owner that a forged RELEASE makes.
const FORGED: u32 = 500;
const DATAGRAM_MAX: usize = 16 * 1_024;
/// Parcels that are sent again in one round.
const POSTED_MAX: usize = 32;

/// What people do.
#[derive(Clone, Debug)]
pub enum Deed {
    Submit(RecordId, Box<HelpRequest>),
    /// To that point; the client was asked, or somebody answers for it.
    Offer {
        to: usize,
        asked: bool,
        dice: u64,
    },
    Step {
        side: Side,
        step: HandoffMove,
        dice: u64,
    },
    /// Gives away once more, and as another, what this point was given: whoever gave it has the stub
    /// of it still, or has got it back.
    Forge {
        dice: u64,
    },
    /// A client or the desk ends a request.
    End {
        step: HelpMove,
        dice: u64,
    },
}

pub struct Point {
    pub index: usize,
    pub code: PointCode,
    pub disk: Mutex<Disk>,
    pub world: Arc<World>,
    deeds: Mutex<Option<mpsc::UnboundedSender<Deed>>>,
    rng: Mutex<StdRng>,
    work: Notify,
    codes: Vec<PointCode>,
}

pub fn host(index: usize) -> String {
    format!("p{index}")
}

impl Point {
    pub fn new(index: usize, codes: Vec<PointCode>, seed: u64, world: Arc<World>) -> Point {
        let own = seed ^ (index as u64 + 1).wrapping_mul(0x9e37_79b9);
        Point {
            index,
            code: codes[index].clone(),
            disk: Mutex::default(),
            world,
            deeds: Mutex::default(),
            rng: Mutex::new(StdRng::seed_from_u64(own)),
            work: Notify::new(),
            codes,
        }
    }

    pub fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub fn does(&self, deed: Deed) {
        if let Some(deeds) = &*self.deeds.lock().expect("BUG: one thread") {
            let _ = deeds.send(deed);
        }
    }

    pub fn crashed(&self) {
        *self.deeds.lock().expect("BUG: one thread") = None;
    }

    fn roll(&self, below: u64) -> u64 {
        self.rng.lock().expect("BUG: one thread").random_range(0..below)
    }

    fn now(&self) -> Time {
        let elapsed = turmoil::sim_elapsed().unwrap_or_default();
        // A second of the simulation is an hour of the desk, so that clocks have something to count.
        Time(START_US + elapsed.as_micros() as i64 * 3_600)
    }

    fn hours(&self, code: &PointCode) -> WorkingTime {
        of_code(code).working
    }

    /// Does the roster that has come here say that a point has left?
    fn has_left(&self, point: usize) -> bool {
        self.world.has_left(self.index, point, turmoil::sim_elapsed().unwrap_or_default())
    }

    fn index_of(&self, code: &PointCode) -> usize {
        self.codes.iter().position(|known| known == code).expect("BUG: a point")
    }

    async fn takes_a_while(&self) {
        let _pending = self.world.pending(self.index);
        tokio::time::sleep(Duration::from_millis(self.roll(COMMIT_MAX_MS))).await;
    }

    /// Makes a change durable; false if somebody else was faster. A crash before it loses it, one
    /// after it loses what comes next.
    async fn commit(&self, change: Change) -> bool {
        self.takes_a_while().await;
        let done = self.disk().commit(&change);
        self.world.touched();
        self.world.fired(if done { "commit" } else { "overtaken commit" });
        self.takes_a_while().await;
        done
    }

    async fn write(&self, write: impl FnOnce(&mut Disk)) {
        self.takes_a_while().await;
        write(&mut self.disk());
        self.world.touched();
        self.takes_a_while().await;
    }
}

/// Runs the node of a point until it crashes.
pub async fn run(point: Arc<Point>) -> turmoil::Result {
    let socket = Arc::new(UdpSocket::bind((IpAddr::V4(Ipv4Addr::UNSPECIFIED), PORT)).await?);
    let (deeds, mut done) = mpsc::unbounded_channel();
    *point.deeds.lock().expect("BUG: one thread") = Some(deeds);
    let people = {
        let point = point.clone();
        async move {
            while let Some(deed) = done.recv().await {
                point.act(deed).await;
                point.work.notify_one();
            }
        }
    };
    let jobs = {
        let (point, socket) = (point.clone(), socket.clone());
        async move {
            loop {
                point.enter().await;
                point.settle().await;
                point.send().await;
                point.give_up().await;
                point.deliver(&socket);
                let _ = tokio::time::timeout(ROUND, point.work.notified()).await;
            }
        }
    };
    let hearing = async move {
        let mut buffer = vec![0; DATAGRAM_MAX];
        while let Ok((len, _)) = socket.recv_from(&mut buffer).await {
            point.receive(&socket, &buffer[..len]).await;
        }
    };
    tokio::join!(people, jobs, hearing);
    Ok(())
}

/// What people at the desk do, as `app/handoffs/desk.rs` does it.
impl Point {
    async fn act(&self, deed: Deed) {
        match deed {
            Deed::Submit(id, request) => {
                let payload = v1::HelpRequest::from(*request).encode_to_vec();
                let feed = sealed_feed(&self.code);
                let change = Change::new().expect(feed.clone(), id, None);
                self.commit(change.put(feed, Kind::HELP_REQUEST, id, payload)).await;
            }
            Deed::Offer { to, asked, dice } => self.offer(to, asked, dice).await,
            Deed::Step { side, step, dice } => self.step(side, step, dice).await,
            Deed::Forge { dice } => self.forge(dice).await,
            Deed::End { step, dice } => self.end(step, dice).await,
        }
    }

    async fn offer(&self, to: usize, asked: bool, dice: u64) {
        let disk = self.disk().clone();
        let is_free = |(_, request, _): &(RecordId, HelpRequest, Sequence)| {
            let open = request.handoff.and_then(|id| disk.noted(&self.code, id));
            request.state.is_open() && !open.is_some_and(|noted| is_open(&noted))
        };
        let free: Vec<_> = disk.all_owned().into_iter().filter(is_free).collect();
        let Some((id, mut request, at)) = pick(free, dice) else { return };
        if to == self.index || self.has_left(to) {
            return;
        }
        let now = self.now();
        let state = if asked { HandoffState::Asked } else { HandoffState::Offered };
        let number = u128::from(self.roll(u64::MAX));
        let offer = RecordId((number << 64 | u128::from(dice)).to_be_bytes());
        let summary = match is(Defect::OffersContent) {
            true => String::from_utf8_lossy(&request.content).into_owned(),
            false => "needs an interpreter".to_owned(),
        };
        let mut noted = Noted {
            feed: sealed_feed(&self.code),
            id: offer,
            at: None,
            handoff: v1::Handoff {
                reference: request.reference.to_string(),
                request: id.0.to_vec(),
                from: self.code.to_string(),
                to: self.codes[to].to_string(),
                preview: Some(v1::HandoffPreview {
                    category: request.category.name().to_owned(),
                    region: request.region.code().to_owned(),
                    language: request.language.to_string(),
                    urgency: request.urgency.number(),
                    summary,
                }),
                offer_time: Some(time_message(now)),
                expire_time: Some(time_message(handoff::expires(now, handoff::OFFER_HOURS))),
                state: state.number(),
                ..v1::Handoff::default()
            },
        };
        if state == HandoffState::Offered {
            noted.say(Word::Offer);
        }
        request.handoff = Some(offer);
        let change = self.request_put(Change::new(), id, request, at);
        self.commit(noted.put(change)).await;
    }

    async fn step(&self, side: Side, step: HandoffMove, dice: u64) {
        let (all, now) = (self.disk().all_noted(&self.code), self.now());
        let can = |noted: &Noted| {
            let state = noted.state().expect("BUG: written here");
            noted.side() == side && handoff::after(side, state, step).is_some()
        };
        let Some(mut noted) = pick(all.into_iter().filter(can).collect(), dice) else { return };
        noted.step(step, now).expect("BUG: in the table");
        if step == HandoffMove::Decline {
            noted.handoff.reason = "no lawyer here".to_owned();
            noted.say(Word::Decline);
        }
        let mut change = noted.put(Change::new());
        let id = noted.request().expect("BUG: written here");
        if is(Defect::OwnsAtAccept) && step == HandoffMove::Accept {
            let at = self.disk().records.get(&id).map(|kept| kept.at);
            let mut request = self.world.request(id);
            request.owner_number = 1_000;
            change = self.request_change(change, id, request, at);
        }
        self.commit(change).await;
    }

    async fn forge(&self, dice: u64) {
        let was_given = |noted: &Noted| {
            let state = noted.state().expect("BUG: written here");
            noted.side() == Side::Destination && state == HandoffState::Released
        };
        let given = self.disk().all_noted(&self.code).into_iter().filter(was_given).collect();
        let Some(noted) = pick(given, dice) else { return };
        let id = noted.request().expect("BUG: written here");
        let other = HelpRequest { lookup_hash: vec![9; 32], ..self.world.request(id) };
        let word = v1::HandoffWord {
            handoff: u128::from(dice).to_be_bytes().to_vec(),
            help_request: Some(other.into()),
            ..wire::word(noted.id, &noted.handoff, Word::Release(FORGED))
        };
        let to = self.index_of(&noted.other().expect("BUG: written here"));
        self.write(|disk| disk.post(to, word.encode_to_vec())).await;
    }

    /// Ends a request, and with it what is offered of it, in one commit.
    async fn end(&self, step: HelpMove, dice: u64) {
        let (disk, now) = (self.disk().clone(), self.now());
        let hours = self.hours(&self.code);
        let open: Vec<_> =
            disk.all_owned().into_iter().filter(|(_, r, _)| r.state.is_open()).collect();
        let Some((id, mut request, at)) = pick(open, dice) else { return };
        if request.step(step, now, &hours).is_err() {
            return;
        }
        let ended = !request.state.is_open();
        let offered = request.handoff.and_then(|offer| disk.noted(&self.code, offer));
        let mut change = self.request_put(Change::new(), id, request, at);
        if let Some(mut noted) = offered.filter(|noted| ended && is_open(noted)) {
            noted.step(HandoffMove::Recall, now).expect("BUG: open");
            change = noted.put(change);
        }
        // What is done outside the network binds nobody in it.
        if self.commit(change).await && ended && !self.world.is_revoked(self.index) {
            self.world.ended(id);
        }
    }

    fn request_put(
        &self,
        change: Change,
        id: RecordId,
        request: HelpRequest,
        at: Sequence,
    ) -> Change {
        self.request_change(change, id, request, Some(at))
    }

    fn request_change(
        &self,
        change: Change,
        id: RecordId,
        request: HelpRequest,
        at: Option<Sequence>,
    ) -> Change {
        let (feed, payload) = (sealed_feed(&self.code), v1::HelpRequest::from(request));
        let change = change.expect(feed.clone(), id, at);
        change.put(feed, Kind::HELP_REQUEST, id, payload.encode_to_vec())
    }
}

/// What jobs do, as `entering.rs` and `sending.rs` do it.
impl Point {
    async fn enter(&self) {
        let arrived: Vec<_> =
            self.disk().arrived.iter().map(|(key, one)| (key.clone(), one.clone())).collect();
        for (key, one) in arrived {
            if is(Defect::ForgetsBeforeEntering) {
                self.write(|disk| drop(disk.arrived.remove(&key))).await;
                self.enter_one(key.1, &one).await;
            } else if self.enter_one(key.1, &one).await {
                self.write(|disk| drop(disk.arrived.remove(&key))).await;
            }
        }
    }

    /// False: not yet.
    async fn enter_one(&self, id: RecordId, arrived: &Arrived) -> bool {
        let word = v1::HandoffWord::decode(&arrived.word[..]).expect("BUG: nobody damages words");
        let Some(said) = wire::said(&word) else { return true };
        let request = RecordId(word.request[..].try_into().expect("BUG: an id"));
        let (noted, owned, stub) = {
            let disk = self.disk();
            (disk.noted(&self.code, id), disk.owned(request), disk.stub(request))
        };
        let kept_by = owned.as_ref().and_then(|(request, _)| request.kept_by.as_ref());
        let is_kept = kept_by.is_some_and(|point| !self.has_left(self.index_of(point)));
        let owned_here = owned.as_ref().map(|(request, _)| request);
        let mut known = Known { owned: owned_here, stub: stub.as_ref(), is_kept };
        if is(Defect::OldReleaseCounts) && matches!(said, Word::Release(_)) {
            known = Known::default();
        }
        if is(Defect::ForgetsRecall) && noted.is_none() && said == Word::Recall {
            return true;
        }
        let sender = arrived.sender.as_str();
        let state = noted.as_ref().map(|noted| noted.state().expect("BUG: written here"));
        let mut effect = deciding::hear(noted.as_ref(), known, sender, &word)
            .unwrap_or_else(|error| panic!("{said:?} of {sender} is not well formed: {error}"));
        if is(Defect::BelievesForgeries) && effect == Effect::Refused {
            effect = Effect::Owns;
        }
        if is(Defect::ReleasesAfterRecall)
            && (state, said) == (Some(HandoffState::Recalled), Word::Accept)
            && owned.is_some()
        {
            effect = Effect::Releases;
        }
        let mut noted =
            noted.unwrap_or_else(|| deciding::first_note(&self.code, id, sender, &word));
        let (now, hours) = (self.now(), self.hours(&self.code));
        match effect {
            Effect::Nothing => true,
            Effect::Later => false,
            Effect::Settled => {
                let (mut owned, at) = owned.expect("BUG: decided by it");
                if owned.kept_by.as_ref() != Some(&arrived.sender) {
                    return true;
                }
                owned.kept_by = None;
                self.commit(self.request_put(Change::new(), request, owned, at)).await
            }
            Effect::Refused => {
                self.world.fired("forgery refused");
                true
            }
            Effect::Becomes(state) => {
                deciding::become_state(&mut noted, state, &word, now, &hours)
                    .expect("BUG: the word is well formed");
                self.commit(noted.put(Change::new())).await
            }
            Effect::Answer(answer) => {
                noted.say(answer);
                self.commit(noted.put(Change::new())).await
            }
            Effect::Releases => {
                let (owned, at) = owned.expect("BUG: decided by it");
                self.let_go(noted, request, owned, at, now).await
            }
            Effect::Owns => {
                let at = self.disk().records.get(&request).map(|kept| kept.at);
                let before = self.hours(&arrived.sender);
                let taken = deciding::take_over(&mut noted, &word, now, (&before, &hours))
                    .expect("BUG: the word is well formed");
                let change = self.request_change(Change::new(), request, taken, at);
                self.commit(noted.put(change)).await
            }
        }
    }

    async fn let_go(
        &self,
        mut noted: Noted,
        id: RecordId,
        request: HelpRequest,
        at: Sequence,
        now: Time,
    ) -> bool {
        let both = (request.clone(), request);
        let mut stub = deciding::let_go(&mut noted, both, "somebody", None, now)
            .expect("BUG: it is owned here");
        if is(Defect::KeepsNothing) {
            (stub.kept, noted.handoff.unsettled) = (None, false);
        }
        let feed = sealed_feed(&self.code);
        let change = Change::new().expect(feed.clone(), id, Some(at)).put(
            feed,
            Kind::HELP_STUB,
            id,
            stub.encode_to_vec(),
        );
        if is(Defect::LetsGoInTwo) {
            return self.commit(change).await && self.commit(noted.put(Change::new())).await;
        }
        self.commit(noted.put(change)).await
    }

    /// What has come is settled, and what never will is taken back, as in `settling.rs`.
    async fn settle(&self) {
        let all = self.disk().all_noted(&self.code);
        for mut noted in all {
            let (state, now) = (noted.state().expect("BUG: written here"), self.now());
            let to = self.index_of(&noted.other().expect("BUG: written here"));
            let change = match (noted.side(), state) {
                (Side::Origin, HandoffState::Released) if noted.handoff.unsettled => {
                    self.settle_release(noted, to, now).await;
                    continue;
                }
                _ if !self.has_left(to) => continue,
                (Side::Origin, HandoffState::Asked | HandoffState::Offered) => {
                    noted.step(HandoffMove::Recall, now).expect("BUG: open");
                    noted.handoff.outgoing = None;
                    noted.put(Change::new())
                }
                (Side::Destination, HandoffState::Offered | HandoffState::Accepted) => {
                    noted.become_state(HandoffState::Recalled, Some(state), now);
                    noted.put(Change::new())
                }
                _ if noted.handoff.outgoing.take().is_some() => noted.put(Change::new()),
                _ => continue,
            };
            self.commit(change).await;
        }
    }

    async fn settle_release(&self, mut noted: Noted, to: usize, now: Time) {
        let id = noted.request().expect("BUG: written here");
        let (stub, at, under_way, was_given_up) = {
            let disk = self.disk();
            let under_way = noted.handoff.outgoing.is_some() || disk.is_outgoing(to, id);
            let at = disk.records.get(&id).map(|kept| kept.at);
            (disk.stub(id), at, under_way, disk.given_up.contains(&to))
        };
        let is_lost = self.has_left(to) || !under_way && was_given_up;
        if under_way && !is_lost {
            return;
        }
        let feed = sealed_feed(&self.code);
        let change = Change::new().expect(feed.clone(), id, at);
        let Some(mut stub) = stub.filter(|stub| stub.kept.is_some()) else {
            noted.handoff.unsettled = false;
            self.commit(noted.put(Change::new())).await;
            return;
        };
        if !is_lost {
            deciding::settle(&mut noted, &mut stub);
            let change = change.put(feed, Kind::HELP_STUB, id, stub.encode_to_vec());
            self.commit(noted.put(change)).await;
            return;
        }
        let taken = deciding::take_back(&mut noted, &stub, now).expect("BUG: written here");
        let Some(request) = taken else { return };
        let request = v1::HelpRequest::from(request).encode_to_vec();
        let change = noted.put(change.put(feed, Kind::HELP_REQUEST, id, request));
        self.takes_a_while().await;
        if self.disk().commit(&change) {
            self.world.taken_back(id);
        }
        self.world.touched();
        self.takes_a_while().await;
    }

    /// Closes parcels to whoever has left.
    async fn give_up(&self) {
        for to in 0..self.codes.len() {
            let has_some = self.disk().outbox.keys().any(|(other, _)| *other == to);
            if has_some && self.has_left(to) {
                self.write(|disk| disk.give_up(to)).await;
            }
        }
    }

    /// Posts what handoffs have to say: into the outbox first, out of the record afterwards.
    async fn send(&self) {
        let speaking = self.disk().all_noted(&self.code);
        for mut noted in speaking {
            let Some(word) = noted.handoff.outgoing.take() else { continue };
            let other = noted.other().expect("BUG: written here");
            let to = self.index_of(&other);
            if self.has_left(to) {
                continue;
            }
            self.world.checks_word(&self.code, &other, &word);
            self.write(|disk| disk.post(to, word.encode_to_vec())).await;
            self.commit(noted.put(Change::new())).await;
        }
    }

    /// Sends what is not settled, as often as it takes.
    fn deliver(&self, socket: &Arc<UdpSocket>) {
        let waiting: Vec<_> = {
            let disk = self.disk();
            let waiting = disk.outbox.iter().take(POSTED_MAX);
            waiting.map(|(key, word)| (*key, word.clone())).collect()
        };
        for ((to, number), word) in waiting {
            self.throw(socket, to, number, Some(word));
        }
    }

    /// A parcel, or the word that one is settled.
    fn throw(&self, socket: &Arc<UdpSocket>, to: usize, number: u64, word: Option<Vec<u8>>) {
        let mut datagram = vec![u8::from(word.is_some()), self.index as u8];
        datagram.extend(number.to_be_bytes());
        datagram.extend(word.unwrap_or_default());
        self.world.thrown(self.index, to, &datagram);
        let troubled = self.world.is_troubled();
        if troubled && self.roll(100) < 15 {
            return self.world.fired("loss");
        }
        let copies = if troubled && self.roll(100) < 15 { 2 } else { 1 };
        if copies > 1 {
            self.world.fired("duplication");
        }
        for _ in 0..copies {
            let late = if troubled { self.roll(400) } else { 0 };
            let (socket, datagram) = (socket.clone(), datagram.clone());
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(late)).await;
                let _ = socket.send_to(&datagram, (host(to), PORT)).await;
            });
        }
    }

    async fn receive(&self, socket: &Arc<UdpSocket>, datagram: &[u8]) {
        let (is_word, from) = (datagram[0] == 1, usize::from(datagram[1]));
        if self.has_left(from) {
            return;
        }
        let number = u64::from_be_bytes(datagram[2..10].try_into().expect("BUG: eight bytes"));
        let word = &datagram[10..];
        if !is_word {
            self.write(|disk| drop(disk.outbox.remove(&(from, number)))).await;
            return;
        }
        self.world.heard(from, self.index, number);
        if is(Defect::SettlesBeforeKeeping) {
            self.throw(socket, from, number, None);
        }
        let is_new = !self.disk().settled.contains(&(from, number));
        if is_new || is(Defect::OldReleaseCounts) {
            let message = v1::HandoffWord::decode(word).expect("BUG: nobody damages words");
            let id = RecordId(message.handoff[..].try_into().expect("BUG: an id"));
            let sender = self.codes[from].clone();
            let arrived = Arrived { sender: sender.clone(), word: word.to_vec() };
            self.write(|disk| {
                disk.settled.insert((from, number));
                disk.arrived.entry((sender, id, message.kind)).or_insert(arrived);
            })
            .await;
            self.work.notify_one();
        }
        self.throw(socket, from, number, None);
    }
}

fn is_open(noted: &Noted) -> bool {
    noted.state().expect("BUG: written here").is_open()
}

fn pick<T>(mut from: Vec<T>, dice: u64) -> Option<T> {
    let len = from.len();
    (len > 0).then(|| from.swap_remove(dice as usize % len))
}
