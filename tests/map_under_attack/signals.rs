//! Whose is the signal that a failed read of memory sends?

use std::sync::atomic::{AtomicUsize, Ordering};

use floe::{Drive, ErrorKind, Store};

use crate::child::{Ending, at_the_end, here, in_child};
use crate::memory::{PAGE, break_pages, broken_page, bus_handler, byte_at, handle_bus_errors, mend_page, send_bus_error};
use crate::stage::{Stage, freeze, read};

#[test]
fn with_catching_turned_off_no_handler_is_installed_and_the_process_dies() {
    in_child(here!(), Ending::Sigbus, || {
        let before = bus_handler();
        let stage = Stage::with(Store::options().catch_bus_errors(false));
        let drive = stage.drive("d");
        stage.store.close().unwrap();
        let device = floe::FileDevice::options().catch_bus_errors(false).open(&stage.path()).unwrap();
        drop((drive, device));
        let store = Store::options().catch_bus_errors(false).open(stage.path()).unwrap();
        assert_eq!(bus_handler(), before, "no handler was installed");
        let drive = store.drives().remove(0);
        stage.cut(200 << 20);
        stage.cut(8192);
        at_the_end();
        let _dead = drive.read_at(&mut [0; 10], 0);
    });
}

#[test]
fn the_handler_is_installed_once() {
    in_child(here!(), Ending::Lives, || {
        let before = bus_handler();
        let first = Stage::new();
        let ours = bus_handler();
        assert_ne!(ours, before);
        // Somebody who comes later and stays keeps his place.
        handle_bus_errors(ours_and_more as *const () as usize, libc::SA_SIGINFO);
        let second = Stage::new();
        assert_eq!(bus_handler(), ours_and_more as *const () as usize);
        drop((first, second));
    });
}

static CALLS: AtomicUsize = AtomicUsize::new(0);
static ADDRESS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn ours_and_more(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    CALLS.fetch_add(1, Ordering::SeqCst);
    // SAFETY: the handler is installed with SA_SIGINFO, and the tests cause faults alone.
    let address = unsafe { (*info).si_addr() }.addr();
    ADDRESS.store(address, Ordering::SeqCst);
    mend_page(address);
}

extern "C" fn plain_handler(signal: libc::c_int) {
    assert_eq!(signal, libc::SIGBUS);
    CALLS.fetch_add(1, Ordering::SeqCst);
    mend_page(ADDRESS.load(Ordering::SeqCst));
}

/// A read of the store's map fails, and is caught.
fn expect_ours_is_caught(stage: &Stage, drive: &Drive) {
    stage.cut(8192);
    assert_eq!(read(drive, 0, PAGE), Err(ErrorKind::Io));
}

#[test]
fn a_fault_that_is_not_ours_reaches_the_handler_that_was_there_before() {
    in_child(here!(), Ending::Lives, || {
        handle_bus_errors(ours_and_more as *const () as usize, libc::SA_SIGINFO);
        let stage = Stage::new();
        let drive = stage.drive("d");
        let foreign = broken_page();
        assert_eq!(byte_at(foreign + 5), 0);
        assert_eq!((CALLS.load(Ordering::SeqCst), ADDRESS.load(Ordering::SeqCst)), (1, foreign + 5));
        let ours = freeze(&drive).extents().next().unwrap().unwrap().data.as_ptr().addr();
        expect_ours_is_caught(&stage, &drive);
        assert_eq!(CALLS.load(Ordering::SeqCst), 1, "what is ours is not passed on");
        drop((stage, drive));
        break_pages(ours, 1);
        assert_eq!(byte_at(ours), 0);
        assert_eq!(CALLS.load(Ordering::SeqCst), 2, "what was ours and is somebody else's now is his");
    });
}

#[test]
fn a_plain_handler_that_was_there_before_is_called_as_it_expects() {
    in_child(here!(), Ending::Lives, || {
        handle_bus_errors(plain_handler as *const () as usize, 0);
        let stage = Stage::new();
        let drive = stage.drive("d");
        let foreign = broken_page();
        ADDRESS.store(foreign, Ordering::SeqCst);
        assert_eq!(byte_at(foreign), 0);
        send_bus_error();
        assert_eq!(CALLS.load(Ordering::SeqCst), 2, "faults and what processes send");
        expect_ours_is_caught(&stage, &drive);
        assert_eq!(CALLS.load(Ordering::SeqCst), 2);
    });
}

#[test]
fn a_handler_for_one_time_is_called_one_time() {
    in_child(here!(), Ending::Sigbus, || {
        handle_bus_errors(plain_handler as *const () as usize, libc::SA_RESETHAND);
        let _stage = Stage::new();
        send_bus_error();
        assert_eq!(CALLS.load(Ordering::SeqCst), 1);
        at_the_end();
        send_bus_error();
    });
}

#[test]
fn a_fault_that_is_not_ours_ends_the_process_as_without_us() {
    in_child(here!(), Ending::Sigbus, || {
        // As the standard library set it.
        let _stage = Stage::new();
        at_the_end();
        byte_at(broken_page());
    });
}

#[test]
fn a_fault_ends_the_process_where_nobody_handled_the_signal() {
    in_child(here!(), Ending::Sigbus, || {
        handle_bus_errors(libc::SIG_DFL, 0);
        let stage = Stage::new();
        let drive = stage.drive("d");
        expect_ours_is_caught(&stage, &drive);
        at_the_end();
        byte_at(broken_page());
    });
}

#[test]
fn a_signal_that_a_process_sends_ends_the_process_where_nobody_handled_it() {
    in_child(here!(), Ending::Sigbus, || {
        handle_bus_errors(libc::SIG_DFL, 0);
        let _stage = Stage::new();
        at_the_end();
        send_bus_error();
    });
}

#[test]
fn a_signal_that_was_ignored_is_ignored_and_a_fault_is_not() {
    in_child(here!(), Ending::Sigbus, || {
        handle_bus_errors(libc::SIG_IGN, 0);
        let stage = Stage::new();
        let drive = stage.drive("d");
        send_bus_error();
        expect_ours_is_caught(&stage, &drive);
        at_the_end();
        byte_at(broken_page());
    });
}
