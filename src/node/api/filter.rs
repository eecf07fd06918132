//! Which objects of a collection does a client want to see?
//!
//! Values that commas part are alternatives; several parameters must all hold, also if they have one name. `\,` is a comma within a value,
//! and `\\` a backslash.

use super::describe::uuid_of;
use uuid::Uuid;

/// What filters look at.
pub trait Filtered {
    /// Its uuid.
    fn uuid(&self) -> Uuid;
    /// Its name.
    fn name(&self) -> &str;
    /// The tags it has.
    fn tags(&self) -> &[Uuid];
    /// The drive it belongs to, for collections that have one.
    fn drive(&self) -> Option<Uuid>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Name,
    NameContains,
    Uuid,
    Tag,
    Drive,
}

/// The filters of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter(Vec<(Field, Vec<String>)>);

impl Filter {
    /// Reads the filters among the parameters of a call; others are left alone.
    #[must_use]
    pub fn of(parameters: &[(String, String)]) -> Self {
        let field = |name: &str| {
            Some(match name {
                "name" => Field::Name,
                "name__contains" => Field::NameContains,
                "uuid" => Field::Uuid,
                "tag" => Field::Tag,
                "drive" => Field::Drive,
                _ => return None,
            })
        };
        Self(parameters.iter().filter_map(|(name, value)| Some((field(name)?, alternatives(value)))).collect())
    }

    /// The drives whose snapshots are asked for, if any are named.
    #[must_use]
    pub fn drives(&self) -> Option<Vec<Uuid>> {
        let (_, values) = self.0.iter().find(|(field, _)| *field == Field::Drive)?;
        let mut drives: Vec<Uuid> = values.iter().filter_map(|value| uuid_of(value)).collect();
        drives.sort_unstable();
        drives.dedup();
        Some(drives)
    }

    /// Is the object one of those?
    #[must_use]
    pub fn fits(&self, object: &impl Filtered) -> bool {
        let is = |uuid: Uuid, value: &str| uuid_of(value) == Some(uuid);
        self.0.iter().all(|(field, values)| {
            values.iter().any(|value| match field {
                Field::Name => object.name() == value,
                Field::NameContains => object.name().to_lowercase().contains(&value.to_lowercase()),
                Field::Uuid => is(object.uuid(), value),
                Field::Tag => object.tags().iter().any(|tag| is(*tag, value)),
                Field::Drive => object.drive().is_some_and(|drive| is(drive, value)),
            })
        })
    }
}

fn alternatives(value: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut rest = value.chars();
    while let Some(letter) = rest.next() {
        let last = all.last_mut().expect("there is one");
        match letter {
            ',' => all.push(String::new()),
            '\\' => match rest.next() {
                Some(escaped @ (',' | '\\')) => last.push(escaped),
                Some(other) => last.extend(['\\', other]),
                None => last.push('\\'),
            },
            letter => last.push(letter),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::{Filter, Filtered};
    use uuid::Uuid;

    struct Thing(&'static str);

    impl Filtered for Thing {
        fn uuid(&self) -> Uuid {
            Uuid::from_u128(1)
        }

        fn name(&self) -> &str {
            self.0
        }

        fn tags(&self) -> &[Uuid] {
            const { &[Uuid::from_u128(2), Uuid::from_u128(3)] }
        }

        fn drive(&self) -> Option<Uuid> {
            Some(Uuid::from_u128(4))
        }
    }

    fn check(name: &'static str, query: &[(&str, &str)], expected: bool) {
        let parameters: Vec<_> = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(Filter::of(&parameters).fits(&Thing(name)), expected, "{name} {query:?}");
    }

    #[test]
    fn filters_are_alternatives_and_conditions() {
        let number = |number: u128| Uuid::from_u128(number).to_string();
        check("db", &[], true);
        check("db", &[("name", "web,db")], true);
        check("db", &[("name", "DB")], false);
        check("db", &[("name__contains", "B")], true);
        check("Überall", &[("name__contains", "übER")], true);
        check("db", &[("name", "db"), ("name__contains", "x")], false);
        check("db", &[("name__contains", "d"), ("name__contains", "b")], true);
        check("a,b", &[("name", r"a\,b")], true);
        check("a,b", &[("name", "a,b")], false);
        check(r"a\", &[("name", r"a\\,b")], true);
        check(r"a\x", &[("name", r"a\x")], true);
        check("db", &[("uuid", &number(1))], true);
        check("db", &[("uuid", &number(1).to_uppercase())], true);
        check("db", &[("uuid", "1")], false);
        check("db", &[("tag", &number(3))], true);
        check("db", &[("tag", &number(3)), ("tag", &number(2))], true);
        check("db", &[("tag", &number(4))], false);
        check("db", &[("drive", &number(4))], true);
        check("db", &[("drive", "nonsense")], false);
        check("db", &[("colour", "blue")], true);
    }
}
