//! What does a collection say of its own fields?

use super::Answer;
use super::fault::Fault;
use super::fields::{ACL, BALANCE, CAPABILITIES, DRIVE, Field, JOB, Kind, PROFILE, REMOTE_SNAPSHOT, SNAPSHOT, Shape, TAG, USAGE};
use super::page::LIMIT_DEFAULT;
use super::routes::Asked;
use serde_json::{Map, Value, json};

/// `GET /snapshots/schema/`, as the documentation has it.
pub fn snapshots(_asked: &Asked<'_>) -> Result<Answer, Fault> {
    Ok(Answer::json(200, schema(&SNAPSHOT)))
}

/// `GET /remotesnapshots/schema/`
pub fn remote_snapshots(_asked: &Asked<'_>) -> Result<Answer, Fault> {
    Ok(Answer::json(200, schema(&REMOTE_SNAPSHOT)))
}

/// `GET /drives/schema/`
pub fn drives(_asked: &Asked<'_>) -> Result<Answer, Fault> {
    let mut schema = schema(&DRIVE);
    schema["ordering"] = json!(["uuid", "name"]);
    Ok(Answer::json(200, schema))
}

/// `GET /tags/schema/`
pub fn tags(_asked: &Asked<'_>) -> Result<Answer, Fault> {
    Ok(Answer::json(200, schema(&TAG)))
}

/// `GET /acls/schema/`
pub fn acls(_asked: &Asked<'_>) -> Result<Answer, Fault> {
    Ok(Answer::json(200, schema(&ACL)))
}

/// `GET /jobs/schema/`
pub fn jobs(_asked: &Asked<'_>) -> Result<Answer, Fault> {
    Ok(Answer::json(200, schema(&JOB)))
}

/// `GET /profile/schema/`
pub fn profile(_asked: &Asked<'_>) -> Result<Answer, Fault> {
    Ok(Answer::json(200, schema(&PROFILE)))
}

/// `GET /capabilities/schema/`
pub fn capabilities(_asked: &Asked<'_>) -> Result<Answer, Fault> {
    Ok(Answer::json(200, schema(&CAPABILITIES)))
}

/// `GET /balance/schema/`
pub fn balance(_asked: &Asked<'_>) -> Result<Answer, Fault> {
    Ok(Answer::json(200, schema(&BALANCE)))
}

/// `GET /currentusage/schema/`
pub fn usage(_asked: &Asked<'_>) -> Result<Answer, Fault> {
    Ok(Answer::json(200, schema(&USAGE)))
}

/// `GET /snapshots/{uuid}/`'s filters by drive work and are not announced: the documentation does not.
const SILENT: &str = "drive";

fn schema(kind: &Kind) -> Value {
    let filtering: Map<String, Value> =
        kind.filters.iter().filter(|name| **name != SILENT).map(|name| ((*name).to_owned(), json!("exact"))).collect();
    json!({
        "allowed_detail_http_methods": ["get", "put", "delete"],
        "allowed_list_http_methods": ["get", "put", "delete", "post"],
        "default_format": "application/json",
        "default_limit": LIMIT_DEFAULT,
        "fields": fields(kind.fields),
        "filtering": filtering,
    })
}

fn fields(fields: &[Field]) -> Map<String, Value> {
    fields.iter().map(|field| (field.name.to_owned(), described(field))).collect()
}

fn described(field: &Field) -> Value {
    let kind = match field.shape {
        Shape::Text | Shape::Word(_) => "string",
        Shape::Integer | Shape::Size => "integer",
        Shape::Flag => "boolean",
        Shape::Texts | Shape::Any | Shape::Object(_) => "dict",
        Shape::List | Shape::Objects(_) | Shape::People => "list",
        Shape::Reference | Shape::References => "related",
    };
    let default: Value = serde_json::from_str(field.default).expect("a default is JSON");
    let mut described = json!({
        "default": default,
        "help_text": field.help,
        "readonly": field.readonly,
        "required": field.required,
        "type": kind,
    });
    match field.shape {
        Shape::Word(words) => described["choices"] = words.into(),
        Shape::Object(within) | Shape::Objects(within) => described["fields"] = fields(within).into(),
        _ => {}
    }
    described
}

#[cfg(test)]
mod tests {
    use super::schema;
    use crate::node::api::openapi::KINDS;

    #[test]
    fn every_table_can_be_shown() {
        for kind in KINDS {
            assert_eq!(schema(kind)["fields"].as_object().map(serde_json::Map::len), Some(kind.fields.len()), "{}", kind.name);
        }
    }
}
