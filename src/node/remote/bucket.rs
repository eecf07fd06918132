//! How are objects put into a location's store, and got out of it?
//!
//! Whoever calls waits; the runtime that the clients of object stores need is in here. What fails for a while is tried again, for so
//! long as the bucket is told to be patient; what can never succeed is said at once.
//!
//! 1. An object is never overwritten with something else: names are unique, so doing a put twice does no harm.
//! 2. A conditional put that finds its own bytes has succeeded: the answer to its first try was lost.

use crate::node::failure::{Failure, FailureKind};
use crate::node::remote::pace::Pace;
use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::{Error, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use uuid::Uuid;

/// The first pause before something is tried again; each one is twice as long as the one before.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// Whoever is told to stop does within so long.
const STOP_TICK: Duration = Duration::from_millis(50);

/// An object, as a list has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its name below the location's URL.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// When it was put, in seconds since 1970, by the clock of the object store.
    pub modified: i64,
}

/// What a conditional put came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// There was none.
    New,
    /// There is another one.
    Taken,
}

/// What went to and fro.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Bytes that were put.
    pub sent_bytes: AtomicU64,
    /// Bytes that were got.
    pub received_bytes: AtomicU64,
    /// Calls that had to be done again.
    pub retries: AtomicU64,
}

/// The objects of a location.
#[derive(Clone)]
pub struct Bucket {
    location: String,
    store: Arc<dyn ObjectStore>,
    root: Path,
    patience: Duration,
    pace: Arc<Pace>,
    stop: Arc<AtomicBool>,
    traffic: Arc<Traffic>,
    user: Option<Uuid>,
    directory: Option<PathBuf>,
}

impl Bucket {
    /// Those below `root` of a store, called `location` in messages.
    #[must_use]
    pub fn new(location: &str, store: Arc<dyn ObjectStore>, root: Path) -> Self {
        Self {
            location: location.to_owned(),
            store,
            root,
            patience: Duration::from_secs(60),
            pace: Arc::default(),
            stop: Arc::default(),
            traffic: Arc::default(),
            user: None,
            directory: None,
        }
    }

    /// For how long what fails is tried again.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Puts no more than so many bytes in a second.
    #[must_use]
    pub fn rate(mut self, bytes_per_second: Option<u64>) -> Self {
        self.pace = Arc::new(Pace::new(bytes_per_second));
        self
    }

    /// Gives up whatever waits, once that is set.
    #[must_use]
    pub fn stopped_by(mut self, stop: Arc<AtomicBool>) -> Self {
        self.stop = stop;
        self
    }

    /// Says which store uses it.
    #[must_use]
    pub fn used_by(mut self, store: Uuid) -> Self {
        self.user = Some(store);
        self
    }

    /// Says that it is a directory of this machine.
    #[must_use]
    pub fn in_directory(mut self, directory: PathBuf) -> Self {
        self.directory = Some(directory);
        self
    }

    /// The store that uses it.
    #[must_use]
    pub fn user(&self) -> Option<Uuid> {
        self.user
    }

    /// Where it is on this machine.
    #[must_use]
    pub fn directory(&self) -> Option<&std::path::Path> {
        self.directory.as_deref()
    }

    /// The location's code.
    #[must_use]
    pub fn location(&self) -> &str {
        &self.location
    }

    /// What went to and fro.
    #[must_use]
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Is everybody told to stop?
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Puts an object under a name that nobody else uses.
    ///
    /// # Errors
    /// `Io` if the store cannot be reached, `Denied`.
    pub fn put(&self, name: &str, bytes: Bytes) -> Result<(), Failure> {
        self.pace.wait(bytes.len() as u64, &self.stop);
        self.patiently("put", name, || {
            let (store, path, payload) = (Arc::clone(&self.store), self.path(name), PutPayload::from_bytes(bytes.clone()));
            async move { store.put(&path, payload).await.map(drop) }
        })?;
        self.traffic.sent_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Puts an object unless there is one of that name, as far as the store can tell.
    ///
    /// # Errors
    /// As [`Bucket::put`]; `InvalidArgument` if the store refuses conditions.
    pub fn create(&self, name: &str, bytes: &Bytes) -> Result<Created, Failure> {
        let created = self.patiently("create", name, || {
            let (store, path, payload) = (Arc::clone(&self.store), self.path(name), PutPayload::from_bytes(bytes.clone()));
            async move {
                match store.put_opts(&path, payload, PutOptions::from(PutMode::Create)).await {
                    Ok(_) => Ok(Created::New),
                    Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(Created::Taken),
                    Err(error) => Err(error),
                }
            }
        })?;
        self.traffic.sent_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        if created == Created::Taken && self.get(name)? == *bytes {
            return Ok(Created::New);
        }
        Ok(created)
    }

    /// All of an object.
    ///
    /// # Errors
    /// `NotFound`, `Io`, `Denied`
    pub fn get(&self, name: &str) -> Result<Bytes, Failure> {
        self.got(name, None)
    }

    /// A part of an object.
    ///
    /// # Errors
    /// `NotFound`, `Io`, `Denied`; `Corrupt` if the object is shorter.
    pub fn get_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, Failure> {
        self.got(name, Some(range))
    }

    fn got(&self, name: &str, range: Option<Range<u64>>) -> Result<Bytes, Failure> {
        let wanted = range.as_ref().map(|range| range.end - range.start);
        let bytes = self.patiently("get", name, || {
            let (store, path) = (Arc::clone(&self.store), self.path(name));
            let options = GetOptions { range: range.clone().map(GetRange::Bounded), ..GetOptions::default() };
            async move { store.get_opts(&path, options).await?.bytes().await }
        })?;
        self.traffic.received_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        if wanted.is_some_and(|wanted| wanted != bytes.len() as u64) {
            return Err(self.failure(FailureKind::Corrupt, "get", name, "the object is shorter than it should be"));
        }
        Ok(bytes)
    }

    /// The objects whose names begin with that directory.
    ///
    /// # Errors
    /// `Io`, `Denied`
    pub fn list(&self, directory: &str) -> Result<Vec<Object>, Failure> {
        let found: Vec<ObjectMeta> = self.patiently("list", directory, || {
            let (store, path) = (Arc::clone(&self.store), self.path(directory));
            async move { store.list(Some(&path)).try_collect().await }
        })?;
        let mut objects: Vec<Object> = found
            .into_iter()
            .filter_map(|meta| {
                let parts = meta.location.prefix_match(&self.root)?;
                let name = parts.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join("/");
                Some(Object { name, bytes: meta.size, modified: meta.last_modified.timestamp() })
            })
            .collect();
        objects.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(objects)
    }

    /// Deletes an object, if it is there.
    ///
    /// # Errors
    /// `Io`, `Denied`
    pub fn delete(&self, name: &str) -> Result<(), Failure> {
        self.patiently("delete", name, || {
            let (store, path) = (Arc::clone(&self.store), self.path(name));
            async move {
                match store.delete(&path).await {
                    Err(Error::NotFound { .. }) => Ok(()),
                    other => other,
                }
            }
        })
    }

    fn path(&self, name: &str) -> Path {
        name.split('/').filter(|part| !part.is_empty()).fold(self.root.clone(), |path, part| path.join(part))
    }

    fn patiently<T, F>(&self, doing: &str, name: &str, call: impl Fn() -> F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let (begun, mut pause) = (Instant::now(), PAUSE_MIN);
        loop {
            let error = match wait_for(call()) {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            if let Some(kind) = lasting(&error) {
                return Err(self.failure(kind, doing, name, &error.to_string()));
            }
            if begun.elapsed() + pause > self.patience || self.is_stopped() {
                return Err(self.failure(FailureKind::Io, doing, name, &error.to_string()));
            }
            tracing::debug!(location = %self.location, name, %error, "trying again");
            self.traffic.retries.fetch_add(1, Ordering::Relaxed);
            let until = Instant::now() + pause;
            while Instant::now() < until && !self.is_stopped() {
                thread::sleep(STOP_TICK.min(until.saturating_duration_since(Instant::now())));
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn failure(&self, kind: FailureKind, doing: &str, name: &str, message: &str) -> Failure {
        Failure::new(kind, format!("location {}: {doing} {name}: {message}", self.location))
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").field("location", &self.location).field("root", &self.root).finish_non_exhaustive()
    }
}

/// What an error means if trying again does not help.
fn lasting(error: &Error) -> Option<FailureKind> {
    match error {
        Error::NotFound { .. } => Some(FailureKind::NotFound),
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => Some(FailureKind::Denied),
        Error::InvalidPath { .. }
        | Error::NotSupported { .. }
        | Error::NotImplemented { .. }
        | Error::UnknownConfigurationKey { .. } => Some(FailureKind::InvalidArgument),
        _ => None,
    }
}

/// Runs what a client of object stores does to its end.
fn wait_for<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(2).thread_name("objects").enable_all();
        builder.build().expect("threads can be started")
    });
    runtime.block_on(work)
}
