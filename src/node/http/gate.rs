//! How many passwords are looked at the same time, and whose?
//!
//! Looking at one takes a processor and memory, on purpose. Nobody is sent away for that reason; everybody waits for his turn:
//!
//! 1. Few threads do nothing else: so few are looked at together, and no call waits for a thread because of them.
//! 2. Of one place only one is looked at a time: a thousand guesses from there delay others there, and elsewhere hardly anybody.

use crate::node::accounts::place_of;
use crate::node::failure::Failure;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::thread;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

type Job = Box<dyn FnOnce() + Send>;

/// Where passwords wait.
pub struct Gate {
    jobs: mpsc::Sender<Job>,
    places: Arc<Places>,
}

type Places = Mutex<HashMap<IpAddr, Arc<Semaphore>>>;

impl Gate {
    /// Through which so many go at a time.
    ///
    /// # Errors
    /// `Io` if there are no threads left.
    pub fn new(at_a_time: usize) -> Result<Self, Failure> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..at_a_time {
            let queue = Arc::clone(&queue);
            let work = move || {
                loop {
                    let job = queue.lock().recv();
                    // Nobody sends any more.
                    let Ok(job) = job else { return };
                    if catch_unwind(AssertUnwindSafe(job)).is_err() {
                        // Whoever waited for it hears of it; the next one is not to blame.
                        tracing::error!("a bug: looking at a password panicked");
                    }
                }
            };
            let spawned = thread::Builder::new().name("login".into()).spawn(work);
            spawned.map_err(|error| Failure::io("start a thread", error))?;
        }
        Ok(Self { jobs, places: Arc::default() })
    }

    /// Looks at a password from somewhere, when its turn comes; nothing if that panicked.
    pub async fn look<T: Send + 'static>(&self, from: IpAddr, look: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let turn = Turn::wait(&self.places, place_of(from)).await;
        let (tell, told) = oneshot::channel();
        let job = move || {
            if tell.is_closed() {
                return;
            }
            let looked = look();
            // It lasts as long as the work, also if whoever asked goes away meanwhile; who is told that the work is done may rely on it.
            drop(turn);
            // He may have gone just now.
            tell.send(looked).unwrap_or_default();
        };
        self.jobs.send(Box::new(job)).ok()?;
        told.await.ok()
    }
}

/// The turn of a place.
struct Turn {
    places: Arc<Places>,
    place: IpAddr,
    permit: Option<OwnedSemaphorePermit>,
}

impl Turn {
    async fn wait(places: &Arc<Places>, place: IpAddr) -> Self {
        let own = Arc::clone(places.lock().entry(place).or_insert_with(|| Arc::new(Semaphore::new(1))));
        // Made before there is anything to wait for: whoever goes away while waiting leaves nothing behind.
        let mut turn = Self { places: Arc::clone(places), place, permit: None };
        // It is never closed.
        turn.permit = own.acquire_owned().await.ok();
        turn
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.permit = None;
        let mut places = self.places.lock();
        // Nobody else holds it or waits for it.
        if places.get(&self.place).is_some_and(|own| Arc::strong_count(own) == 1) {
            places.remove(&self.place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Gate;
    use std::sync::{Arc, mpsc};
    use tokio::runtime::Builder;
    use tokio::task::JoinHandle;

    /// A look that lasts until it is told to end; says when it begins.
    fn look(gate: &Arc<Gate>, from: &str, begun: &mpsc::Sender<String>) -> (mpsc::Sender<()>, JoinHandle<Option<()>>) {
        let (end, ended) = mpsc::channel();
        let (gate, begun, from) = (Arc::clone(gate), begun.clone(), from.to_owned());
        let looking = tokio::spawn(async move {
            let address = from.parse().expect("an address");
            let work = move || {
                begun.send(from).expect("somebody listens");
                ended.recv().unwrap_or_default();
            };
            gate.look(address, work).await
        });
        (end, looking)
    }

    #[test]
    fn few_at_a_time_and_one_of_each_place() {
        let runtime = Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
        let gate = Arc::new(Gate::new(2).expect("threads"));
        let (begun, begins) = mpsc::channel();
        let _runtime = runtime.enter();
        let (end_first, first) = look(&gate, "10.0.0.1", &begun);
        assert_eq!(begins.recv().expect("it begins"), "10.0.0.1");
        let (_, gone) = look(&gate, "10.0.0.1", &begun);
        let (end_second, second) = look(&gate, "10.0.0.2", &begun);
        assert_eq!(begins.recv().expect("it begins"), "10.0.0.2", "the other one of 10.0.0.1 waits");
        let (end_third, third) = look(&gate, "10.0.0.3", &begun);
        gone.abort();
        assert!(runtime.block_on(gone).is_err());
        assert!(begins.try_recv().is_err(), "two are looked at");
        end_second.send(()).expect("it waits");
        assert_eq!(begins.recv().expect("it begins"), "10.0.0.3");
        end_first.send(()).expect("it waits");
        end_third.send(()).expect("it waits");
        for looked in [first, second, third] {
            assert_eq!(runtime.block_on(looked).expect("no panic"), Some(()));
        }
        assert!(gate.places.lock().is_empty(), "nothing stays behind");
    }

    #[test]
    fn a_look_that_panics_takes_nobody_with_it() {
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        let gate = Gate::new(1).expect("threads");
        let from = "10.0.0.1".parse().expect("an address");
        assert_eq!(runtime.block_on(gate.look::<()>(from, || panic!("on purpose"))), None);
        assert_eq!(runtime.block_on(gate.look(from, || 7)), Some(7));
    }
}
