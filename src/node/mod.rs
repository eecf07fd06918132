//! What does floe offer to people and to other programs?
//!
//! The engine knows no clock, no terminal and no socket; everything that needs one lives here, behind the feature
//! `node`. [`service`] is what every front end calls: it takes and returns plain data. [`cli`] is the first front end;
//! it turns arguments into calls of the service, or of a running node by its [`client`], and what they return into tables or JSON.

pub mod accounts;
pub mod api;
pub mod attributes;
pub mod certificates;
pub mod cli;
pub mod client;
pub mod config;
pub mod failure;
pub mod http;
pub mod jobs;
pub mod metrics;
pub mod nbd;
pub mod records;
pub mod remote;
pub mod service;
pub mod timestamp;
