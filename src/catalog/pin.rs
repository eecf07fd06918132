//! Who reads a version's blocks, so that nobody frees them?

use std::sync::{Arc, Weak};

use crate::sync::plain::Mutex;

/// Whoever holds it keeps a version's blocks from being freed.
pub struct Pin {
    _of_store: Arc<()>,
}

/// The pins of all versions of a store.
#[derive(Default)]
pub(super) struct Pins(Arc<()>);

/// Where a version's pin is found as long as somebody holds it. Most versions never have one, so it takes nothing from the heap.
#[derive(Default)]
pub struct PinPlace(Mutex<Weak<Pin>>);

impl Pins {
    /// Does somebody hold a pin of any version?
    pub fn any_is_held(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

impl PinPlace {
    /// The version's pin.
    pub(super) fn take(&self, all: &Pins) -> Arc<Pin> {
        let mut place = self.0.lock();
        place.upgrade().unwrap_or_else(|| {
            let pin = Arc::new(Pin { _of_store: Arc::clone(&all.0) });
            *place = Arc::downgrade(&pin);
            pin
        })
    }

    /// Does somebody hold the version's pin?
    pub(super) fn is_held(&self) -> bool {
        self.0.lock().strong_count() > 0
    }
}
