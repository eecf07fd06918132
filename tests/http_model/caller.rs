//! Who calls, and is every answer one that is documented?

use floe::node::accounts::{AccountLimits, Accounts};
use floe::node::api::{Answer, Api, Call, Limits};
use floe::node::jobs::Jobs;
use floe::node::remote::location::Locations;
use floe::node::remote::remotes::{INTERVAL, Remotes};
use floe::{MemoryDevice, Store, Uuid};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, LazyLock};

use super::dice::{Dice, mix};
use super::model::{Model, Person};

const STORE_BYTES: u64 = 1 << 30;
const EMAILS: [&str; 3] = ["one@example.com", "other@example.com", "stranger@example.com"];
/// So little that it is met.
const DSSD_BYTES: u64 = 100_352;
const SNAPSHOTS: u64 = 6;
const SNAPSHOTS_PER_DRIVE: u64 = 4;
const ERROR_TYPES: [&str; 6] = ["validation", "notexist", "permission", "backend", "database", "concurrency"];

/// One set for all runs: passwords take their time.
static ACCOUNTS: LazyLock<Arc<Accounts>> = LazyLock::new(|| {
    let device = Arc::new(MemoryDevice::new(STORE_BYTES).expect("memory"));
    let accounts = Accounts::of(&Store::options().create_on(device).expect("a store")).expect("no accounts");
    for email in EMAILS {
        let uuid = accounts.add(email, "secret").expect("an account").uuid;
        let bytes = BTreeMap::from([("dssd".to_owned(), DSSD_BYTES)]);
        let subscribed = BTreeMap::from([("nvme".to_owned(), 10_000)]);
        let (snapshots, snapshots_per_drive) = (Some(SNAPSHOTS), Some(SNAPSHOTS_PER_DRIVE));
        // One has limits of its own, the others have the node's.
        if email == EMAILS[0] {
            let limits = AccountLimits { bytes, subscribed, snapshots, snapshots_per_drive, ..AccountLimits::default() };
            accounts.set_limits(uuid, limits).expect("an account");
        }
    }
    Arc::new(accounts)
});

/// The API and what it should say.
pub struct World {
    device: Arc<MemoryDevice>,
    pub store: Store,
    api: Option<Api>,
    mounted: Arc<Mutex<BTreeSet<Uuid>>>,
    pub model: Model,
    pub dice: Dice,
    /// What was called, for whoever has to understand a failure.
    pub story: Vec<String>,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let device = Arc::new(MemoryDevice::new(STORE_BYTES).expect("memory"));
        let store = Store::options().create_on(device.clone()).expect("a store");
        let mut model = Model::default();
        for email in EMAILS {
            let account = ACCOUNTS.by_email(email).expect("an account");
            ACCOUNTS.set_profile(account.uuid, Map::new()).expect("an account");
            let (uuid, limits) = (account.uuid, account.limits);
            model.people.push(Person { uuid, email: email.to_owned(), limits, counts_clones: false });
        }
        let mounted = Arc::default();
        let mut world = Self { device, store, api: None, mounted, model, dice: Dice::new(mix(seed)), story: Vec::new() };
        world.begin();
        world
    }

    /// Nobody notices that the API ended and begins again, with the store or without it.
    pub fn restart(&mut self) {
        self.api = None;
        let reopens = self.dice.below(2) == 0;
        self.story.push(format!("restart, store reopened: {reopens}"));
        if reopens {
            self.store.close().expect("it closes");
            self.store = Store::options().open_on(self.device.clone()).expect("it opens");
        }
        self.begin();
    }

    fn begin(&mut self) {
        let mounted = Arc::clone(&self.mounted);
        let connections = Arc::new(move |drive| usize::from(mounted.lock().contains(&drive)));
        let limits = Limits::default();
        let jobs = Jobs::of(&self.store).expect("all ended");
        let locations = Locations::new(BTreeMap::new(), Path::new("/nowhere")).expect("the usual ones");
        let remotes = Arc::new(Remotes::of(&self.store, locations, INTERVAL).expect("none"));
        let api = Api::new(&self.store, jobs, Arc::clone(&ACCOUNTS), remotes, Arc::new(|| ()), connections, limits);
        self.api = Some(api.expect("it begins"));
    }

    /// An NBD client comes, or goes.
    pub fn mount(&mut self, drive: Uuid, comes: bool) {
        self.story.push(format!("a client on {drive}: {comes}"));
        for set in [&mut self.model.mounted, &mut *self.mounted.lock()] {
            if comes {
                set.insert(drive)
            } else {
                set.remove(&drive)
            };
        }
    }

    /// Makes a call that must be answered like that; the answer.
    pub fn answer(&mut self, who: Uuid, line: &str, parameters: &[(String, String)], body: &Value, status: u16) -> Answer {
        let (method, path) = line.split_once(' ').expect("a method and a path");
        let parameters = parameters.to_vec();
        let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let path = format!("/api/2.0{path}");
        let call = Call { method: method.to_owned(), path, parameters, body: bytes };
        let account = ACCOUNTS.find(who).expect("an account");
        let answer = self.api.as_ref().expect("it is there").answer(&account, &call);
        let told = format!("{} {line} {:?} {body}", account.email, call.parameters);
        assert_eq!(answer.status, status, "{told}: {:?}", answer.body);
        if status >= 400 {
            check_errors(answer.body.as_ref().unwrap_or(&Value::Null));
        }
        if method != "GET" {
            self.story.push(format!("{told} -> {status}"));
        }
        answer
    }

    /// The same without parameters; what the body says.
    pub fn call(&mut self, who: Uuid, line: &str, body: &Value, status: u16) -> Value {
        self.answer(who, line, &[], body, status).body.unwrap_or(Value::Null)
    }

    pub fn get(&mut self, who: Uuid, path: &str, parameters: &[(&str, &str)]) -> Value {
        let parameters: Vec<_> = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.answer(who, &format!("GET {path}"), &parameters, &Value::Null, 200).body.expect("an answer")
    }

    // --- chance ------------------------------------------------------------------------------------------------

    pub fn chance(&mut self, of: u64) -> bool {
        self.dice.below(of) == 0
    }

    pub fn one_of<T: Clone>(&mut self, all: &[T]) -> Option<T> {
        let count = all.len() as u64;
        (count > 0).then(|| all[self.dice.below(count) as usize].clone())
    }

    pub fn anybody(&mut self) -> Uuid {
        let at = [0, 0, 0, 1, 1, 2][self.dice.below(6) as usize];
        self.model.people[at].uuid
    }

    pub fn any_drive(&mut self) -> Uuid {
        let all: Vec<Uuid> = self.model.drives.iter().map(|drive| drive.thing.uuid).collect();
        self.or_nothing(&all)
    }

    pub fn any_snapshot(&mut self) -> Uuid {
        let all: Vec<Uuid> = self.model.snapshots.iter().map(|snapshot| snapshot.thing.uuid).collect();
        self.or_nothing(&all)
    }

    /// One of them, or now and then what is nothing.
    fn or_nothing(&mut self, all: &[Uuid]) -> Uuid {
        let nothing = self.chance(20);
        let chosen = self.one_of(all);
        chosen.filter(|_| !nothing).unwrap_or_else(Uuid::new_v4)
    }

    pub fn name(&mut self) -> String {
        let names = ["web", "Web", "db_1", "db", "a,b", r"back\slash", "Über", "x y", "web_9"];
        self.one_of(&names).expect("there are names").to_owned()
    }

    pub fn meta(&mut self) -> Map<String, Value> {
        let value = self.name();
        json!({"key": value}).as_object().expect("an object").clone()
    }

    /// Some of an owner's tags.
    pub fn tags_of(&mut self, owner: Uuid) -> Vec<Uuid> {
        let all: Vec<Uuid> = self.model.tags.iter().filter(|tag| tag.owner == owner).map(|tag| tag.uuid).collect();
        all.into_iter().filter(|_| self.chance(3)).collect()
    }
}

/// Failures are a list of errors, always.
fn check_errors(body: &Value) {
    let errors = body.as_array().filter(|errors| !errors.is_empty()).unwrap_or_else(|| panic!("no list of errors: {body}"));
    for error in errors {
        let fields = error.as_object().expect("an object");
        assert_eq!(fields.len(), 3, "{error}");
        assert!(error["error_type"].as_str().is_some_and(|word| ERROR_TYPES.contains(&word)), "{error}");
        assert!(error["error_message"].as_str().is_some_and(|text| !text.is_empty()), "{error}");
        assert!(fields["error_point"].is_null() || error["error_point"].is_string(), "{error}");
    }
}

/// The uuid of what an answer shows.
pub fn uuid_of(object: &Value) -> Uuid {
    object["uuid"].as_str().and_then(|uuid| uuid.parse().ok()).unwrap_or_else(|| panic!("it has a uuid: {object}"))
}
