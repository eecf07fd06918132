//! What does a collection say of its own fields?

use super::Answer;
use super::fault::Fault;
use super::page::LIMIT_DEFAULT;
use super::routes::Asked;
use serde_json::{Map, Value, json};

const TAGS_HELP: &str = "Many related resources. Can be either a list of URIs or list of individually nested resource data.";

/// `GET /snapshots/schema/`, as the documentation has it.
///
/// # Errors
/// None.
pub fn snapshots(_asked: &Asked<'_>) -> Result<Answer, Fault> {
    let none = "No default provided.";
    let list = "A list of data. Ex: ['abc', 26.73, 8]";
    let rows = [
        ("allocated_size", json!(none), "Physical size of the snapshot", true, true, "integer"),
        ("drive", json!(null), "Drive UUID", false, true, "related"),
        ("grantees", json!(none), list, false, false, "list"),
        ("meta", json!({}), "User defined meta information", false, false, "dict"),
        ("name", json!(null), "Optional human readable name of the snapshot", false, false, "string"),
        ("owner", json!(null), "Owner of the snapshot", true, false, "related"),
        ("permissions", json!(none), list, false, false, "list"),
        ("resource_uri", json!(none), "Unicode string data. Ex: \"Hello World\"", true, true, "string"),
        ("status", json!(none), "Status of the snapshot.", true, true, "string"),
        ("tags", json!(none), TAGS_HELP, false, false, "related"),
        ("timestamp", json!(null), "Timestamp of the snapshot creation", true, true, "string"),
        ("uuid", json!(null), "UUID of the snapshot", true, true, "string"),
    ];
    let fields: Map<String, Value> = rows
        .into_iter()
        .map(|(name, default, help, readonly, required, kind)| {
            let field = json!({"default": default, "help_text": help, "readonly": readonly, "required": required, "type": kind});
            (name.to_owned(), field)
        })
        .collect();
    let exact = ["name", "name__contains", "tag", "uuid"].map(|name| (name.to_owned(), json!("exact")));
    let filtering: Map<String, Value> = exact.into_iter().collect();
    Ok(Answer::json(
        200,
        json!({
            "allowed_detail_http_methods": ["get", "put", "delete"],
            "allowed_list_http_methods": ["get", "put", "delete", "post"],
            "default_format": "application/json",
            "default_limit": LIMIT_DEFAULT,
            "fields": fields,
            "filtering": filtering,
        }),
    ))
}
