//! Values and rules: no I/O, no async, no clock.
//!
//! A value of this folder is checked when it is made; nothing past it checks again.

pub mod account;
pub mod analyzer;
pub mod attachment;
pub mod audience;
pub mod audit;
pub mod bucket;
pub mod calendar;
pub mod code;
pub mod contact;
pub mod disclosure;
pub mod entry;
pub mod event;
pub mod grant;
pub mod group;
pub mod handoff;
pub mod hours;
pub mod id;
pub mod kind;
pub mod language;
pub mod member;
pub mod message;
pub mod name;
pub mod names;
pub mod notice;
pub mod org;
pub mod page;
pub mod point;
pub mod policy;
pub mod position;
pub mod region;
pub mod roster;
pub mod roster_entry;
pub mod series;
pub mod speaker;
pub mod text;
pub mod time;
pub mod workdays;
pub mod working_time;
