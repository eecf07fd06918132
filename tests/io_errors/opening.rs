//! What if the device fails while a store is opened?
//!
//! The error has a kind, the device is let go of, and the next opening shows the same as if nothing had been.

use std::sync::Arc;

use floe::sim::{Asked, Disk, Loss, SimDevice};
use floe::{Device, ErrorKind};

use crate::injection::Injection;
use crate::judge::{Outcome, Reading, done, judge, same};
use crate::operation::State;
use crate::runner::Settings;
use crate::strike::Count;
use crate::verdict::check;

/// Operations of an opening that finds nothing to do: it reads both superblocks, writes the newer one again, and syncs.
const PLAIN: u64 = 4;
/// For each page that the newer superblock lists it reads twice and writes once, for each run of data it reads and writes.
const PER_PAGE: u64 = 3;
const PER_RUN: u64 = 2;
/// Where a superblock says which commit it is of, and how many pages and runs it lists.
const GENERATION: usize = 48;
const LISTED: [usize; 2] = [160, 162];

/// Opens a disk that holds `state`, failing at every operation; unless `always` only where there is more to do than usual.
pub fn explore(disk: &Disk, settings: &Settings, state: &State, always: bool, count: &mut Count) -> Outcome {
    let (operations, plain) = {
        let device = sim(disk);
        let plain = plain(&device);
        let before = device.operations();
        let _store = done("open", settings.options().open_on(device.clone()))?;
        (device.operations() - before, plain)
    };
    if operations <= plain && !always {
        return Ok(());
    }
    for injection in (0..operations).flat_map(Injection::all_at) {
        count.openings += 1;
        open(disk, settings, state, injection).map_err(|difference| format!("opening, with fault {injection}: {difference}"))?;
    }
    Ok(())
}

/// Operations of an opening of this device that finds nothing to do.
fn plain(device: &SimDevice) -> u64 {
    let superblocks = [0, 1].map(|slot| {
        let mut page = [0; 4096];
        device.read_at(&mut page, slot * 4096).expect("two superblocks");
        page
    });
    let number = |page: &[u8; 4096], at: usize| u64::from_le_bytes(page[at..at + 8].try_into().expect("eight bytes"));
    let newest = superblocks.iter().max_by_key(|page| number(page, GENERATION)).expect("there are two");
    let [pages, runs] = LISTED.map(|at| u64::from(u16::from_le_bytes([newest[at], newest[at + 1]])));
    PLAIN + pages * PER_PAGE + runs * PER_RUN
}

fn open(disk: &Disk, settings: &Settings, state: &State, injection: Injection) -> Outcome {
    let device = sim(disk);
    device.fail(Some(injection.after(0)));
    match settings.options().open_on(device.clone()) {
        Ok(store) => {
            let failures = device.failures();
            if failures.fatal.is_some() || failures.first == Some(Asked::Read) {
                return Err(format!("it succeeds in spite of {failures:?}"));
            }
            drop(store);
        }
        Err(error) => {
            same("kind of error", &error.kind(), &ErrorKind::Io).map_err(|difference| format!("{difference}: {error}"))?
        }
    }
    if device.failures().after_fatal > 0 {
        return Err("D6: it wrote or synced after a failed write or sync".to_owned());
    }
    same("handles of the device", &Arc::strong_count(&device), &1)?;
    device.fail(None);
    let loss = Loss::ALL[(injection.number() % Loss::ALL.len() as u64) as usize];
    let after = Arc::new(device.power_cut(loss, injection.number()).expect("memory for a device"));
    for device in [device, after] {
        let store = done("open, once more", settings.options().open_on(device))?;
        judge(&store, &state.model, Reading::Thorough)?;
        check(&store, &state.model)?;
    }
    Ok(())
}

fn sim(disk: &Disk) -> Arc<SimDevice> {
    Arc::new(SimDevice::over(disk.clone()).expect("memory for a device"))
}
