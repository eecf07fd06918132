//! What does `floe nbd` do?

use super::exit::Exit;
use super::output::Reply;
use super::session::Session;
use crate::node::failure::Failure;
use crate::node::nbd::{Files, Limits, serve_one};
use crate::node::service::select;
use clap::Args;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

#[derive(Debug, Args)]
pub(super) struct NbdArgs {
    /// The drive or snapshot; the client gets it under any name
    export: String,
    /// Talk to a client on stdin and stdout, as programs do that start their server themselves
    #[arg(long, required = true)]
    stdio: bool,
}

pub(super) fn run(session: &Session, args: &NbdArgs) -> Result<Reply, Failure> {
    let wire = Files { input: copy_of(std::io::stdin().as_fd())?, output: copy_of(std::io::stdout().as_fd())? };
    session.with_store(|store| {
        let image = select::image(store, &args.export)?;
        serve_one(store, image, Arc::new(wire), Limits::default())?;
        Ok(Reply::Printed(Exit::Done))
    })
}

fn copy_of(descriptor: BorrowedFd<'_>) -> Result<File, Failure> {
    descriptor.try_clone_to_owned().map(File::from).map_err(|error| Failure::io("use stdin and stdout", error))
}
