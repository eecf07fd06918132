//! Who may use a node, and how do they prove it?
//!
//! Accounts are notes of the store: JSON objects with `"kind": "account"`.
//!
//! 1. Passwords are kept as argon2 hashes, never as they are.
//! 2. Whether an account exists cannot be told from how long a refusal takes.
//! 3. Who fails too often waits: guessing is slower than any password.

use crate::Store;
use crate::node::failure::{Failure, FailureKind};
use crate::node::timestamp::Timestamp;
use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use parking_lot::{Mutex, RwLock};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};
use uuid::Uuid;

const KIND: &str = "account";

/// How long a password that was right once is not looked at again: requests come many at a time, and a look takes tens of milliseconds.
const REMEMBERED: Duration = Duration::from_secs(60);

/// Callers that are remembered at a time.
const REMEMBERED_MAX: usize = 10_000;

/// Failures that an address may have at once; later ones come back at one in [`FORGIVEN`].
const FAILURES_MAX: u32 = 10;

/// How long it takes until one failure is forgotten.
const FORGIVEN: Duration = Duration::from_secs(3);

/// Addresses whose failures are counted at a time.
const COUNTED_MAX: usize = 10_000;

/// An account.
#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    /// Its identity: the owner of drives and snapshots.
    pub uuid: Uuid,
    /// By what it logs in.
    pub email: String,
    /// What it says of itself; see the API's profile.
    pub profile: Map<String, Value>,
    password: String,
    made: Timestamp,
}

impl Account {
    fn read(uuid: Uuid, bytes: &[u8]) -> Option<Self> {
        let Ok(Value::Object(note)) = serde_json::from_slice(bytes) else { return None };
        if note.get("kind")? != KIND {
            return None;
        }
        Some(Self {
            uuid,
            email: note.get("email")?.as_str()?.to_owned(),
            profile: note.get("profile").and_then(Value::as_object).cloned().unwrap_or_default(),
            password: note.get("password")?.as_str()?.to_owned(),
            made: note.get("timestamp")?.as_str()?.parse().ok()?,
        })
    }

    fn to_bytes(&self) -> Vec<u8> {
        let note = json!({
            "kind": KIND,
            "email": self.email,
            "password": self.password,
            "profile": self.profile,
            "timestamp": self.made.to_string(),
        });
        note.to_string().into_bytes()
    }

    /// When it was made.
    #[must_use]
    pub fn made(&self) -> Timestamp {
        self.made
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
    store: Store,
    by_uuid: RwLock<HashMap<Uuid, Account>>,
    /// What was proved lately, by a keyed hash of email and password.
    proved: Mutex<HashMap<[u8; 32], (Uuid, Instant)>>,
    failures: Mutex<HashMap<IpAddr, (u32, Instant)>>,
    key: [u8; 32],
    /// The hash of no password: compared where there is no account.
    nobody: String,
}

impl Accounts {
    /// Reads the accounts of a store.
    ///
    /// # Errors
    /// `Io`, `Corrupt`
    pub fn of(store: &Store) -> Result<Self, Failure> {
        let mut by_uuid = HashMap::new();
        for uuid in store.notes() {
            if let Some(account) = Account::read(uuid, &store.note(uuid)?) {
                by_uuid.insert(uuid, account);
            }
        }
        let [first, second] = [Uuid::new_v4(), Uuid::new_v4()];
        let mut key = [0; 32];
        key[..16].copy_from_slice(first.as_bytes());
        key[16..].copy_from_slice(second.as_bytes());
        Ok(Self {
            store: store.clone(),
            by_uuid: RwLock::new(by_uuid),
            proved: Mutex::default(),
            failures: Mutex::default(),
            key,
            nobody: hash(&new_password())?,
        })
    }

    /// All accounts, by email.
    #[must_use]
    pub fn all(&self) -> Vec<Account> {
        let mut all: Vec<_> = self.by_uuid.read().values().cloned().collect();
        all.sort_by(|one, other| one.email.cmp(&other.email));
        all
    }

    /// The account of that identity.
    #[must_use]
    pub fn find(&self, uuid: Uuid) -> Option<Account> {
        self.by_uuid.read().get(&uuid).cloned()
    }

    /// The account that logs in by that.
    #[must_use]
    pub fn by_email(&self, email: &str) -> Option<Account> {
        self.by_uuid.read().values().find(|account| account.email == email).cloned()
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
        let mut by_uuid = self.by_uuid.write();
        if by_uuid.values().any(|account| account.email == email) {
            return Err(Failure::new(FailureKind::AlreadyExists, format!("there is an account {email:?} already")));
        }
        let account =
            Account { uuid: Uuid::new_v4(), email: email.to_owned(), profile: Map::new(), password, made: Timestamp::now() };
        self.store.set_note(account.uuid, &account.to_bytes())?;
        by_uuid.insert(account.uuid, account.clone());
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

    fn change(&self, uuid: Uuid, change: impl FnOnce(&mut Account)) -> Result<(), Failure> {
        let mut by_uuid = self.by_uuid.write();
        let Some(account) = by_uuid.get_mut(&uuid) else { return Err(no_account(uuid)) };
        let mut changed = account.clone();
        change(&mut changed);
        self.store.set_note(uuid, &changed.to_bytes())?;
        *account = changed;
        Ok(())
    }

    /// Deletes an account; what it owns stays, and is nobody's.
    ///
    /// # Errors
    /// `NotFound`, `Io`.
    pub fn delete(&self, uuid: Uuid) -> Result<(), Failure> {
        let mut by_uuid = self.by_uuid.write();
        if !by_uuid.contains_key(&uuid) {
            return Err(no_account(uuid));
        }
        self.store.delete_note(uuid)?;
        by_uuid.remove(&uuid);
        self.proved.lock().retain(|_, (proved, _)| *proved != uuid);
        Ok(())
    }

    /// The account of whoever knows its password. Takes tens of milliseconds, but for a password that was right lately.
    ///
    /// # Errors
    /// Why not.
    pub fn log_in(&self, email: &str, password: &str, from: IpAddr) -> Result<Account, Denied> {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&(email.len() as u64).to_le_bytes()).update(email.as_bytes()).update(password.as_bytes());
        let proof = *hasher.finalize().as_bytes();
        let proved = self.proved.lock().get(&proof).filter(|(_, until)| Instant::now() < *until).map(|(uuid, _)| *uuid);
        if let Some(account) = proved.and_then(|uuid| self.find(uuid)) {
            return Ok(account);
        }
        if self.failed_too_often(from) {
            return Err(Denied::TooOften);
        }
        let account = self.by_email(email);
        let hash = account.as_ref().map_or(&self.nobody, |account| &account.password);
        let fits =
            PasswordHash::new(hash).is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok());
        let Some(account) = account.filter(|_| fits) else {
            self.note_failure(from);
            return Err(Denied::Wrong);
        };
        let mut proved = self.proved.lock();
        if proved.len() >= REMEMBERED_MAX {
            proved.clear();
        }
        proved.insert(proof, (account.uuid, Instant::now() + REMEMBERED));
        Ok(account)
    }

    fn failed_too_often(&self, from: IpAddr) -> bool {
        let mut failures = self.failures.lock();
        let Some((count, since)) = failures.get_mut(&from) else { return false };
        let forgiven = (since.elapsed().as_nanos() / FORGIVEN.as_nanos()).min(u128::from(*count)) as u32;
        *count -= forgiven;
        *since += FORGIVEN * forgiven;
        *count >= FAILURES_MAX
    }

    fn note_failure(&self, from: IpAddr) {
        let mut failures = self.failures.lock();
        if failures.len() >= COUNTED_MAX {
            failures.retain(|_, (count, since)| since.elapsed() < FORGIVEN * *count);
        }
        failures.entry(from).or_insert((0, Instant::now())).0 += 1;
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
