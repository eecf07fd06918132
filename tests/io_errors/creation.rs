//! What if the device fails while a store is created?

use std::io;
use std::sync::Arc;

use floe::sim::{Asked, Loss, SimDevice};
use floe::{DriveOptions, ErrorKind, Store, StoreOptions};

use crate::injection::Injection;
use crate::judge::{Outcome, done, same};

/// Afterwards there is an empty store, or none and one can be made.
#[test]
fn creation_that_fails_leaves_a_store_or_none() {
    let operations = {
        let device = new_device();
        Store::options().create_on(device.clone()).unwrap();
        device.operations()
    };
    for injection in (0..operations).flat_map(Injection::all_at) {
        create(injection).unwrap_or_else(|difference| panic!("creating, with fault {injection}: {difference}"));
    }
    println!("{} errors while a store was created", operations * Injection::all_at(0).count() as u64);
}

fn create(injection: Injection) -> Outcome {
    let device = new_device();
    device.fail(Some(injection.after(0)));
    match Store::options().create_on(device.clone()) {
        // It fails in the close at the latest.
        Ok(store) => drop(store),
        Err(error) => {
            let failures = device.failures();
            let wants_space = failures.fatal.is_none() && failures.first == Some(Asked::Allocate);
            let is_full = injection.error == io::ErrorKind::StorageFull;
            let kind = if wants_space && is_full { ErrorKind::NoSpace } else { ErrorKind::Io };
            same("kind of error", &error.kind(), &kind).map_err(|difference| format!("{difference}: {error}"))?;
        }
    }
    same("handles of the device", &Arc::strong_count(&device), &1)?;
    device.fail(None);
    for loss in Loss::ALL {
        let device = Arc::new(device.power_cut(loss, injection.number()).expect("memory for a device"));
        let store = match Store::options().open_on(device.clone()) {
            Ok(store) => store,
            Err(error) => {
                same("kind of error", &error.kind(), &ErrorKind::NotAStore)
                    .map_err(|difference| format!("{difference}: {error}"))?;
                done("create, once more", Store::options().create_on(device))?
            }
        };
        same("drives", &store.info().drives, &0)?;
        same("is clean", &done("check", store.check())?.is_clean(), &true)?;
        done("create a drive", store.create_drive(DriveOptions::new(1 << 20)))?;
    }
    Ok(())
}

fn new_device() -> Arc<SimDevice> {
    Arc::new(SimDevice::new(StoreOptions::CAPACITY_MIN).expect("memory for a device"))
}
