//! What did a client put into the body of a call?
//!
//! 1. A collection takes `{"objects": [...]}`, a bare list, or one bare object.
//! 2. The bodies of bulk deletions may have a comma before a closing brace or bracket, as the documented examples do.
//! 3. Numbers may come as strings.

use super::fault::{ErrorType, Fault};
use serde_json::{Map, Value};

/// An object of JSON.
pub type Object = Map<String, Value>;

/// The objects of a POST on a collection, one at least.
///
/// # Errors
/// 400
pub fn objects(body: &[u8]) -> Result<Vec<Object>, Fault> {
    list(parse(body)?)
}

/// The objects of a DELETE on a collection, one at least.
///
/// # Errors
/// 400, also for no body at all: that would be everything.
pub fn objects_to_delete(body: &[u8]) -> Result<Vec<Object>, Fault> {
    match parse(body) {
        Ok(value) => list(value),
        Err(fault) => match serde_json::from_slice(&without_trailing_commas(body)) {
            Ok(value) => list(value),
            Err(_) => Err(fault),
        },
    }
}

/// The body of a PUT, or of an action, in which nothing at all is an object without fields.
///
/// # Errors
/// 400
pub fn object(body: &[u8]) -> Result<Object, Fault> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Object::new());
    }
    match parse(body)? {
        Value::Object(object) => Ok(object),
        _ => Err(wrong("the body is no object")),
    }
}

fn parse(body: &[u8]) -> Result<Value, Fault> {
    serde_json::from_slice(body).map_err(|error| wrong(format!("the body is not JSON: {error}")))
}

fn list(value: Value) -> Result<Vec<Object>, Fault> {
    let values = match value {
        Value::Array(values) => values,
        Value::Object(mut object) => match object.remove("objects") {
            Some(Value::Array(values)) => values,
            Some(_) => return Err(Fault::invalid("objects", "it is no list")),
            None => vec![Value::Object(object)],
        },
        _ => return Err(wrong("the body is neither an object nor a list")),
    };
    if values.is_empty() {
        return Err(Fault::invalid("objects", "it is empty"));
    }
    let object = |value| match value {
        Value::Object(object) => Ok(object),
        _ => Err(Fault::invalid("objects", "it holds what is no object")),
    };
    values.into_iter().map(object).collect()
}

fn wrong(message: impl Into<String>) -> Fault {
    Fault::new(400, ErrorType::Validation, message)
}

/// The body without commas before closing braces and brackets; what is in strings stays.
fn without_trailing_commas(body: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(body.len());
    let (mut in_string, mut escaped) = (false, false);
    for (index, byte) in body.iter().enumerate() {
        if in_string {
            in_string = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
        } else if *byte == b'"' {
            in_string = true;
        } else if *byte == b',' {
            let next = body[index + 1..].iter().find(|byte| !byte.is_ascii_whitespace());
            if matches!(next, Some(b'}' | b']')) {
                continue;
            }
        }
        kept.push(*byte);
    }
    kept
}

/// A text field, if it is there and not null.
///
/// # Errors
/// 400
pub fn text(object: &Object, field: &str) -> Result<Option<String>, Fault> {
    match object.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.contains('\0') => Err(Fault::invalid(field, "it holds a zero byte")),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(Fault::invalid(field, "it is no text")),
    }
}

/// A number of bytes, as a number or as text, if it is there and not null.
///
/// # Errors
/// 400
pub fn bytes(object: &Object, field: &str) -> Result<Option<u64>, Fault> {
    let number = match object.get(field) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(number)) => number.as_u64().or_else(|| number.as_f64().and_then(whole)),
        Some(Value::String(text)) => text.trim().parse().ok(),
        Some(_) => None,
    };
    number.map(Some).ok_or_else(|| Fault::invalid(field, "it is no number of bytes"))
}

/// `4096.0` is a whole number, too, for JSON and for many who write it; up to where all of them can be told apart.
fn whole(number: f64) -> Option<u64> {
    const EXACT_MAX: f64 = (1_u64 << f64::MANTISSA_DIGITS) as f64;
    ((0.0..=EXACT_MAX).contains(&number) && number.fract() == 0.0).then_some(number as u64)
}

/// A yes or no, if it is there and not null.
///
/// # Errors
/// 400
pub fn flag(object: &Object, field: &str) -> Result<Option<bool>, Fault> {
    match object.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(_) => Err(Fault::invalid(field, "it is neither true nor false")),
    }
}

#[cfg(test)]
mod tests {
    use super::{bytes, object, objects, objects_to_delete, text};
    use serde_json::json;

    fn check(body: &str, expected: Option<usize>) {
        assert_eq!(objects(body.as_bytes()).ok().map(|objects| objects.len()), expected, "{body}");
    }

    #[test]
    fn collections_take_three_shapes() {
        check(r#"{"objects": [{"a": 1}, {}]}"#, Some(2));
        check(r#"[{"a": 1}]"#, Some(1));
        check(r#"{"a": 1}"#, Some(1));
        check(r#"{}"#, Some(1));
        for wrong in ["", "null", "3", "[]", "[3]", r#"{"objects": {}}"#, r#"{"objects": []}"#, "{"] {
            check(wrong, None);
        }
    }

    #[test]
    fn documented_bulk_deletion_is_understood() {
        let body = "{\n \"objects\": [\n {\n \"uuid\": \"a,}\\\",]\",\n },\n {\"uuid\": \"b\",\n }\n ,]\n}";
        let found = objects_to_delete(body.as_bytes()).expect("two objects");
        assert_eq!((found.len(), &found[0]["uuid"]), (2, &json!("a,}\",]")));
        assert!(objects(body.as_bytes()).is_err(), "elsewhere it is not JSON");
        assert!(objects_to_delete(b"").is_err());
        assert!(objects_to_delete(b"{,}").is_ok_and(|objects| objects[0].is_empty()));
    }

    #[test]
    fn actions_need_no_body() {
        assert_eq!(object(b" \n").map(|object| object.len()), Ok(0));
        assert!(object(b"[]").is_err());
    }

    #[test]
    fn numbers_may_be_text() {
        let body =
            object(br#"{"a": 12, "b": "1024000000", "c": -1, "d": 1.5, "e": null, "f": "x\u0000", "g": 4096.0, "h": 1e300}"#)
                .expect("an object");
        assert_eq!(bytes(&body, "a"), Ok(Some(12)));
        assert_eq!(bytes(&body, "b"), Ok(Some(1_024_000_000)));
        assert_eq!(bytes(&body, "g"), Ok(Some(4096)));
        assert_eq!(bytes(&body, "e"), Ok(None));
        assert_eq!(bytes(&body, "z"), Ok(None));
        assert!(
            bytes(&body, "c").is_err() && bytes(&body, "d").is_err() && bytes(&body, "h").is_err() && text(&body, "f").is_err()
        );
    }
}
