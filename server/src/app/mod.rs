//! Use cases, one file per noun: authorise, decide, commit.

pub mod accounts;
pub mod answers;
pub mod approvals;
#[cfg(test)]
mod approvals_tests;
pub mod attachments;
pub mod audit;
pub mod copies;
pub mod desk;
pub mod erasures;
pub mod error;
pub mod events;
pub mod export;
pub mod freezes;
pub mod groups;
pub mod handing_over;
pub mod handoffs;
pub mod help_requests;
pub mod holders;
pub mod import;
#[cfg(all(test, feature = "planted-faults"))]
mod invariants;
#[cfg(all(test, feature = "planted-faults"))]
mod invariants_afar;
pub mod lanes;
pub mod leading;
pub mod ledgers;
pub mod live;
pub mod looks;
pub mod members;
pub mod moves;
pub mod moving_in;
pub mod network;
pub mod nodes;
pub mod notices;
pub mod orgs;
mod otp;
pub mod passwords;
pub mod peers;
mod people;
pub mod points;
pub mod records;
pub mod recovery;
pub mod releases;
pub mod report;
pub mod roles;
#[cfg(test)]
pub mod samples;
mod scan;
pub mod series;
pub mod sight;
pub mod transfers;
pub mod users;

use std::sync::Arc;

use crate::{
    disk::Disk,
    domain::time::Time,
    feed::{heads::Heads, keyring::Keyring, writer::Writer},
    link::links::Links,
    outside::Outside,
    parcel::office::Office,
    store::database::Database,
};

/// The ledgers that the nodes of a point share, if they share a database.
pub fn shared_ledgers(app: &App) -> [ledgers::Shared; 2] {
    [
        ledgers::Shared::new(erasures::FILE, app.db.clone(), app.erasures.clone()),
        ledgers::Shared::new(moves::DEPARTURES, app.db.clone(), app.departures.clone()),
    ]
}

/// What use cases work with. Cheap to clone.
#[derive(Clone)]
pub struct App {
    pub disk: Arc<Disk>,
    pub db: Database,
    pub writer: Writer,
    pub heads: Arc<Heads>,
    pub keys: Arc<Keyring>,
    pub links: Arc<Links>,
    pub post: Arc<Office>,
    pub outside: Outside,
    pub accounts: accounts::Accounts,
    pub audit: audit::Audit,
    pub help: Arc<help_requests::Help>,
    /// Who is erased, whatever the tables say.
    pub erasures: Arc<erasures::Ledger>,
    /// Who has moved away and which requests were passed on, whatever the tables say.
    pub departures: Arc<erasures::Ledger>,
    /// Tasks of approvals go one after the other.
    pub doing: Arc<approvals::Doing>,
    /// Room for questions to all homes.
    pub live: live::Live,
    /// Whether this is the node of its point that dials and runs jobs.
    pub leading: leading::Leading,
    pub started: Time,
    /// Room for files that come with help requests.
    pub attachments: Arc<attachments::Attachments>,
    /// What people are told, and where.
    pub notices: Arc<notices::Notices>,
    /// A feed whose home was not heard for this long is shown as stale, in milliseconds.
    pub stale_after_ms: u64,
}
