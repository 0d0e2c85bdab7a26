//! Message <-> value, one file per noun. Past it, nothing is checked twice.

pub mod account;
pub mod approval;
pub mod audit;
mod desk_entry;
pub mod entry;
pub mod event;
pub mod grant;
pub mod group;
pub mod handoff;
pub mod help_request;
pub mod home_figures;
pub mod member;
pub mod member_move;
pub mod notice;
pub mod org;
pub mod point;
pub mod roster;
pub mod series;
pub mod speaker;
pub mod terms;
pub mod transfer;
pub mod value;
