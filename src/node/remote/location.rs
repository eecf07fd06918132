//! Which locations are there, and how are they reached?
//!
//! A location is a code and the URL of an object store; without a word from anybody there are the six of the API's page, each a directory. Secrets
//! are never written where the URL is: they come from the environment or from files.

use super::bucket::Bucket;
use super::repository::keys::Key;
use super::repository::{MARK, Repository};
use crate::node::failure::{Failure, FailureKind};
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreScheme, RetryConfig};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use url::Url;

/// Those of the API's page; the first one is meant when nobody says which.
pub const CODES: [&str; 6] = ["GVA", "ZRH", "FRA", "CWL", "LON", "DUB"];
/// Where the directories of locations are that nobody said more about.
const DIRECTORY: &str = "locations";

/// What somebody says of a location.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Location {
    /// `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`, `file:///directory`; `memory:` for trials.
    pub url: String,
    /// What the object store's client is told: `aws_endpoint`, `aws_region`, `google_service_account` and the like.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// The same, each in a file: for secrets.
    #[serde(default)]
    pub option_files: BTreeMap<String, PathBuf>,
    /// A file whose content opens the repository.
    pub key_file: Option<PathBuf>,
    /// A file whose first line opens it.
    pub passphrase_file: Option<PathBuf>,
    /// No more than so many bytes are put in a second.
    pub upload_rate: Option<u64>,
}

/// All locations of a node, by their codes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locations(BTreeMap<String, Location>);

impl Locations {
    /// Those that somebody said, or the usual ones in a directory of the data directory.
    ///
    /// # Errors
    /// `InvalidArgument` for a code that is none.
    pub fn new(said: BTreeMap<String, Location>, data: &Path) -> Result<Self, Failure> {
        if let Some(code) = said.keys().find(|code| !is_code(code)) {
            let message = format!("{code:?} is no code of a location: 1 to 16 capital letters and digits");
            return Err(Failure::new(FailureKind::InvalidArgument, message));
        }
        if !said.is_empty() {
            return Ok(Self(said));
        }
        let data = std::path::absolute(data).map_err(|error| Failure::io(format!("find {}", data.display()), error))?;
        let usual = |code: &str| {
            let url = Url::from_directory_path(data.join(DIRECTORY).join(code)).expect("the path is absolute");
            (code.to_owned(), Location { url: url.into(), ..Location::default() })
        };
        Ok(Self(CODES.into_iter().map(usual).collect()))
    }

    /// The codes.
    pub fn codes(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The one that is meant when nobody says which: the first of the page's that is there, or the first one.
    #[must_use]
    pub fn default_code(&self) -> Option<&str> {
        CODES.into_iter().find(|code| self.0.contains_key(*code)).or_else(|| self.codes().next())
    }

    /// The location of that code.
    ///
    /// # Errors
    /// `NotFound`
    pub fn find(&self, code: &str) -> Result<&Location, Failure> {
        self.0.get(code).ok_or_else(|| {
            let codes = self.codes().collect::<Vec<_>>().join(", ");
            Failure::new(FailureKind::NotFound, format!("there is no location {code:?}; there are {codes}"))
        })
    }
}

fn is_code(code: &str) -> bool {
    (1..=16).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

/// A client, by its builder: their methods are called the same, and are no trait's.
macro_rules! client {
    ($builder:ident, $url:ident, $retry:ident, $options:ident) => {{
        let builder = $builder::from_env().with_url($url.as_str()).with_retry($retry);
        let told = |builder: $builder, (option, value): (String, String)| {
            Ok::<_, object_store::Error>(builder.with_config(option.parse()?, value))
        };
        Arc::new($options.into_iter().try_fold(builder, told)?.build()?)
    }};
}

impl Location {
    /// Its objects; nothing is asked of it yet.
    ///
    /// # Errors
    /// `InvalidArgument` for a URL or an option that cannot be meant, `NotFound` and `Io` for files.
    pub fn bucket(&self, code: &str) -> Result<Bucket, Failure> {
        let wrong = |error: &dyn std::fmt::Display| {
            Failure::new(FailureKind::InvalidArgument, format!("location {code}: {}: {error}", self.url))
        };
        let url = Url::parse(&self.url).map_err(|error| wrong(&error))?;
        let (store, root) = self.store(&url).map_err(|error| wrong(&error))?;
        let bucket = Bucket::new(code, store, root).rate(self.upload_rate);
        Ok(match url.to_file_path() {
            Ok(directory) if url.scheme() == "file" => bucket.in_directory(directory),
            _ => bucket,
        })
    }

    fn store(&self, url: &Url) -> Result<(Arc<dyn ObjectStore>, ObjectPath), Box<dyn std::error::Error>> {
        let mut options: Vec<(String, String)> = self.options.clone().into_iter().collect();
        for (option, path) in &self.option_files {
            let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
            options.push((option.clone(), text.trim_end().to_owned()));
        }
        // What fails is tried again by whoever asked, who knows how long he can wait.
        let retry = RetryConfig { max_retries: 0, ..RetryConfig::default() };
        let (scheme, path) = ObjectStoreScheme::parse(url)?;
        install_cryptography();
        let store: Arc<dyn ObjectStore> = match scheme {
            ObjectStoreScheme::Local => {
                let directory = url.to_file_path().map_err(|()| "it is no path of a file system")?;
                fs::create_dir_all(&directory)?;
                let store = LocalFileSystem::new_with_prefix(directory)?.with_fsync(true);
                return Ok((Arc::new(store), ObjectPath::default()));
            }
            ObjectStoreScheme::Memory => Arc::new(InMemory::new()),
            ObjectStoreScheme::AmazonS3 => client!(AmazonS3Builder, url, retry, options),
            ObjectStoreScheme::GoogleCloudStorage => client!(GoogleCloudStorageBuilder, url, retry, options),
            ObjectStoreScheme::MicrosoftAzure => client!(MicrosoftAzureBuilder, url, retry, options),
            _ => return Err("no object store that floe knows has such a URL".into()),
        };
        Ok((store, path))
    }

    /// What opens its repository; nothing if it is not encrypted.
    ///
    /// # Errors
    /// `InvalidArgument` for two keys, `NotFound` and `Io` for files.
    pub fn key(&self) -> Result<Option<Key>, Failure> {
        let read = |path: &Path| fs::read(path).map_err(|error| Failure::io(format!("read {}", path.display()), error));
        match (&self.key_file, &self.passphrase_file) {
            (None, None) => Ok(None),
            (Some(file), None) => Ok(Some(Key::File(read(file)?))),
            (None, Some(file)) => {
                let text = String::from_utf8_lossy(&read(file)?).lines().next().unwrap_or_default().to_owned();
                Ok(Some(Key::Passphrase(text)))
            }
            (Some(_), Some(_)) => {
                let message = "a key file and a passphrase: which of the two opens the location?";
                Err(Failure::new(FailureKind::InvalidArgument, message))
            }
        }
    }

    /// Its repository; a directory on this machine gets one if it has none.
    ///
    /// # Errors
    /// Those of [`Repository::open`].
    pub fn repository(&self, bucket: Bucket) -> Result<Repository, Failure> {
        let key = self.key()?;
        match Repository::open(bucket.clone(), key.as_ref()) {
            Err(failure) if failure.kind() == FailureKind::NotFound && self.is_at_hand() => {
                Repository::init(bucket, key.as_ref())
            }
            other => other,
        }
    }

    /// Can it have a repository? A directory that is not there has none, and is not made by looking.
    #[must_use]
    pub fn may_be_there(&self) -> bool {
        match Url::parse(&self.url).ok().filter(|url| url.scheme() == "file").map(|url| url.to_file_path()) {
            Some(Ok(directory)) => directory.join(MARK).exists(),
            Some(Err(())) => false,
            None => true,
        }
    }

    fn is_at_hand(&self) -> bool {
        self.url.starts_with("file:") || self.url.starts_with("memory:")
    }
}

/// Clients of object stores take the cryptography that the process has installed.
fn install_cryptography() {
    // Whoever was first installed the same one.
    rustls::crypto::ring::default_provider().install_default().unwrap_or_default();
}
