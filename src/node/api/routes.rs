//! Which path and method is answered by what?

use super::fault::{ErrorType, Fault};
use super::{Answer, Api, BASE, Call, drives, schema, snapshots};
use crate::node::accounts::Account;
use uuid::Uuid;

/// A call with what its path says, and who makes it.
pub struct Asked<'a> {
    /// The API that was called.
    pub api: &'a Api,
    /// Who calls.
    pub caller: &'a Account,
    /// What was sent.
    pub call: &'a Call,
    /// The uuid in the path, as it was written; nothing if the path has none.
    word: &'a str,
}

impl Asked<'_> {
    /// The uuid in the path.
    ///
    /// # Errors
    /// 404 for what is no uuid.
    pub fn uuid(&self) -> Result<Uuid, Fault> {
        Uuid::try_parse(self.word).map_err(|_| Fault::no_object(self.word))
    }
}

type Handler = fn(&Asked<'_>) -> Result<Answer, Fault>;

/// A path below [`BASE`], `*` for a uuid, and what answers each method.
struct Route {
    path: &'static str,
    methods: &'static [(&'static str, Handler)],
}

const ROUTES: &[Route] = &[
    Route {
        path: "snapshots",
        methods: &[("GET", snapshots::list), ("POST", snapshots::create), ("DELETE", snapshots::delete_many)],
    },
    Route { path: "snapshots/detail", methods: &[("GET", snapshots::list)] },
    Route { path: "snapshots/schema", methods: &[("GET", schema::snapshots)] },
    Route { path: "snapshots/*", methods: &[("GET", snapshots::show), ("PUT", snapshots::edit), ("DELETE", snapshots::delete)] },
    Route { path: "snapshots/*/action", methods: &[("POST", snapshots::act)] },
    Route { path: "drives", methods: &[("GET", drives::list), ("POST", drives::create), ("DELETE", drives::delete_many)] },
    Route { path: "drives/detail", methods: &[("GET", drives::list_whole)] },
    Route { path: "drives/*", methods: &[("GET", drives::show), ("PUT", drives::edit), ("DELETE", drives::delete)] },
    Route { path: "drives/*/action", methods: &[("POST", drives::act)] },
];

/// Answers a call, whatever it is.
pub fn answer(api: &Api, caller: &Account, call: &Call) -> Answer {
    let Some((route, word)) = find(&call.path) else {
        return Fault::new(404, ErrorType::NotExist, format!("There is nothing at {}", call.path)).into();
    };
    let allow = || Some(route.methods.iter().map(|(method, _)| *method).collect::<Vec<_>>().join(","));
    if call.method == "OPTIONS" {
        let allow = allow();
        return Answer { allow: allow.clone(), ..Answer::json(200, allow.into()) };
    }
    // HEAD is GET without what it says; whoever sends the answer leaves that out.
    let method = if call.method == "HEAD" { "GET" } else { &call.method };
    let Some((_, handler)) = route.methods.iter().find(|(known, _)| *known == method) else {
        let fault = Fault::new(405, ErrorType::Validation, format!("{} is not allowed here", call.method));
        return Answer { allow: allow(), ..fault.into() };
    };
    handler(&Asked { api, caller, call, word }).unwrap_or_else(Answer::from)
}

/// The route of a path, with or without a slash at its end, and what stands for the uuid.
fn find(path: &str) -> Option<(&'static Route, &str)> {
    let rest = path.strip_prefix(BASE)?.strip_prefix('/')?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let words: Vec<&str> = rest.split('/').collect();
    let exact = |route: &&Route| route.path == rest;
    if let Some(route) = ROUTES.iter().find(exact) {
        return Some((route, ""));
    }
    let fits = |route: &&Route| {
        let parts: Vec<&str> = route.path.split('/').collect();
        parts.len() == words.len() && parts.iter().zip(&words).all(|(part, word)| *part == "*" || part == word)
    };
    let route = ROUTES.iter().find(fits)?;
    let at = route.path.split('/').position(|part| part == "*")?;
    Some((route, words[at]))
}

#[cfg(test)]
mod tests {
    use super::find;

    fn check(path: &str, expected: Option<(&str, &str)>) {
        assert_eq!(find(path).map(|(route, word)| (route.path, word)), expected, "{path}");
    }

    #[test]
    fn paths_are_found_with_and_without_a_slash_at_the_end() {
        check("/api/2.0/snapshots/", Some(("snapshots", "")));
        check("/api/2.0/snapshots", Some(("snapshots", "")));
        check("/api/2.0/snapshots/detail/", Some(("snapshots/detail", "")));
        check("/api/2.0/snapshots/x/", Some(("snapshots/*", "x")));
        check("/api/2.0/drives/x/action", Some(("drives/*/action", "x")));
        check("/api/2.0/", None);
        check("/api/2.0/snapshots//", None);
        check("/snapshots/", None);
        check("/api/2.0/drives/x/y/z", None);
    }
}
