//! How does the API describe itself to programs?
//!
//! The document is made of the table of routes and the tables of fields, so it cannot say what the API does not do.

use super::describe::META_KEY_CHARS_MAX;
use super::fault::Fault;
use super::fields::{
    ACL, BALANCE, CAPABILITIES, CLONE, DRIVE, DRIVE_IN_SHORT, Field, JOB, Kind, LOCATION, PROFILE, REMOTE_SNAPSHOT, SERVER,
    SNAPSHOT, Shape, TAG, USAGE,
};
use super::manual::named;
use super::page::LIMIT_DEFAULT;
use super::quota::SIZE_GRANULE_BYTES;
use super::routes::{Asked, Gives, Method, ROUTES, Takes};
use super::{Answer, BASE, IMAGE, Limits};
use serde_json::{Map, Value, json};

/// Where the document is.
pub const PATH: &str = "openapi.json";

/// Every kind of object.
pub const KINDS: [&Kind; 14] = [
    &ACL,
    &BALANCE,
    &CAPABILITIES,
    &CLONE,
    &DRIVE,
    &DRIVE_IN_SHORT,
    &JOB,
    &LOCATION,
    &PROFILE,
    &REMOTE_SNAPSHOT,
    &SERVER,
    &SNAPSHOT,
    &TAG,
    &USAGE,
];

/// `GET /openapi.json`
pub fn document(_asked: &Asked<'_>) -> Result<Answer, Fault> {
    Ok(Answer::json(200, openapi()))
}

/// The document.
pub fn openapi() -> Value {
    let mut paths = Map::new();
    for route in ROUTES {
        let uuid = json!({"name": "uuid", "in": "path", "required": true, "schema": {"type": "string", "format": "uuid"}});
        let file = json!({"name": "file", "in": "path", "required": true, "schema": {"type": "string", "minLength": 1}});
        let mut path = Map::new();
        for (place, parameter) in [('*', uuid), ('+', file)] {
            if route.path.contains(place) {
                path.insert("parameters".into(), json!([parameter]));
            }
        }
        for method in route.methods {
            path.insert(method.verb.to_lowercase(), operation(route.path, method));
        }
        let slash = if route.path == PATH { "" } else { "/" };
        paths.insert(format!("/{}{slash}", named(route.path)), path.into());
    }
    let mut schemas = Map::new();
    for kind in KINDS {
        let whole = object_of(kind.fields, Side::Answer, kind.name == CLONE.name);
        let mut part = whole.clone();
        part.as_object_mut().expect("a schema is an object").shift_remove("required");
        schemas.insert(kind.name.into(), whole);
        schemas.insert(part_of(kind), part);
    }
    schemas.insert("Errors".into(), errors());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "floe",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Drives, their snapshots, and what belongs to them. Every error is a list of errors, whatever its status.",
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": BASE}],
        "security": [{"basic": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"basic": {"type": "http", "scheme": "basic", "description": "Email and password"}},
        },
    })
}

fn operation(path: &str, method: &Method) -> Value {
    let mut operation = json!({
        "summary": method.what,
        "operationId": format!("{} {path}", method.verb.to_lowercase()).replace(['/', ' ', '*', '+', '.'], "_"),
        "tags": [path.split('/').next().unwrap_or_default()],
        "responses": responses(method),
    });
    let parameters = parameters(path, method);
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(body) = body(method.takes) {
        operation["requestBody"] = body;
    }
    operation
}

fn parameters(path: &str, method: &Method) -> Vec<Value> {
    let query =
        |name: &str, schema: Value, what: &str| json!({"name": name, "in": "query", "schema": schema, "description": what});
    let mut parameters = Vec::new();
    if let Gives::Page(kind) = method.gives {
        let number = |default: usize| json!({"type": "integer", "minimum": 0, "maximum": usize::MAX, "default": default});
        parameters.push(query("limit", number(LIMIT_DEFAULT), "Objects on the page; 0 for all"));
        parameters.push(query("offset", number(0), "Objects before the page"));
        parameters.push(query("fields", json!({"type": "string"}), "The fields that are wanted, parted by commas"));
        for filter in kind.filters {
            parameters.push(query(
                filter,
                json!({"type": "string"}),
                "Only objects of which this holds; commas part alternatives",
            ));
        }
    }
    if let Takes::Action(_) = method.takes {
        let actions: &[&str] = if path.starts_with("drives") { &["clone", "resize"] } else { &["clone"] };
        let mut action = query("do", json!({"type": "string", "enum": actions}), "The action");
        action["required"] = true.into();
        parameters.push(action);
    }
    if let Takes::Image = method.takes {
        for field in DRIVE.fields.iter().filter(|field| ["name", "media", "storage_type", "size"].contains(&field.name)) {
            parameters.push(query(field.name, schema(field, Side::Change), field.help));
        }
    }
    if let Takes::Image | Takes::PartOfImage = method.takes {
        let what = "no: more of the image is to come, and the drive is `uploading` until a part says yes";
        parameters.push(query("complete", json!({"type": "string", "enum": ["yes", "no"]}), what));
    }
    let header =
        |name: &str, what: &str| json!({"name": name, "in": "header", "schema": {"type": "string"}, "description": what});
    if let Takes::PartOfImage = method.takes {
        parameters.push(header("Content-Range", "bytes FIRST-LAST/SIZE: where the part lies; at the beginning if it is missing"));
    }
    if let Gives::Image = method.gives {
        parameters.push(header("Range", "bytes=FIRST-LAST: the part that is wanted"));
    }
    let makes_drives = match method.takes {
        Takes::Action(_) => true,
        Takes::Objects(kind) => kind.name == DRIVE.name,
        _ => false,
    };
    if makes_drives {
        parameters.push(query("avoid", json!({"type": "string"}), "Uuids that the drive had better not be near to; a wish"));
    }
    parameters
}

fn responses(method: &Method) -> Value {
    let schema = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
    let reference = |kind: &Kind| schema(kind.name);
    let wrapped = |kind: &Kind| json!({"type": "object", "required": ["objects"], "properties": {"objects": {"type": "array", "items": reference(kind)}}});
    let bytes = json!({IMAGE: {"schema": {"type": "string", "format": "binary"}}});
    let (status, schema) = match method.gives {
        Gives::Nothing => ("204", None),
        Gives::Page(kind) => ("200", Some(page(schema(&part_of(kind))))),
        Gives::One(kind) => ("200", Some(reference(kind))),
        Gives::Made(kind) => ("201", Some(wrapped(kind))),
        Gives::Accepted(kind) => ("202", Some(wrapped(kind))),
        Gives::Bare(kind) => ("202", Some(reference(kind))),
        Gives::Json => ("200", Some(json!({}))),
        Gives::Image => ("200", None),
        Gives::MadeOfImage(kind) => ("201", Some(wrapped(kind))),
    };
    let mut success = json!({"description": method.what});
    if let Some(schema) = schema {
        success["content"] = json!({"application/json": {"schema": schema}});
    }
    if let Gives::MadeOfImage(_) = method.gives {
        success["content"]["text/plain"] = json!({"schema": {"type": "string", "format": "uuid"}});
    }
    let failure = json!({
        "description": "It was not done, and why",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Errors"}}},
    });
    let mut responses = json!({status: success, "4XX": failure, "5XX": failure});
    if let Gives::Image = method.gives {
        responses["200"]["content"] = bytes.clone();
        responses["206"] = json!({"description": "A part of it", "content": bytes});
        responses["304"] = json!({"description": "It is what the client has"});
    }
    responses
}

/// What a page has of an object: of its fields those that were asked for, so none is certain to be there.
fn part_of(kind: &Kind) -> String {
    format!("{}Part", kind.name)
}

fn page(item: Value) -> Value {
    let count = json!({"type": "integer", "minimum": 0});
    json!({
        "type": "object",
        "required": ["meta", "objects"],
        "properties": {
            "meta": {
                "type": "object",
                "required": ["limit", "offset", "total_count"],
                "properties": {"limit": count, "offset": count, "total_count": count},
            },
            "objects": {"type": "array", "items": item},
        },
    })
}

fn body(takes: Takes) -> Option<Value> {
    let (schema, required) = match takes {
        Takes::Nothing => return None,
        Takes::Objects(kind) => {
            let object = object_of(kind.fields, Side::Creation, false);
            let objects = json!({"type": "array", "minItems": 1, "items": object});
            let wrapped = json!({"type": "object", "required": ["objects"], "properties": {"objects": objects}});
            (json!({"anyOf": [wrapped, objects, object]}), true)
        }
        Takes::Image | Takes::PartOfImage => {
            return Some(json!({"required": true, "content": {IMAGE: {"schema": {"type": "string", "format": "binary"}}}}));
        }
        // Without a body nothing is changed.
        Takes::Changes(kind) => (object_of(kind.fields, Side::Change, false), false),
        Takes::Action(kind) => (object_of(kind.fields, Side::Action, false), false),
        Takes::Uuids => {
            let uuid =
                json!({"type": "object", "required": ["uuid"], "properties": {"uuid": {"type": "string", "format": "uuid"}}});
            let objects = json!({"type": "array", "minItems": 1, "items": uuid});
            (json!({"type": "object", "required": ["objects"], "properties": {"objects": objects}}), true)
        }
    };
    Some(json!({"required": required, "content": {"application/json": {"schema": schema}}}))
}

/// On which side of a call an object stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Answer,
    Creation,
    Change,
    Action,
}

fn object_of(fields: &[Field], side: Side, clone: bool) -> Value {
    let written = |field: &&Field| match side {
        Side::Answer => true,
        Side::Creation | Side::Action => !field.readonly && !field.ignored,
        Side::Change => !field.readonly && !field.ignored && !field.fixed,
    };
    let mut properties: Map<String, Value> =
        fields.iter().filter(written).map(|field| (field.name.to_owned(), schema(field, side))).collect();
    if clone {
        properties.insert("resource_uri".into(), reference());
    }
    let required: Vec<&str> = fields
        .iter()
        .filter(|field| match side {
            Side::Answer => true,
            Side::Creation => field.required && !field.readonly,
            Side::Change | Side::Action => false,
        })
        .map(|field| field.name)
        .collect();
    let mut object = json!({"type": "object", "properties": properties});
    if !required.is_empty() {
        object["required"] = required.into();
    }
    object
}

fn schema(field: &Field, side: Side) -> Value {
    let mut schema = match field.shape {
        Shape::Text => text(field, side),
        Shape::Integer => json!({"type": "integer", "minimum": 0}),
        Shape::Size => size(side),
        Shape::Flag => json!({"type": "boolean"}),
        Shape::Word(words) => json!({"type": "string", "enum": words}),
        Shape::Texts => texts(side),
        Shape::Any => json!({"type": "object"}),
        Shape::List => json!({"type": "array"}),
        // What is in a list is new, whatever is done with the list.
        Shape::Objects(fields) if side != Side::Answer => {
            json!({"type": "array", "items": object_of(fields, Side::Creation, false)})
        }
        Shape::Objects(fields) => json!({"type": "array", "items": object_of(fields, side, false)}),
        Shape::People => json!({"type": "array", "items": person(side)}),
        Shape::Object(fields) => object_of(fields, side, false),
        Shape::Reference => reference_on(side),
        Shape::References => json!({"type": "array", "items": reference_on(side)}),
    };
    // Whoever asks may say of everything that it is nothing, but of what there must be.
    let may_be_null = match side {
        Side::Answer => field.nullable,
        Side::Creation => !field.required,
        Side::Change | Side::Action => true,
    };
    if may_be_null {
        schema = json!({"anyOf": [schema, {"type": "null"}]});
    }
    schema["description"] = field.help.into();
    schema
}

fn text(field: &Field, side: Side) -> Value {
    let mut schema = json!({"type": "string"});
    if side != Side::Answer {
        schema["pattern"] = "^[^\\u0000]*$".into();
        // Bytes, in truth: letters beyond ASCII have several.
        if let Some(bytes_max) = field.bytes_max {
            schema["maxLength"] = bytes_max.into();
        }
        if side == Side::Creation && field.required {
            schema["minLength"] = 1.into();
        }
    }
    schema
}

fn texts(side: Side) -> Value {
    let mut schema = json!({"type": "object", "additionalProperties": {"type": "string"}});
    if side != Side::Answer {
        schema["propertyNames"] = json!({"maxLength": META_KEY_CHARS_MAX});
    }
    schema
}

/// As the node's limits are if nobody says other ones; sizes are rounded up.
fn size(side: Side) -> Value {
    if side == Side::Answer {
        return json!({"type": "integer", "minimum": 0});
    }
    let limits = Limits::default();
    let number = json!({"type": "integer", "minimum": limits.drive_bytes_min - (SIZE_GRANULE_BYTES - 1), "maximum": limits.drive_bytes_max});
    json!({"anyOf": [number, {"type": "string", "pattern": "^[1-9][0-9]{4,17}$"}]})
}

/// Whoever asks may name an object by its uuid, its URI, or an object that has one.
fn reference_on(side: Side) -> Value {
    if side == Side::Answer {
        return reference();
    }
    let uuid = json!({"type": "string", "format": "uuid"});
    json!({"anyOf": [uuid, {"type": "object", "required": ["uuid"], "properties": {"uuid": uuid}}]})
}

/// An account; whoever asks may name it by its uuid or by its email.
fn person(side: Side) -> Value {
    let email = json!({"type": "string"});
    if side == Side::Answer {
        let mut person = reference();
        person["properties"]["email"] = json!({"anyOf": [email, {"type": "null"}]});
        return person;
    }
    let by_email = json!({"type": "object", "required": ["email"], "properties": {"email": email}});
    json!({"anyOf": [reference_on(side), by_email]})
}

fn reference() -> Value {
    json!({
        "type": "object",
        "required": ["resource_uri", "uuid"],
        "properties": {"resource_uri": {"type": "string"}, "uuid": {"type": "string", "format": "uuid"}},
    })
}

fn errors() -> Value {
    let error = json!({
        "type": "object",
        "required": ["error_type", "error_message", "error_point"],
        "properties": {
            "error_type": {"type": "string"},
            "error_message": {"type": "string"},
            "error_point": {"type": ["string", "null"]},
        },
    });
    json!({"type": "array", "minItems": 1, "items": error})
}

#[cfg(test)]
mod tests {
    use super::openapi;
    use serde_json::Value;

    /// Every `$ref` leads somewhere.
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(object) => {
                found.extend(object.get("$ref").and_then(Value::as_str).map(str::to_owned));
                object.values().for_each(|value| references(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn the_document_refers_to_what_it_has() {
        let document = openapi();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 50);
        for reference in found {
            let pointer = reference.strip_prefix('#').expect("a reference within the document");
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }
}
