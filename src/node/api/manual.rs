//! How does the API describe itself to people?
//!
//! A page made of the tables that the OpenAPI document is made of.

use super::fields::{Field, Kind, Shape};
use super::openapi::KINDS;
use super::routes::{Gives, Method, ROUTES, Takes};
use super::{BASE, IMAGE};

/// Where the page is.
pub const PATH: &str = "docs";

const HEAD: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>floe: HTTP API</title>\
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}table{border-collapse:collapse;width:100%}\
th,td{text-align:left;vertical-align:top;padding:.3rem .8rem .3rem 0;border-bottom:1px solid #8884}code{font-size:.95em}\
@media(prefers-color-scheme:dark){body{background:#161616;color:#ddd}a{color:#8bf}}</style>";

/// The page.
#[must_use]
pub fn manual() -> String {
    let mut page = HEAD.to_owned();
    let intro = format!(
        "<h1>floe: HTTP API</h1><p>Paths begin with <code>{BASE}/</code>; calls carry an account's email and password (HTTP Basic). \
         Bodies are JSON. An error is a list of objects with <code>error_type</code>, <code>error_message</code> and \
         <code>error_point</code>. Programs read the <a href=\"../{}\">OpenAPI document</a>.</p>",
        super::openapi::PATH
    );
    page += &intro;
    page += "<h2>Calls</h2><table><tr><th>Call<th>What it does<th>Takes<th>Answers";
    for route in ROUTES {
        for method in route.methods {
            let path = named(route.path);
            page += &row(&path, method);
        }
    }
    page += "</table>";
    for kind in KINDS {
        page += &format!("<h2 id=\"{0}\">{0}</h2><table><tr><th>Field<th>Holds<th>About", kind.name);
        rows(&mut page, "", kind.fields);
        page += "</table>";
    }
    page
}

/// A path with names where it has places.
pub fn named(path: &str) -> String {
    path.replace('*', "{uuid}").replace('+', "{file}")
}

fn row(path: &str, method: &Method) -> String {
    let link = |kind: &Kind| format!("<a href=\"#{0}\">{0}</a>", kind.name);
    let takes = match method.takes {
        Takes::Nothing => String::new(),
        Takes::Objects(kind) => format!("one or several {}", link(kind)),
        Takes::Changes(kind) => format!("fields of {}", link(kind)),
        Takes::Action(kind) => format!("<code>?do=</code>, and fields of {}, or nothing", link(kind)),
        Takes::Image => format!(
            "the image, <code>{IMAGE}</code>; <code>?name=</code>, <code>media</code>, <code>storage_type</code>, <code>size</code>, <code>complete</code>"
        ),
        Takes::PartOfImage => format!("<code>{IMAGE}</code>, with <code>Content-Range</code> a part; <code>?complete=</code>"),
        Takes::Uuids => "<code>{\"objects\": [{\"uuid\"}]}</code>".to_owned(),
    };
    let gives = match method.gives {
        Gives::Nothing => "204".to_owned(),
        Gives::Page(kind) => format!("200, a page of {}", link(kind)),
        Gives::One(kind) => format!("200, {}", link(kind)),
        Gives::Made(kind) => format!("201, <code>objects</code> of {}", link(kind)),
        Gives::Accepted(kind) => format!("202, <code>objects</code> of {}", link(kind)),
        Gives::Bare(kind) => format!("202, {}", link(kind)),
        Gives::Json => "200, JSON".to_owned(),
        Gives::Image => format!("200, or 206 for a <code>Range</code>: <code>{IMAGE}</code>"),
        Gives::MadeOfImage(kind) => format!("201, the uuid as text, or <code>objects</code> of {}", link(kind)),
    };
    format!("<tr><td><code>{} /{path}/</code><td>{}<td>{takes}<td>{gives}", method.verb, method.what)
}

fn rows(page: &mut String, prefix: &str, fields: &[Field]) {
    for field in fields {
        let holds = match field.shape {
            Shape::Text => "text".to_owned(),
            Shape::Integer | Shape::Size => "whole number".to_owned(),
            Shape::Flag => "true or false".to_owned(),
            Shape::Word(words) => words.join(", "),
            Shape::Texts => "texts under keys".to_owned(),
            Shape::Any | Shape::Object(_) => "object".to_owned(),
            Shape::List | Shape::Objects(_) | Shape::People => "list".to_owned(),
            Shape::Reference => "uuid".to_owned(),
            Shape::References => "uuids".to_owned(),
        };
        let mut notes = Vec::new();
        notes.extend((field.required && !field.readonly).then_some("required"));
        notes.extend(field.readonly.then_some("read only"));
        notes.extend(field.nullable.then_some("can be null"));
        let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join(", ")) };
        *page += &format!("<tr><td><code>{prefix}{}</code><td>{holds}{notes}<td>{}", field.name, field.help);
        if let Shape::Object(within) | Shape::Objects(within) = field.shape {
            rows(page, &format!("{prefix}{}.", field.name), within);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{manual, named};
    use crate::node::api::routes::ROUTES;

    #[test]
    fn every_path_is_on_the_page() {
        let page = manual();
        for route in ROUTES {
            assert!(page.contains(&format!(" /{}/</code>", named(route.path))), "{}", route.path);
        }
    }
}
