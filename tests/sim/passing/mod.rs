//! Help requests that are passed between points: the real decisions, records and words, on simulated
//! machines that crash and over a network that loses, doubles, overtakes and parts, and that one of them
//! is put out of.
//!
//! The invariants are those of a request that somebody waits for: one owner at every moment, nothing
//! lost, nothing disclosed to whoever did not take it over.

mod disk;
mod oracle;
mod point;
mod schedule;

use std::{cell::Cell, collections::BTreeMap, time::Instant};

use crate::setting;

const SEEDS_DEFAULT: u64 = 200;
/// Below this a fault may by chance not have fired.
const ALL_FIRE_FROM: u64 = 60;
/// Seeds within which a planted defect has to be noticed.
const NOTICED_WITHIN: u64 = 60;
/// A schedule soon after this one crashes a destination between settling and keeping.
const RARE_FROM: u64 = 320;

/// Defects put in on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Defect {
    /// The destination owns a request from its promise on.
    OwnsAtAccept,
    /// The origin lets go although it has taken the offer back.
    ReleasesAfterRecall,
    /// A RELEASE makes an owner however old it is, and however often it comes.
    OldReleaseCounts,
    /// A RECALL that overtakes its offer is forgotten.
    ForgetsRecall,
    /// A parcel is settled before it is kept.
    SettlesBeforeKeeping,
    /// A word is forgotten before what it does is durable.
    ForgetsBeforeEntering,
    /// Letting go takes two commits: the stub, and then the RELEASE.
    LetsGoInTwo,
    /// An offer carries the request, not a preview of it.
    OffersContent,
    /// A RELEASE that nobody asked for, of another request by the same id, counts.
    BelievesForgeries,
    /// What was released is not kept until it has come.
    KeepsNothing,
}

const DEFECTS: [Defect; 10] = [
    Defect::OwnsAtAccept,
    Defect::ReleasesAfterRecall,
    Defect::OldReleaseCounts,
    Defect::ForgetsRecall,
    Defect::SettlesBeforeKeeping,
    Defect::ForgetsBeforeEntering,
    Defect::LetsGoInTwo,
    Defect::OffersContent,
    Defect::BelievesForgeries,
    Defect::KeepsNothing,
];

thread_local! {
    static PLANTED: Cell<Option<Defect>> = const { Cell::new(None) };
}

pub fn is(defect: Defect) -> bool {
    PLANTED.get() == Some(defect)
}

#[test]
fn every_request_has_one_owner_at_every_moment() {
    if let Some(seed) = setting("YIZHAN_SEED") {
        let report = schedule::run(seed);
        println!("{}\n{:?}", report.story, report.fired);
        assert!(report.violation.is_none(), "{report}");
        return;
    }
    let seeds = setting("YIZHAN_SEEDS").unwrap_or(SEEDS_DEFAULT);
    let started = Instant::now();
    let mut fired: BTreeMap<&str, u64> = BTreeMap::new();
    let mut failed = Vec::new();
    for seed in 0..seeds {
        let report = schedule::run(seed);
        for (kind, count) in &report.fired {
            *fired.entry(kind).or_default() += count;
        }
        if report.violation.is_some() {
            println!("{report}");
            failed.push(seed);
        }
    }
    println!("{seeds} schedules, seeds 0 to {}, in {:?}:", seeds.max(1) - 1, started.elapsed());
    for (kind, count) in &fired {
        println!("  {count:8} {kind}");
    }
    assert!(failed.is_empty(), "failing seeds: {failed:?}");
    let inert: Vec<_> = schedule::KINDS.iter().filter(|kind| !fired.contains_key(*kind)).collect();
    assert!(seeds < ALL_FIRE_FROM || inert.is_empty(), "never happened: {inert:?}");
}

#[test]
fn one_seed_of_passing_on_is_one_history() {
    for seed in 0..3 {
        assert_eq!(schedule::run(seed).trace, schedule::run(seed).trace, "seed {seed}");
    }
}

#[test]
fn every_defect_of_passing_on_is_noticed() {
    for defect in DEFECTS {
        // One of them needs a rare order of words: it is looked for where that comes.
        let first = if defect == Defect::SettlesBeforeKeeping { RARE_FROM } else { 0 };
        let noticed = (first..first + NOTICED_WITHIN).find_map(|seed| {
            PLANTED.set(Some(defect));
            let report = schedule::run(seed);
            PLANTED.set(None);
            Some((seed, report.violation?))
        });
        let Some((seed, violation)) = noticed else {
            panic!("{defect:?} was not noticed in {NOTICED_WITHIN} seeds")
        };
        println!("{defect:?}: seed {seed}: {violation}");
        if defect == Defect::OwnsAtAccept {
            assert!(violation.contains("two owners"), "{violation}");
        }
        let clean = schedule::run(seed);
        assert!(clean.violation.is_none(), "{clean}");
    }
}
