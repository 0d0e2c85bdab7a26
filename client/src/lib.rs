//! The typed client of Yizhan, and what its command line and the node's share.

pub mod answer;
pub mod approvals;
pub mod channel;
pub mod document;
pub mod error;
pub mod export;
pub mod notices;
pub mod pages;
pub mod profiles;
pub mod progress;
pub mod sealed;
pub mod secret;
pub mod sheet;
pub mod table;
pub mod users;
