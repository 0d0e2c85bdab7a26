//! Background work, one file per job: a `run_once` that starts from what is stored, takes no hint and
//! may run twice. `runner` alone loops.

pub mod approvals;
pub mod auditing;
pub mod disk;
pub mod expiring;
pub mod freezes;
pub mod handing_over;
pub mod handoffs;
pub mod help_escalation;
pub mod help_posting;
pub mod home_figures;
pub mod leading;
pub mod ledgers;
pub mod looks;
pub mod moves;
pub mod notices;
pub mod receipts;
pub mod reconciling;
pub mod recovery;
pub mod refreshing;
pub mod releasing;
pub mod renewal;
pub mod retention;
pub mod runner;
pub mod scrubbing;
pub mod statements;
pub mod sweeping;
pub mod telling;
pub mod transfers;
