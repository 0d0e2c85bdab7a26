//! Real nodes as processes, real TLS, and lines between them that can be made bad.
//!
//! A test founds a network of its own, speaks to it by the documented commands, and looks at files
//! from outside. A fault on a line counts only if it has fired.

mod aborted;
mod absence;
mod accounts;
mod admission;
mod agreement;
mod attachment;
mod audit;
mod bad_input;
mod chain;
mod crash;
mod cut_off;
mod damage;
mod demo;
mod erasure;
mod escalation;
mod exports;
mod figures;
mod frozen;
mod full_disk;
mod groups;
mod hand_over;
mod handoff;
mod help;
mod letters;
mod live;
mod member_move;
mod members;
mod people;
mod points;
mod policy;
mod public_port;
mod recovery;
mod releases;
mod shared;
mod sheets;
mod tables;
mod transfer;
mod web;
mod withdrawal;
