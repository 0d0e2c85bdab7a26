//! A relay that passes on something else than what it holds: every way in which a neighbour with a valid
//! identity can lie about other homes' feeds and its own.

use std::{collections::BTreeMap, iter, sync::Arc};

use prost::Message;
use rand::{Rng, RngExt, rngs::StdRng};
use yizhan_proto::v1::{self, Frame, frame::Kind};
use yizhan_server::{
    domain::{
        audience::FeedId,
        id::PointCode,
        position::{Epoch, Row},
    },
    feed::{
        keyring::Keyring,
        seal::{Seal, Statement},
    },
    link::frame::{Packer, Unpacker, frame},
};

use crate::world::World;

/// One frame in so many is tampered with.
const ONE_IN: u32 = 3;
/// Seals and pages kept to be sent again.
const KEPT: usize = 32;

/// Every kind of tampering, as it is counted.
pub const KINDS: [&str; 17] = [
    "row altered",
    "row dropped",
    "rows reordered",
    "page replayed",
    "seal of another home claimed",
    "older seal sent",
    "seal forged",
    "two seals of one number",
    "garbage page",
    "row of 1 MB",
    "zstd bomb",
    "more than was granted",
    "own epoch raised and rewound",
    "epoch under another random",
    "epoch of another home claimed",
    "unknown frame",
    "unentitled pull",
];

const ROW_TOO_LARGE: usize = 1 << 20;
/// What a bomb of some kilobytes would take up.
const BOMB: usize = 64 << 20;
/// Together more than any honest credit and what is forgiven beyond it.
const FLOOD_PAGES: usize = 64;
const FLOOD_PAGE: usize = 256 * 1024;

/// The hostile end of one session.
pub struct Tamper {
    point: PointCode,
    keys: Arc<Keyring>,
    seals: BTreeMap<FeedId, Vec<v1::Seal>>,
    pages: Vec<v1::Page>,
}

impl Tamper {
    pub fn new(point: &PointCode, keys: Arc<Keyring>) -> Tamper {
        Tamper { point: point.clone(), keys, seals: BTreeMap::new(), pages: Vec::new() }
    }

    /// What is sent in place of a frame.
    pub fn pass(&mut self, world: &World, rng: &mut StdRng, passed: Frame) -> Vec<Frame> {
        let hostile = world.inner().hostile && rng.random_range(0..ONE_IN) == 0;
        match passed.kind {
            Some(Kind::Page(page)) if !page.gone => {
                let kept = page.clone();
                let pages = if hostile { self.page(world, rng, page) } else { vec![page] };
                self.pages.push(kept);
                if self.pages.len() > KEPT {
                    self.pages.remove(0);
                }
                pages.into_iter().map(|page| frame(Kind::Page(page))).collect()
            }
            Some(Kind::Heads(mut heads)) => {
                let honest = heads.seals.clone();
                if hostile {
                    self.heads(world, rng, &mut heads);
                }
                for seal in honest {
                    if let Ok(read) = Seal::read(seal.clone()) {
                        let kept = self.seals.entry(read.statement().feed.clone()).or_default();
                        kept.push(seal);
                    }
                }
                vec![frame(Kind::Heads(heads))]
            }
            Some(Kind::Ping(ping)) if hostile => {
                let mut frames = self.unentitled(world, rng);
                frames.push(frame(Kind::Ping(ping)));
                frames
            }
            Some(kind) if hostile => {
                world.fired("unknown frame");
                vec![Frame { kind: None }, frame(kind)]
            }
            kind => vec![Frame { kind }],
        }
    }

    /// Asks for a feed that its point may not hold, by the epoch that the feed is in.
    fn unentitled(&self, world: &World, rng: &mut StdRng) -> Vec<Frame> {
        let withheld = world.withheld_from(&self.point);
        if withheld.is_empty() {
            return Vec::new();
        }
        let (feed, epoch) = withheld[rng.random_range(0..withheld.len())].clone();
        world.fired("unentitled pull");
        let (home, audience) = (feed.home.to_string(), feed.audience as u32);
        let pull = v1::Pull {
            home: home.clone(),
            audience,
            epoch: Some(epoch),
            after: 0,
            pull: rng.next_u64(),
            cancel: false,
        };
        let seals = v1::RecentSealsRequest { home, audience };
        // Credit, so that it is not for want of it that nothing comes.
        let credit = v1::Credit { bytes: 64 * 1024 };
        let asked = [Kind::Credit(credit), Kind::Pull(pull), Kind::RecentSealsRequest(seals)];
        asked.into_iter().map(frame).collect()
    }

    fn page(&mut self, world: &World, rng: &mut StdRng, mut page: v1::Page) -> Vec<v1::Page> {
        let seal = page.seal.clone().and_then(|seal| Seal::read(seal).ok());
        let Some(seal) = seal else { return vec![page] };
        let mut rows = match page.rows_len {
            0 => Vec::new(),
            len => Unpacker::new().unpack(&page.rows_zstd, len).unwrap_or_default(),
        };
        let kind = match rng.random_range(0..10) {
            0 if !rows.is_empty() => {
                let at = rng.random_range(0..rows.len());
                alter(&mut rows[at], rng);
                "row altered"
            }
            1 if !rows.is_empty() => {
                rows.remove(rng.random_range(0..rows.len()));
                "row dropped"
            }
            2 if rows.len() > 1 => {
                let at = rng.random_range(1..rows.len());
                if rng.random() {
                    rows.swap(at - 1, at);
                } else {
                    // In order by their numbers, in each other's places by their content.
                    let (a, b) = (rows[at - 1].sequence, rows[at].sequence);
                    rows.swap(at - 1, at);
                    (rows[at - 1].sequence, rows[at].sequence) = (a, b);
                }
                "rows reordered"
            }
            3 if !self.pages.is_empty() => {
                let mut old = self.pages[rng.random_range(0..self.pages.len())].clone();
                old.pull = page.pull;
                world.fired("page replayed");
                return if rng.random() { vec![old, page] } else { vec![page, old] };
            }
            4 => {
                let kept = self.seals.get(&seal.statement().feed);
                let Some(kept) = kept.filter(|kept| !kept.is_empty()) else { return vec![page] };
                page.seal = Some(kept[rng.random_range(0..kept.len())].clone());
                "older seal sent"
            }
            5 => {
                page.seal = Some(forge(&seal, rng));
                "seal forged"
            }
            6 => {
                page.rows_zstd = vec![rng.random(); 40].into();
                page.rows_len = 1_000;
                world.fired("garbage page");
                return vec![page];
            }
            7 if !rows.is_empty() => {
                let at = rng.random_range(0..rows.len());
                rows[at].payload = vec![b'!'; ROW_TOO_LARGE].into();
                "row of 1 MB"
            }
            8 => {
                let bomb = zstd::bulk::compress(&vec![0; BOMB], 1).expect("BUG: memory");
                page.rows_zstd = bomb.into();
                page.rows_len = page.rows_len.max(1_000);
                world.fired("zstd bomb");
                return vec![page];
            }
            // A thin line would carry nothing else for the rest of the schedule.
            9 if world.inner().slow.is_empty() && rng.random() => {
                world.fired("more than was granted");
                let mut garbage = vec![0; FLOOD_PAGE];
                rng.fill_bytes(&mut garbage);
                let flood = v1::Page { rows_zstd: garbage.into(), rows_len: 1_000, ..page.clone() };
                let flood = v1::Page { reaches_seal: false, ..flood };
                return iter::repeat_n(flood, FLOOD_PAGES).collect();
            }
            _ => return vec![page],
        };
        world.fired(kind);
        if page.rows_len > 0 {
            (page.rows_zstd, page.rows_len) = Packer::new().pack(rows);
        }
        vec![page]
    }

    fn heads(&mut self, world: &World, rng: &mut StdRng, heads: &mut v1::Heads) {
        let seals: Vec<Seal> =
            heads.seals.iter().filter_map(|seal| Seal::read(seal.clone()).ok()).collect();
        let Some(seal) = seals.get(rng.random_range(0..seals.len().max(1))) else { return };
        let statement = seal.statement().clone();
        let kept = self.seals.get(&statement.feed).filter(|kept| !kept.is_empty());
        let is_own =
            statement.feed.home == self.point && self.keys.signer(&statement.feed).is_some();
        match rng.random_range(0..6) {
            0 => {
                // A newer state of somebody else's feed, under the relay's own key.
                let number = statement.number + 1_000;
                let claimed = Statement { number, digest: rng.random(), ..statement };
                self.claim(world, heads, claimed, "seal of another home claimed");
            }
            1 => {
                let Some(kept) = kept else { return };
                world.fired("older seal sent");
                heads.seals.push(kept[rng.random_range(0..kept.len())].clone());
            }
            2 => {
                world.fired("seal forged");
                heads.seals.push(forge(seal, rng));
            }
            3 => {
                let counter = statement.epoch.counter + 1;
                let epoch = Epoch { counter, random: rng.random() };
                let previous = Some(seal.hash());
                let raised =
                    Statement { epoch, number: 1, previous, digest: rng.random(), ..statement };
                if self.claim(world, heads, raised, "epoch of another home claimed") {
                    // And in the same breath the epoch before.
                    world.fired("own epoch raised and rewound");
                    heads.seals.push(seal.message().clone());
                }
            }
            4 if is_own => {
                let epoch = Epoch { random: rng.random(), ..statement.epoch };
                self.claim(world, heads, Statement { epoch, ..statement }, "");
                world.fired("epoch under another random");
            }
            5 if is_own => {
                self.claim(world, heads, Statement { digest: rng.random(), ..statement }, "");
                world.fired("two seals of one number");
            }
            _ => {}
        }
    }

    /// Signs a statement with the relay's own key and shows it. True: of its own feed, where it counts.
    /// Anybody else's is counted as `foreign`.
    fn claim(
        &self,
        world: &World,
        heads: &mut v1::Heads,
        statement: Statement,
        foreign: &'static str,
    ) -> bool {
        let own = statement.feed.home == self.point;
        let claimed = Seal::sign(statement, self.keys.seal_key());
        if own {
            world.signed(&claimed);
        } else {
            world.fired(foreign);
        }
        heads.seals.push(claimed.message().clone());
        own
    }
}

fn alter(row: &mut Row, rng: &mut StdRng) {
    match rng.random_range(0..4) {
        0 => row.id.0[15] ^= 1,
        1 => row.removed = !row.removed,
        2 => row.kind.0 += 1,
        _ => {
            let mut payload = row.payload.to_vec();
            payload.push(b'!');
            row.payload = payload.into();
        }
    }
}

/// A seal with a wrong signature, or with its statement changed under the right one.
fn forge(seal: &Seal, rng: &mut StdRng) -> v1::Seal {
    let mut message = seal.message().clone();
    if rng.random() {
        message.signature = message.signature.iter().rev().copied().collect::<Vec<u8>>();
    } else if let Ok(mut body) = v1::SealBody::decode(&message.body[..]) {
        body.number += 1;
        message.body = body.encode_to_vec();
    }
    message
}
