//! Which part of a listing does a client want, and which fields of it?

use super::body::Object;
use super::fault::Fault;
use serde_json::{Value, json};

/// Objects on a page if the client does not say how many.
pub const LIMIT_DEFAULT: usize = 20;

/// The part of a listing that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    limit: usize,
    offset: usize,
    fields: Option<Vec<String>>,
}

impl Page {
    /// Reads `limit`, `offset` and `fields` among the parameters of a call.
    ///
    /// # Errors
    /// 400
    pub fn of(parameters: &[(String, String)]) -> Result<Self, Fault> {
        let mut page = Self { limit: LIMIT_DEFAULT, offset: 0, fields: None };
        for (name, value) in parameters {
            let number = || value.parse().map_err(|_| Fault::invalid(name, "it is no number, 0 or greater"));
            match name.as_str() {
                "limit" => page.limit = number()?,
                "offset" => page.offset = number()?,
                "fields" => {
                    let names: Vec<_> = value.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
                    // Who names none wants what there is.
                    if !names.is_empty() {
                        page.fields.get_or_insert_default().extend(names);
                    }
                }
                _ => {}
            }
        }
        Ok(page)
    }

    /// Does the client say which fields it wants?
    #[must_use]
    pub fn names_fields(&self) -> bool {
        self.fields.is_some()
    }

    /// Does the client want this field, by its name?
    #[must_use]
    pub fn names(&self, wanted: &str) -> bool {
        self.fields.iter().flatten().any(|field| field == wanted)
    }

    /// The listing's envelope around the part of `all` that is asked for.
    ///
    /// # Errors
    /// Those of making the objects.
    pub fn envelope<T>(&self, all: &[T], object: impl Fn(&T) -> Result<Option<Object>, Fault>) -> Result<Value, Fault> {
        let limit = if self.limit == 0 { usize::MAX } else { self.limit };
        let mut objects = Vec::new();
        for item in all.iter().skip(self.offset).take(limit) {
            // One that was deleted meanwhile is not there.
            if let Some(object) = object(item)? {
                objects.push(Value::Object(self.cut(object)));
            }
        }
        let meta = json!({"limit": self.limit, "offset": self.offset, "total_count": all.len()});
        Ok(json!({"meta": meta, "objects": objects}))
    }

    /// The fields of an object that are asked for.
    fn cut(&self, mut object: Object) -> Object {
        if let Some(fields) = &self.fields {
            object.retain(|name, _| fields.iter().any(|field| field == name));
        }
        object
    }
}

#[cfg(test)]
mod tests {
    use super::Page;
    use serde_json::{Map, json};

    fn check(query: &[(&str, &str)], expected: Option<&str>) {
        let parameters: Vec<_> = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let all: Vec<u32> = (0..25).collect();
        let object = |number: &u32| {
            let mut object = Map::new();
            object.insert("n".into(), json!(number));
            object.insert("x".into(), json!(null));
            Ok(Some(object))
        };
        let found = Page::of(&parameters).and_then(|page| page.envelope(&all, object));
        assert_eq!(found.ok().map(|found| found.to_string()).as_deref(), expected, "{query:?}");
    }

    #[test]
    fn listings_come_in_pages() {
        check(
            &[("limit", "2"), ("offset", "23"), ("fields", "n")],
            Some(r#"{"meta":{"limit":2,"offset":23,"total_count":25},"objects":[{"n":23},{"n":24}]}"#),
        );
        check(&[("offset", "24")], Some(r#"{"meta":{"limit":20,"offset":24,"total_count":25},"objects":[{"n":24,"x":null}]}"#));
        check(&[("offset", "99"), ("limit", "0")], Some(r#"{"meta":{"limit":0,"offset":99,"total_count":25},"objects":[]}"#));
        check(
            &[("offset", "24"), ("fields", "")],
            Some(r#"{"meta":{"limit":20,"offset":24,"total_count":25},"objects":[{"n":24,"x":null}]}"#),
        );
        check(&[("limit", "-1")], None);
        check(&[("offset", "x")], None);
    }
}
