//! How do virtual machines and backup tools get at drives and snapshots?
//!
//! A server of the NBD protocol. [`protocol`] says what bytes mean, `exports` what there is to be had, `perform` what a request does;
//! `connection` and `transmission` serve a client, `server` many. docs/nbd.md is the page for users.

mod address;
mod behind;
mod connection;
mod exports;
pub mod figures;
mod inbox;
mod limits;
mod listener;
mod pace;
mod patience;
mod perform;
pub mod protocol;
mod server;
mod tls;
mod transmission;
mod wire;

pub use address::Address;
pub use behind::{Behind, Behinds};
pub use limits::Limits;
pub use server::{Server, ServerOptions, serve_one};
pub use tls::TlsConfig;
pub use wire::{Files, Wire};
