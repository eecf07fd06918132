//! How are drives and snapshots written down for programs, and read again?
//!
//! The command prints this, and a node answers it to the command. Sizes are integers, in bytes; a drive is named by its uuid; an unknown
//! timestamp is null. Fields are only ever added.

use crate::node::service::objects::{DriveView, SnapshotView};
use crate::node::timestamp::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

/// A drive as JSON.
#[must_use]
pub fn drive(view: &DriveView) -> Value {
    json!({
        "uuid": view.uuid.to_string(),
        "name": view.name,
        "size": view.size_bytes,
        "referenced_size": view.referenced_bytes,
        "snapshots": view.snapshots.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "snapshots_allocated_size": view.snapshots_allocated_bytes,
        "snapshots_charged_size": view.snapshots_charged_bytes,
        "bookmarks": view.bookmarks,
        "timestamp": timestamp(view.timestamp),
        "importing": view.importing,
        "allow_multimount": view.allow_multimount,
    })
}

/// A snapshot as JSON.
#[must_use]
pub fn snapshot(view: &SnapshotView) -> Value {
    json!({
        "uuid": view.uuid.to_string(),
        "name": view.name,
        "drive": view.drive.to_string(),
        "timestamp": timestamp(view.timestamp),
        "size": view.size_bytes,
        "allocated_size": view.allocated_bytes,
        "charged_size": view.charged_bytes,
        "exclusive_size": view.exclusive_bytes,
        "referenced_size": view.referenced_bytes,
    })
}

/// The drive that JSON is about; nothing if a field is missing.
#[must_use]
pub fn read_drive(json: &Value) -> Option<DriveView> {
    Some(DriveView {
        uuid: uuid(&json["uuid"])?,
        name: json["name"].as_str()?.to_owned(),
        size_bytes: json["size"].as_u64()?,
        referenced_bytes: json["referenced_size"].as_u64()?,
        snapshots: json["snapshots"].as_array()?.iter().map(uuid).collect::<Option<_>>()?,
        snapshots_allocated_bytes: json["snapshots_allocated_size"].as_u64()?,
        snapshots_charged_bytes: json["snapshots_charged_size"].as_u64()?,
        bookmarks: json["bookmarks"].as_u64()?,
        timestamp: read_timestamp(&json["timestamp"])?,
        importing: json["importing"].as_bool()?,
        allow_multimount: json["allow_multimount"].as_bool()?,
    })
}

/// The snapshot that JSON is about; nothing if a field is missing.
#[must_use]
pub fn read_snapshot(json: &Value) -> Option<SnapshotView> {
    Some(SnapshotView {
        uuid: uuid(&json["uuid"])?,
        name: json["name"].as_str()?.to_owned(),
        drive: uuid(&json["drive"])?,
        timestamp: read_timestamp(&json["timestamp"])?,
        size_bytes: json["size"].as_u64()?,
        allocated_bytes: json["allocated_size"].as_u64()?,
        charged_bytes: json["charged_size"].as_u64()?,
        exclusive_bytes: json["exclusive_size"].as_u64()?,
        referenced_bytes: json["referenced_size"].as_u64()?,
    })
}

fn uuid(json: &Value) -> Option<Uuid> {
    json.as_str()?.parse().ok()
}

fn timestamp(timestamp: Option<Timestamp>) -> Value {
    timestamp.map_or(Value::Null, |instant| instant.to_string().into())
}

/// An instant, or that nobody knows it.
#[allow(clippy::option_option)]
fn read_timestamp(json: &Value) -> Option<Option<Timestamp>> {
    if json.is_null() { Some(None) } else { json.as_str()?.parse().ok().map(Some) }
}

#[cfg(test)]
mod tests {
    use super::{drive, read_drive, read_snapshot, snapshot};
    use crate::node::service::objects::{DriveView, SnapshotView};
    use crate::node::timestamp::Timestamp;
    use uuid::Uuid;

    #[test]
    fn what_is_written_reads_back_and_less_does_not() {
        for timestamp in [None, Some(Timestamp::now())] {
            let one = DriveView {
                uuid: Uuid::new_v4(),
                name: "a \"name\"".into(),
                size_bytes: 1,
                referenced_bytes: 2,
                snapshots: vec![Uuid::new_v4(), Uuid::new_v4()],
                snapshots_allocated_bytes: 3,
                snapshots_charged_bytes: 4,
                bookmarks: 5,
                timestamp,
                importing: true,
                allow_multimount: false,
            };
            let other = SnapshotView {
                uuid: Uuid::new_v4(),
                name: String::new(),
                drive: Uuid::new_v4(),
                timestamp,
                size_bytes: u64::MAX,
                allocated_bytes: 6,
                charged_bytes: 7,
                exclusive_bytes: 8,
                referenced_bytes: 9,
            };
            assert_eq!(read_drive(&drive(&one)).as_ref(), Some(&one));
            assert_eq!(read_snapshot(&snapshot(&other)).as_ref(), Some(&other));
            for (json, reads) in [(drive(&one), true), (snapshot(&other), false)] {
                for field in json.as_object().expect("an object").keys().filter(|field| *field != "timestamp") {
                    let mut less = json.clone();
                    less.as_object_mut().expect("an object").remove(field);
                    let read = if reads { read_drive(&less).is_some() } else { read_snapshot(&less).is_some() };
                    assert!(!read, "without {field}");
                }
            }
        }
    }
}
