//! What the tables promise, held against both databases by one and the same suite. Without a
//! PostgreSQL these tests fail; they are never skipped.

mod approvals;
mod attachments;
mod audit;
mod entering;
mod feeds;
mod full;
mod handoffs;
mod help_requests;
mod lanes;
mod leases;
mod ledgers;
mod notices;
mod parcels;
mod samples;
mod shared;
mod words;
