//! Real nodes as processes, real TLS, and lines between them that can be made bad.
//!
//! A test founds a network of its own, speaks to it by the documented commands, and looks at files
//! from outside. A fault on a line counts only if it has fired.

mod admission;
mod agreement;
mod attachment;
mod audit;
mod chain;
mod crash;
mod cut_off;
mod damage;
mod handoff;
mod help;
mod people;
mod recovery;
mod sheets;
mod tables;
mod withdrawal;
