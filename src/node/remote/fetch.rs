//! How does an image come back from a location?
//!
//! Windows are got some at a time, by several threads, and each is compared with its digest before anybody sees it.

use super::repository::Repository;
use super::repository::chunk::ChunkId;
use super::repository::manifest::Image;
use super::repository::map;
use super::repository::page::{WINDOW_BLOCKS, Window};
use crate::fingerprint::{WINDOW_BYTES, WindowHasher};
use crate::node::failure::{Failure, FailureKind};
use crate::{BLOCK_BYTES, Drive};
use parking_lot::Mutex;
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;

/// Threads that get windows: more than there are processors, for they mostly wait.
const FETCHERS: usize = 4;
/// Windows that are got together: 16 MiB.
const TOGETHER: usize = 64;

/// A window's content: where runs of blocks begin in the image, and their bytes. All else is zeroes.
pub struct Content {
    /// The window's number.
    pub window: u64,
    /// Its runs.
    pub runs: Vec<(u64, Vec<u8>)>,
}

/// Gets windows.
///
/// # Errors
/// `Corrupt` if something is not what the map says, `NotFound`, `Io`, `Denied`.
pub fn windows(repository: &Repository, windows: &[(u64, Window)]) -> Result<Vec<Content>, Failure> {
    let ids: HashSet<ChunkId> = windows.iter().flat_map(|(_, window)| &window.pieces).map(|piece| piece.chunk).collect();
    let chunks = repository.chunks(&ids.into_iter().collect::<Vec<_>>())?;
    let content = |(number, window): &(u64, Window)| {
        let mut runs: Vec<(u64, Vec<u8>)> = Vec::new();
        let mut hasher = WindowHasher::new();
        for piece in &window.pieces {
            let from = usize::from(piece.at) * BLOCK_BYTES as usize;
            let bytes = chunks
                .get(&piece.chunk)
                .and_then(|chunk| chunk.get(from..from + usize::from(piece.blocks) * BLOCK_BYTES as usize));
            let bytes = bytes.ok_or_else(|| damaged(repository, *number, "a chunk of it is too short"))?;
            let first = number * WINDOW_BLOCKS + u64::from(piece.first);
            for (block, bytes) in (first..).zip(bytes.chunks_exact(BLOCK_BYTES as usize)) {
                hasher.update(block, bytes);
            }
            let start = first * BLOCK_BYTES;
            match runs.last_mut() {
                Some((offset, run)) if *offset + run.len() as u64 == start => run.extend_from_slice(bytes),
                _ => runs.push((start, bytes.to_vec())),
            }
        }
        if hasher.finish() != Some(window.digest) {
            return Err(damaged(repository, *number, "its blocks are not those that its digest is of"));
        }
        Ok(Content { window: *number, runs })
    };
    windows.iter().map(content).collect()
}

fn damaged(repository: &Repository, window: u64, why: &str) -> Failure {
    let start = window * WINDOW_BYTES;
    let message =
        format!("location {}: {WINDOW_BYTES} bytes of the image at {start} are damaged: {why}", repository.bucket().location());
    Failure::new(FailureKind::Corrupt, message)
}

/// Writes an image into a drive that is nothing but zeroes and is as long, and says from time to time how many bytes it wrote.
///
/// # Errors
/// As [`windows`], and those of the drive.
pub fn restore(repository: &Repository, image: &Image, drive: &Drive, progress: &mut dyn FnMut(u64)) -> Result<(), Failure> {
    repository.refresh()?;
    let (done, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let (batches, taken) = mpsc::sync_channel::<Vec<(u64, Window)>>(FETCHERS);
        let taken = Arc::new(Mutex::new(taken));
        let fetchers: Vec<_> = (0..FETCHERS)
            .map(|_| {
                let (taken, done, failed) = (Arc::clone(&taken), &done, &failed);
                scope.spawn(move || {
                    while let Ok(batch) = { taken.lock().recv() } {
                        let wrote = windows(repository, &batch).and_then(|contents| write(drive, image.size_bytes, &contents));
                        match wrote {
                            Ok(bytes) => done.fetch_add(bytes, Ordering::Relaxed),
                            Err(failure) => {
                                failed.store(true, Ordering::Relaxed);
                                return Err(failure);
                            }
                        };
                    }
                    Ok(())
                })
            })
            .collect();
        drop(taken);
        let mut batch = Vec::with_capacity(TOGETHER);
        let walked = map::walk(repository, image.map.as_ref(), 0..u64::MAX, &mut |number, window| {
            batch.push((number, window.clone()));
            if batch.len() == TOGETHER {
                progress(done.load(Ordering::Relaxed));
                let sent = batches.send(std::mem::take(&mut batch)).is_ok();
                if !sent || failed.load(Ordering::Relaxed) {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Ok(ControlFlow::Continue(()))
        });
        if !batch.is_empty() && walked.is_ok() && !failed.load(Ordering::Relaxed) {
            // A fetcher that failed says why.
            batches.send(batch).unwrap_or_default();
        }
        drop(batches);
        for fetcher in fetchers {
            fetcher.join().expect("a thread that gets windows does not panic")?;
        }
        walked
    })?;
    progress(done.load(Ordering::Relaxed));
    Ok(())
}

/// Writes windows into a drive; how many bytes that were.
///
/// # Errors
/// Those of the drive.
pub fn write(drive: &Drive, size_bytes: u64, contents: &[Content]) -> Result<u64, Failure> {
    let mut written = 0;
    for (offset, bytes) in contents.iter().flat_map(|content| &content.runs) {
        // The last block is padded.
        let len = size_bytes.saturating_sub(*offset).min(bytes.len() as u64);
        drive.write_at(&bytes[..len as usize], *offset)?;
        written += len;
    }
    Ok(written)
}
