//! What does it cost to delete snapshots, and whom does it hold up?

use std::thread;

use floe::{Snapshot, Store};

use crate::figures::{Figure, Unit, nanoseconds};
use crate::measure::{SAMPLES, freeze, timed};
use crate::world::{BLOCK, Spread, World};

/// Blocks that come back when a snapshot is deleted.
const RECLAIMED: u64 = 100_000;
/// Extents that are visited before others get at the catalog: that of the background thread.
const RECLAIM_STEP: u64 = 512;

pub fn all(world: &mut World) -> Vec<Figure> {
    let mut found = delete(world);
    found.push(delete_old(world));
    found.extend(latency_during_reclaim(world));
    found
}

/// Everything that can come back does.
pub fn reclaim(store: &Store) -> u64 {
    let mut bytes = 0;
    loop {
        let step = store.reclaim(u64::MAX).expect("space back");
        bytes += step.freed_bytes;
        if step.done {
            store.flush().expect("a flush");
            return bytes;
        }
    }
}

/// A snapshot that alone holds so many blocks.
fn overwritten_snapshot(world: &mut World, blocks: u64, spread: Spread) -> Snapshot {
    world.overwrite(blocks, spread);
    let snapshot = freeze(world);
    world.overwrite_again(blocks, spread);
    snapshot
}

/// A snapshot that holds blocks of its own, which lie side by side in the drive or each in a page of its own.
fn delete(world: &mut World) -> Vec<Figure> {
    let [mut call, mut run, mut far] = [const { Vec::new() }; 3];
    for round in 0..2 * SAMPLES {
        let (rates, blocks, spread) =
            if round % 2 == 0 { (&mut run, RECLAIMED, Spread::Near) } else { (&mut far, RECLAIMED / 10, Spread::Far) };
        // A drive with fewer extents gives back as many as it has.
        let blocks = blocks.min(world.extents);
        let snapshot = overwritten_snapshot(world, blocks, spread);
        world.store.flush().expect("a flush");
        call.push(nanoseconds(|| snapshot.delete().expect("a deletion")).0);
        drop(snapshot);
        let (time, bytes) = nanoseconds(|| reclaim(&world.store));
        assert!(bytes >= blocks * BLOCK, "{bytes} bytes came back of {blocks} blocks");
        rates.push(blocks as f64 * 1e9 / time);
    }
    vec![
        Figure::new("delete a snapshot: the call", Unit::Time, call),
        Figure::new("reclaim, blocks side by side", Unit::PerSecond, run),
        Figure::new("reclaim, blocks far from each other", Unit::PerSecond, far),
    ]
}

/// Of a snapshot between others, where there are some, its space included.
fn delete_old(world: &World) -> Figure {
    let mut all = world.store.snapshots();
    let has_old = all.len() > 2 * SAMPLES as usize;
    let mut number = 0;
    timed("delete an old snapshot, and reclaim", || {
        number += 1;
        let old = if has_old { all.swap_remove(all.len() * number / (SAMPLES as usize + 2)) } else { freeze(world) };
        let before = nanoseconds(|| old.delete().expect("a deletion")).0;
        drop(old);
        before + nanoseconds(|| reclaim(&world.store)).0
    })
}

/// The slowest of a hundred writes, alone and while another thread gives back space.
fn latency_during_reclaim(world: &mut World) -> Vec<Figure> {
    let [mut alone, mut beside] = [const { Vec::new() }; 2];
    for _ in 0..SAMPLES {
        alone.push(slowest_of_hundred(world, |done| done == RECLAIMED / 10));
        let snapshot = overwritten_snapshot(world, RECLAIMED.min(world.extents), Spread::Near);
        snapshot.delete().expect("a deletion");
        drop(snapshot);
        let store = world.store.clone();
        let thread = thread::spawn(move || while !store.reclaim(RECLAIM_STEP).expect("space back").done {});
        beside.push(slowest_of_hundred(world, |_| thread.is_finished()));
        thread.join().expect("a thread that ends");
    }
    vec![
        Figure::new("4 KiB overwrite, p99", Unit::Time, alone),
        Figure::new("4 KiB overwrite, p99 while another thread reclaims", Unit::Time, beside),
    ]
}

fn slowest_of_hundred(world: &mut World, is_over: impl Fn(u64) -> bool) -> f64 {
    let mut times = Vec::new();
    while times.is_empty() || !is_over(times.len() as u64) {
        times.push(nanoseconds(|| world.overwrite(1, Spread::Far)).0);
    }
    times.sort_by(f64::total_cmp);
    times[times.len() * 99 / 100]
}
