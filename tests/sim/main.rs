//! Deterministic simulation of replication: the real writer and the real link sessions on simulated
//! machines, under schedules of faults that a seed decides.
//!
//! `YIZHAN_SEEDS=n` runs n schedules, `YIZHAN_SEED=k` one, and prints what happened in it.

mod hostile;
mod machine;
mod memory;
mod oracle;
mod passing;
mod planted;
mod schedule;
mod table;
mod world;

use std::{collections::BTreeMap, time::Instant};

use planted::{Planted, plant};
use yizhan_server::planted::Fault;

const SEEDS_DEFAULT: u64 = 500;
/// Below this a fault may by chance not have fired.
const ALL_FIRE_FROM: u64 = 200;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn every_schedule_ends_in_agreement() {
    if let Some(seed) = setting("YIZHAN_SEED") {
        let report = schedule::run(seed);
        println!("{}\n{:?} in {:?}", report.story, report.fired, report.simulated);
        assert!(report.violations.is_empty(), "{report}");
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
        if !report.violations.is_empty() {
            println!("{report}");
            failed.push(seed);
        }
    }
    println!("{seeds} schedules in {:?}; faults that fired:", started.elapsed());
    for (kind, count) in &fired {
        println!("  {count:8} {kind}");
    }
    assert!(failed.is_empty(), "failing seeds: {failed:?}");
    let inert = schedule::KINDS.iter().chain(&hostile::KINDS).filter(|k| !fired.contains_key(*k));
    let inert: Vec<&&str> = inert.collect();
    assert!(seeds < ALL_FIRE_FROM || inert.is_empty(), "faults that never fired: {inert:?}");
}

#[test]
fn one_seed_is_one_history() {
    for seed in 0..4 {
        assert_eq!(schedule::run(seed).trace, schedule::run(seed).trace, "seed {seed}");
    }
}

/// Seeds within which a planted defect has to be noticed.
const NOTICED_WITHIN: u64 = 80;

/// The first of the seeds that notices, and what it says. The same seed without the defect is clean.
fn noticed(planted: Planted) -> (u64, String) {
    for seed in 0..NOTICED_WITHIN {
        plant(Some(planted));
        let report = schedule::run(seed);
        plant(None);
        if let Some(violation) = report.violations.first() {
            let clean = schedule::run(seed);
            assert!(clean.violations.is_empty(), "{clean}");
            return (seed, violation.clone());
        }
    }
    panic!("{planted:?} was not noticed in {NOTICED_WITHIN} seeds");
}

/// One test for all, so that one core is not asked for ten at once; says which oracle noticed.
#[test]
fn every_planted_defect_is_noticed() {
    let planted = [
        Planted::AcknowledgeBeforeCommit,
        Planted::DropTombstone,
        Planted::ReuseNumber,
        Planted::LoseArrivedRows,
        Planted::ForgetMarks,
        Planted::Engine(Fault::ApplyBeforeVerify),
        Planted::Engine(Fault::AcceptRewoundSeal),
        Planted::Engine(Fault::SkipRosterCheck),
        Planted::Engine(Fault::SkipEntitlement),
        Planted::Engine(Fault::IgnoreEquivocation),
        Planted::Engine(Fault::WriteWhileBehind),
    ];
    for planted in planted {
        let (seed, violation) = noticed(planted);
        println!("{planted:?}: seed {seed}: {violation}");
    }
}
