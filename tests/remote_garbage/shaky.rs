//! An object store in memory with a clock of its own, at which a client can crash at any operation, or somebody can come in between.

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What all clients see.
#[derive(Debug)]
pub struct Cloud {
    inner: InMemory,
    clock: AtomicI64,
    modified: Mutex<HashMap<Path, i64>>,
    /// Whether it pretends that conditional puts are plain ones.
    ignores_conditions: AtomicBool,
}

impl Cloud {
    /// An empty one.
    pub fn new() -> Arc<Self> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is later").as_secs() as i64;
        Arc::new(Self { inner: InMemory::new(), clock: now.into(), modified: Mutex::default(), ignores_conditions: false.into() })
    }

    /// One with the same objects, for another future.
    pub fn fork(&self) -> Arc<Self> {
        Arc::new(Self {
            inner: self.inner.fork(),
            clock: self.clock.load(Ordering::SeqCst).into(),
            modified: Mutex::new(self.modified.lock().expect("nobody panicked").clone()),
            ignores_conditions: self.ignores_conditions.load(Ordering::SeqCst).into(),
        })
    }

    /// Time goes by.
    pub fn pass(&self, seconds: i64) {
        self.clock.fetch_add(seconds, Ordering::SeqCst);
    }

    pub fn ignore_conditions(&self) {
        self.ignores_conditions.store(true, Ordering::SeqCst);
    }
}

/// Where in a client's operation it crashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The store never hears of it.
    Before,
    /// The store did it.
    After,
}

type Visit = Box<dyn FnOnce() + Send>;

/// What is to happen to a client.
#[derive(Default)]
pub struct Fate {
    operations: AtomicU64,
    crashes: Mutex<Option<(u64, Crash)>>,
    crashed: AtomicBool,
    visit: Mutex<Option<(u64, Visit)>>,
}

impl Fate {
    /// From here on, the operation with that number is its last one.
    pub fn crash_at(&self, number: u64, crash: Crash) {
        self.operations.store(0, Ordering::SeqCst);
        *self.crashes.lock().expect("nobody panicked") = Some((number, crash));
    }

    pub fn has_crashed(&self) -> bool {
        self.crashed.load(Ordering::SeqCst)
    }

    /// From here on, that happens before the operation with that number.
    pub fn visit_at(&self, number: u64, visit: impl FnOnce() + Send + 'static) {
        self.operations.store(0, Ordering::SeqCst);
        *self.visit.lock().expect("nobody panicked") = Some((number, Box::new(visit)));
    }

    /// Whoever would have come stays away.
    pub fn no_visit(&self) {
        *self.visit.lock().expect("nobody panicked") = None;
    }

    fn begin(&self) -> Result<Option<Crash>> {
        let number = self.operations.fetch_add(1, Ordering::SeqCst);
        let visit = self.visit.lock().expect("nobody panicked").take_if(|(at, _)| *at == number);
        if let Some((_, visit)) = visit {
            // In a thread of its own: a runtime's thread may not wait for the runtime.
            std::thread::spawn(visit).join().expect("a visit goes well");
        }
        if self.has_crashed() {
            return Err(gone());
        }
        match *self.crashes.lock().expect("nobody panicked") {
            Some((at, crash)) if at == number => {
                self.crashed.store(true, Ordering::SeqCst);
                if crash == Crash::Before { Err(gone()) } else { Ok(Some(crash)) }
            }
            _ => Ok(None),
        }
    }
}

fn gone() -> Error {
    Error::Generic { store: "Shaky", source: "the client has crashed".into() }
}

/// The store, as one client sees it.
pub struct Shaky {
    pub cloud: Arc<Cloud>,
    pub fate: Arc<Fate>,
}

impl fmt::Debug for Shaky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shaky")
    }
}

impl fmt::Display for Shaky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shaky")
    }
}

fn ended<T>(crash: Option<Crash>, done: T) -> Result<T> {
    if crash.is_some() { Err(gone()) } else { Ok(done) }
}

#[async_trait]
impl ObjectStore for Shaky {
    async fn put_opts(&self, location: &Path, payload: PutPayload, mut options: PutOptions) -> Result<PutResult> {
        let crash = self.fate.begin()?;
        if self.cloud.ignores_conditions.load(Ordering::SeqCst) {
            options.mode = PutMode::Overwrite;
        }
        let put = self.cloud.inner.put_opts(location, payload, options).await?;
        let now = self.cloud.clock.load(Ordering::SeqCst);
        self.cloud.modified.lock().expect("nobody panicked").insert(location.clone(), now);
        ended(crash, put)
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(Error::NotImplemented { operation: "put_multipart".into(), implementer: "Shaky".into() })
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let crash = self.fate.begin()?;
        let got = self.cloud.inner.get_opts(location, options).await?;
        ended(crash, got)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (cloud, fate) = (Arc::clone(&self.cloud), Arc::clone(&self.fate));
        let begun = locations.map(move |location| Ok((location?, fate.begin()?)));
        let deleted = begun.and_then(move |(location, crash)| {
            let cloud = Arc::clone(&cloud);
            async move {
                let one = futures_util::stream::iter([Ok(location.clone())]).boxed();
                cloud.inner.delete_stream(one).try_collect::<Vec<_>>().await?;
                ended(crash, location)
            }
        });
        deleted.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let crash = match self.fate.begin() {
            Ok(None) => None,
            Ok(Some(crash)) => Some(crash),
            Err(error) => return futures_util::stream::iter([Err(error)]).boxed(),
        };
        let modified = self.cloud.modified.lock().expect("nobody panicked").clone();
        let listed = self.cloud.inner.list(prefix).map(move |meta| {
            let mut meta = ended(crash, meta?)?;
            let second = meta.last_modified - Duration::from_secs(meta.last_modified.timestamp() as u64);
            meta.last_modified = second + Duration::from_secs(modified[&meta.location] as u64);
            Ok(meta)
        });
        listed.boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Err(Error::NotImplemented { operation: "list_with_delimiter".into(), implementer: "Shaky".into() })
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(Error::NotImplemented { operation: "copy".into(), implementer: "Shaky".into() })
    }
}
