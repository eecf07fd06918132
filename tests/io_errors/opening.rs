//! What if the device fails while a store is opened?
//!
//! The error has a kind, the device is let go of, and the next opening shows the same as if nothing had been.

use std::sync::Arc;

use floe::ErrorKind;
use floe::sim::{Asked, Disk, Loss, SimDevice};

use crate::injection::Injection;
use crate::judge::{Outcome, Reading, done, judge, same};
use crate::operation::State;
use crate::runner::Settings;
use crate::strike::Count;
use crate::verdict::check;

/// Operations of an opening that finds nothing to do: it reads both superblocks, writes the newer one again, and syncs.
const PLAIN: u64 = 4;

/// Opens a disk that holds `state`, failing at every operation; unless `always` only where there is more to do than usual.
pub fn explore(disk: &Disk, settings: &Settings, state: &State, always: bool, count: &mut Count) -> Outcome {
    let operations = {
        let device = sim(disk);
        let _store = done("open", settings.options().open_on(device.clone()))?;
        device.operations()
    };
    if operations <= PLAIN && !always {
        return Ok(());
    }
    for injection in (0..operations).flat_map(Injection::all_at) {
        count.openings += 1;
        open(disk, settings, state, injection).map_err(|difference| format!("opening, with fault {injection}: {difference}"))?;
    }
    Ok(())
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
