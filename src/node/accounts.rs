//! Who may use a node, and how do they prove it?
//!
//! Accounts are notes of the store: JSON objects with `"kind": "account"`.
//!
//! 1. Passwords are kept as argon2 hashes, never as they are.
//! 2. Whether an account exists cannot be told from how long a refusal takes.
//! 3. Who fails too often waits: guessing is slower than any password.
//! 4. Nobody locks others out: failures count for one account and the place that they came from. From elsewhere the account is open, other
//!    accounts are open from there, and whoever was let in lately stays so.

use crate::Store;
use crate::node::failure::{Failure, FailureKind};
use crate::node::records::{Record, Records};
use crate::node::timestamp::Timestamp;
use argon2::password_hash::PasswordHasher;
use argon2::password_hash::phc::{Output, PasswordHash};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How long after its last use a password that was right is not looked at again: requests come many at a time, and a look takes tens of
/// milliseconds.
const REMEMBERED: Duration = Duration::from_secs(300);

/// Callers that are remembered at a time.
const REMEMBERED_MAX: usize = 10_000;

/// Failures that an account may have from one place at once; later ones come back at one in [`FORGIVEN`].
const FAILURES_MAX: u32 = 10;

/// How long it takes until one failure is forgotten.
const FORGIVEN: Duration = Duration::from_secs(3);

/// Accounts and places whose failures are counted at a time.
const COUNTED_MAX: usize = 10_000;

/// An account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// Its identity: the owner of drives and snapshots.
    #[serde(skip)]
    pub uuid: Uuid,
    /// By what it logs in.
    pub email: String,
    /// What it says of itself; see the API's profile.
    #[serde(default)]
    pub profile: Map<String, Value>,
    /// What it may use, where that is not what everybody may.
    #[serde(default)]
    pub limits: AccountLimits,
    password: String,
    #[serde(rename = "timestamp")]
    made: Timestamp,
}

/// What one account may use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountLimits {
    /// Snapshots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshots: Option<u64>,
    /// Snapshots of one drive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshots_per_drive: Option<u64>,
    /// Remote snapshots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_snapshots: Option<u64>,
    /// Bytes of a class of storage, by its name; a class that is not named has no limit.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bytes: BTreeMap<String, u64>,
    /// Bytes of a class of storage that were paid for; what is used beyond them is burst.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub subscribed: BTreeMap<String, u64>,
}

impl Record for Account {
    const KIND: &'static str = "account";
}

impl Account {
    /// When it was made.
    #[must_use]
    pub fn made(&self) -> Timestamp {
        self.made
    }

    fn of((uuid, account): (Uuid, Self)) -> Self {
        Self { uuid, ..account }
    }
}

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// No such account, or not its password.
    Wrong,
    /// He failed too often; try again later.
    TooOften,
}

/// The accounts of a node.
pub struct Accounts {
    records: Records<Account>,
    /// What was proved lately, by a keyed hash of email and password.
    proved: Mutex<HashMap<[u8; 32], (Uuid, Instant)>>,
    /// By a keyed hash of email and place.
    failures: Mutex<HashMap<[u8; 32], (u32, Instant)>>,
    key: [u8; 32],
    /// For as many passwords as were ever looked at the same time.
    memory: Mutex<Vec<Vec<Block>>>,
    /// The hash of no password: compared where there is no account.
    nobody: String,
}

impl Accounts {
    /// Reads the accounts of a store.
    ///
    /// # Errors
    /// `Io`, `Corrupt`
    pub fn of(store: &Store) -> Result<Self, Failure> {
        let [first, second] = [Uuid::new_v4(), Uuid::new_v4()];
        let mut key = [0; 32];
        key[..16].copy_from_slice(first.as_bytes());
        key[16..].copy_from_slice(second.as_bytes());
        Ok(Self {
            records: Records::of(store)?,
            proved: Mutex::default(),
            failures: Mutex::default(),
            key,
            memory: Mutex::default(),
            nobody: hash(&new_password())?,
        })
    }

    /// All accounts, by email.
    #[must_use]
    pub fn all(&self) -> Vec<Account> {
        let mut all: Vec<_> = self.records.all().into_iter().map(Account::of).collect();
        all.sort_by(|one, other| one.email.cmp(&other.email));
        all
    }

    /// The account of that identity.
    #[must_use]
    pub fn find(&self, uuid: Uuid) -> Option<Account> {
        self.records.find(uuid).map(|account| Account::of((uuid, account)))
    }

    /// The account that logs in by that.
    #[must_use]
    pub fn by_email(&self, email: &str) -> Option<Account> {
        self.records.some(|account| account.email == email).pop().map(Account::of)
    }

    /// The oldest account: what has no owner is in its care.
    #[must_use]
    pub fn first(&self) -> Option<Account> {
        self.records.all().into_iter().min_by_key(|(_, account)| account.made).map(Account::of)
    }

    /// Makes an account.
    ///
    /// # Errors
    /// `AlreadyExists`, `InvalidArgument` for an email that nobody could log in by, `NoSpace`, `Io`.
    pub fn add(&self, email: &str, password: &str) -> Result<Account, Failure> {
        // What comes before the first colon is the email, in the header that clients send.
        if email.is_empty() || email.contains(':') || email.chars().any(char::is_control) {
            return Err(Failure::new(
                FailureKind::InvalidArgument,
                format!("{email:?} is no email: it is empty, or holds a colon"),
            ));
        }
        let password = hash(password)?;
        let account = Account {
            uuid: Uuid::new_v4(),
            email: email.to_owned(),
            profile: Map::new(),
            limits: AccountLimits::default(),
            password,
            made: Timestamp::now(),
        };
        let taken = |other: &Account| (other.email == email).then(|| format!("there is an account {email:?} already"));
        self.records.add(account.uuid, account.clone(), taken)?;
        Ok(account)
    }

    /// Gives an account another password; what was proved with the old one is forgotten.
    ///
    /// # Errors
    /// `NotFound`, `NoSpace`, `Io`.
    pub fn set_password(&self, uuid: Uuid, password: &str) -> Result<(), Failure> {
        let password = hash(password)?;
        self.change(uuid, |account| account.password = password)?;
        self.proved.lock().retain(|_, (proved, _)| *proved != uuid);
        Ok(())
    }

    /// Replaces what an account says of itself.
    ///
    /// # Errors
    /// `NotFound`, `NoSpace`, `Io`.
    pub fn set_profile(&self, uuid: Uuid, profile: Map<String, Value>) -> Result<(), Failure> {
        self.change(uuid, |account| account.profile = profile)
    }

    /// Replaces what an account may use.
    ///
    /// # Errors
    /// `NotFound`, `NoSpace`, `Io`.
    pub fn set_limits(&self, uuid: Uuid, limits: AccountLimits) -> Result<(), Failure> {
        self.change(uuid, |account| account.limits = limits)
    }

    fn change(&self, uuid: Uuid, change: impl FnOnce(&mut Account)) -> Result<(), Failure> {
        self.records.change(uuid, change)?.map(drop).ok_or_else(|| no_account(uuid))
    }

    /// Deletes an account; what it owns stays, and is nobody's.
    ///
    /// # Errors
    /// `NotFound`, `Io`.
    pub fn delete(&self, uuid: Uuid) -> Result<(), Failure> {
        if !self.records.delete(uuid)? {
            return Err(no_account(uuid));
        }
        self.proved.lock().retain(|_, (proved, _)| *proved != uuid);
        Ok(())
    }

    /// The account of whoever proved lately that he knows its password. Costs nothing.
    #[must_use]
    pub fn remembered(&self, email: &str, password: &str) -> Option<Account> {
        let mut proved = self.proved.lock();
        let (uuid, until) = proved.get_mut(&self.keyed(email, password.as_bytes()))?;
        let now = Instant::now();
        if now >= *until {
            return None;
        }
        *until = now + REMEMBERED;
        let uuid = *uuid;
        drop(proved);
        self.find(uuid)
    }

    /// The account of whoever knows its password. Takes tens of milliseconds and 19 MiB: whoever calls it bounds how many do so at a time,
    /// and asks [`Accounts::remembered`] before.
    ///
    /// # Errors
    /// Why not.
    pub fn log_in(&self, email: &str, password: &str, from: IpAddr) -> Result<Account, Denied> {
        let failing = self.keyed(email, place_of(from).to_string().as_bytes());
        if self.failed_too_often(&failing) {
            return Err(Denied::TooOften);
        }
        let account = self.by_email(email);
        let hash = account.as_ref().map_or(&self.nobody, |account| &account.password);
        let fits = self.fits(password, hash);
        let Some(account) = account.filter(|_| fits) else {
            self.note_failure(failing);
            return Err(Denied::Wrong);
        };
        let mut proved = self.proved.lock();
        if proved.len() >= REMEMBERED_MAX {
            let now = Instant::now();
            proved.retain(|_, (_, until)| now < *until);
        }
        if proved.len() >= REMEMBERED_MAX {
            proved.clear();
        }
        // Meanwhile it may have got another password: who changes it takes the same lock afterwards, and forgets what is here by then.
        if self.find(account.uuid).is_some_and(|now| now.password == account.password) {
            proved.insert(self.keyed(email, password.as_bytes()), (account.uuid, Instant::now() + REMEMBERED));
        }
        Ok(account)
    }

    /// Is it the password of that hash?
    fn fits(&self, password: &str, hash: &str) -> bool {
        let Ok(hash) = PasswordHash::new(hash) else { return false };
        let (Some(salt), Some(expected)) = (&hash.salt, &hash.hash) else { return false };
        let version = hash.version.map_or(Ok(Version::default()), Version::try_from);
        let (Ok(algorithm), Ok(version), Ok(params)) =
            (Algorithm::try_from(hash.algorithm.as_str()), version, Params::try_from(&hash))
        else {
            return false;
        };
        // Given back to the system each time, it would lie about in pieces that are too small for the next one.
        let mut memory = self.memory.lock().pop().unwrap_or_default();
        memory.resize(params.block_count(), Block::default());
        let mut found = vec![0; expected.len()];
        let hashed = Argon2::new(algorithm, version, params).hash_password_into_with_memory(
            password.as_bytes(),
            salt,
            &mut found,
            &mut memory,
        );
        self.memory.lock().push(memory);
        // Outputs are compared in a time that says nothing of where they differ.
        hashed.is_ok() && Output::new(&found).is_ok_and(|found| found == *expected)
    }

    fn keyed(&self, email: &str, other: &[u8]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&(email.len() as u64).to_le_bytes()).update(email.as_bytes()).update(other);
        *hasher.finalize().as_bytes()
    }

    fn failed_too_often(&self, failing: &[u8; 32]) -> bool {
        let mut failures = self.failures.lock();
        let Some((count, since)) = failures.get_mut(failing) else { return false };
        let forgiven = (since.elapsed().as_nanos() / FORGIVEN.as_nanos()).min(u128::from(*count)) as u32;
        *count -= forgiven;
        *since += FORGIVEN * forgiven;
        *count >= FAILURES_MAX
    }

    fn note_failure(&self, failing: [u8; 32]) {
        let mut failures = self.failures.lock();
        if failures.len() >= COUNTED_MAX {
            failures.retain(|_, (count, since)| since.elapsed() < FORGIVEN * *count);
        }
        if failures.len() >= COUNTED_MAX {
            // Whoever fills it must fail thousands of times, one after the other, and wins a few guesses. Nobody else loses anything.
            failures.clear();
        }
        failures.entry(failing).or_insert((0, Instant::now())).0 += 1;
    }
}

/// What counts as one place: an address, or the part of an IPv6 address that one customer of a network has for himself.
#[must_use]
pub fn place_of(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
        address => address,
    }
}

/// A password that nobody guesses.
#[must_use]
pub fn new_password() -> String {
    Uuid::new_v4().simple().to_string()
}

fn hash(password: &str) -> Result<String, Failure> {
    let hash = Argon2::default().hash_password(password.as_bytes());
    let hash =
        hash.map_err(|error| Failure::new(FailureKind::InvalidArgument, format!("this password cannot be kept: {error}")))?;
    Ok(hash.to_string())
}

fn no_account(uuid: Uuid) -> Failure {
    Failure::new(FailureKind::NotFound, format!("there is no account {uuid}"))
}
