//! What does a caller see of the caller's own account?

use super::Answer;
use super::body::{self, Object};
use super::describe::{meta_in, word_in};
use super::fault::Fault;
use super::quota::STORAGE_TYPES;
use super::routes::Asked;
use super::wire::object;
use crate::node::accounts::Account;
use serde_json::{Value, json};

/// Money is none of a node's business; clients want a word for it all the same.
const CURRENCY: &str = "EUR";

/// What an account says of itself in words, for people.
const WORDS: [&str; 12] = [
    "address",
    "company",
    "country",
    "first_name",
    "language",
    "last_name",
    "my_notes",
    "nickname",
    "phone",
    "postcode",
    "title",
    "town",
];

/// The longest of them.
pub const WORD_BYTES_MAX: usize = 4096;

/// `GET /profile/`
pub fn profile(asked: &Asked<'_>) -> Result<Answer, Fault> {
    Ok(Answer::json(200, shown(asked.caller).into()))
}

/// `PUT /profile/`: what is not there stays as it is, what cannot be changed is ignored.
pub fn edit_profile(asked: &Asked<'_>) -> Result<Answer, Fault> {
    let object = body::object(&asked.call.body)?;
    let deciding = asked.api.deciding(asked.caller.uuid);
    let _deciding = deciding.lock();
    let account = asked.api.accounts.find(asked.caller.uuid).ok_or_else(|| Fault::no_object(asked.caller.uuid))?;
    let mut profile = account.profile;
    if let Some(naming) = word_in(&object, "clone_naming", &["NONE", "COUNTER", "DATE", "TIMESTAMP"])? {
        profile.insert("clone_naming".into(), naming.into());
    }
    if let Some(meta) = meta_in(&object)? {
        profile.insert("meta".into(), meta.into());
    }
    for word in WORDS {
        if let Some(text) = body::text(&object, word)? {
            if text.len() > WORD_BYTES_MAX {
                return Err(Fault::invalid(word, format!("it has more than {WORD_BYTES_MAX} bytes")));
            }
            profile.insert(word.into(), text.into());
        }
    }
    asked.api.accounts.set_profile(asked.caller.uuid, profile)?;
    let account = asked.api.accounts.find(asked.caller.uuid).ok_or_else(|| Fault::no_object(asked.caller.uuid))?;
    Ok(Answer::json(200, shown(&account).into()))
}

fn shown(account: &Account) -> Object {
    let said = |word: &str| account.profile.get(word).cloned();
    let mut shown = object(json!({
        "clone_naming": said("clone_naming").unwrap_or_else(|| "NONE".into()),
        "currency": CURRENCY,
        "email": account.email,
        "meta": said("meta").unwrap_or_else(|| json!({})),
        "signup_time": account.made().to_iso(),
        "state": "REGULAR",
        "uuid": account.uuid.to_string(),
    }));
    shown.extend(WORDS.map(|word| (word.to_owned(), said(word).unwrap_or_else(|| "".into()))));
    shown
}

/// `GET /capabilities/`: what the node can do, and how much of it.
pub fn capabilities(asked: &Asked<'_>) -> Result<Answer, Fault> {
    let api = asked.api;
    let (min, max) = (api.limits.drive_bytes_min, api.limits.drive_bytes_max);
    let sizes = json!({"max_size": max, "min_size": min, "size": {"max": max, "min": min}});
    let drives: Object = STORAGE_TYPES.map(|class| (class.to_owned(), sizes.clone())).into_iter().collect();
    let capabilities = json!({
        "default_storage_type": STORAGE_TYPES[0],
        "drives": drives,
        "snapshots": {
            "current": api.snapshots.count(asked.caller.uuid),
            "max": api.snapshots_max(asked.caller),
            "max_per_drive": api.snapshots_per_drive_max(asked.caller),
        },
        "remote_snapshots": {
            "current": api.remote_snapshots.count(asked.caller.uuid),
            "max": api.remote_snapshots_max(asked.caller),
            "remote_locations": api.remotes.locations().codes().collect::<Vec<_>>(),
        },
    });
    Ok(Answer::json(200, capabilities))
}

/// `GET /balance/`: nothing was paid, and nothing is owed.
pub fn balance(_asked: &Asked<'_>) -> Result<Answer, Fault> {
    Ok(Answer::json(200, json!({"balance": "0", "credit_limit": null, "currency": CURRENCY})))
}

/// `GET /currentusage/`: bytes by class of storage, and what of them was not subscribed.
pub fn usage(asked: &Asked<'_>) -> Result<Answer, Fault> {
    let usage = Value::Object(asked.api.usage(asked.caller)?);
    Ok(Answer::json(200, json!({"balance": {"balance": "0", "currency": CURRENCY}, "usage": usage})))
}
