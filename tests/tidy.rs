//! Does the source keep the rules of docs/architecture.md: who may name whom, and what stands where?
//!
//! The source is read as text, with comments, literals and what only tests see blanked. That is enough for these rules,
//! and each complaint names a file, a line and the rule.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

/// Rooms by floor, lowest first. A room looks into the floors below its own, and not next door.
const FLOORS: [&[&str]; 10] = [
    &["error", "units", "sync", "canary"],
    &["device", "format"],
    &["tree"],
    &["table", "space"],
    &["commit"],
    &["catalog", "io"],
    &["engine"],
    &[
        "store",
        "drive",
        "snapshot",
        "fingerprint",
        "extents",
        "bookmark",
        "changes",
        "ranges",
        "steps",
        "check",
        "scrub",
        "fuzzing",
    ],
    &["lib"],
    &["node", "bin"],
];

/// On these floors rooms may look next door: errors and units are words, and handles make each other.
const OPEN_FLOORS: [usize; 2] = [0, 7];

/// The engine's top floor; above it are the node and the command.
const ENGINE_FLOOR: usize = 8;

const UNSAFE_FILES: [&str; 3] = ["device/map.rs", "device/guard.rs", "device/early.rs"];
const BINCODE_FILES: [&str; 1] = ["format/record.rs"];

/// What an engine that opens no socket, starts no runtime and reads no clock has no word for.
const NODE_WORDS: [&str; 6] = ["net", "tokio", "hyper", "SystemTime", "Instant", "clap"];

/// Names that say nothing (style.md, Words).
const EMPTY_NAMES: [&str; 6] = ["manager", "helper", "helpers", "util", "utils", "misc"];

/// A source file.
struct Source {
    /// Relative to src.
    path: String,
    text: String,
    /// The text with everything blanked that is no code of the product; lines stay where they are.
    code: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned(), code: without_tests(&without_words(text)) }
    }

    fn room(&self) -> &str {
        self.path.split('/').next().unwrap_or_default().trim_end_matches(".rs")
    }

    /// The modules from the crate's root down to this file: those of `table/edit.rs` are `table` and `edit`.
    fn module(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.path.trim_end_matches(".rs").split('/').collect();
        if names.last() == Some(&"mod") || names == ["lib"] {
            names.pop();
        }
        names
    }
}

// --- the rules -------------------------------------------------------------------------------------------------------

/// Every path of the crate that a file names must lead into its own room or downstairs.
fn broken_layers(sources: &[Source]) -> Vec<String> {
    let tests = test_files(sources);
    let offered = sources.iter().find(|source| source.path == "lib.rs").map(offered_by).unwrap_or_default();
    let mut complaints = Vec::new();
    for source in sources.iter().filter(|source| !tests.contains(&source.path)) {
        let Some(floor) = floor_of(source.room()) else {
            complaints.push(format!("src/{}: no floor is known for the room \"{}\"", source.path, source.room()));
            continue;
        };
        for (line, path) in crate_paths(&source.code, &source.module()) {
            let Some(first) = path.first() else { continue };
            let room = offered.get(first.as_str()).unwrap_or(first);
            let allowed = floor_of(room)
                .is_some_and(|other| room == source.room() || other < floor || (other == floor && OPEN_FLOORS.contains(&floor)));
            if !allowed {
                let path = path.join("::");
                complaints.push(format!(
                    "src/{}:{line}: {} may not look into {room} (crate::{path})",
                    source.path,
                    source.room()
                ));
            }
        }
    }
    complaints
}

/// A word may stand only in these files.
fn strays(sources: &[Source], word: &str, homes: &[&str]) -> Vec<String> {
    let strangers = sources.iter().filter(|source| !homes.contains(&source.path.as_str()));
    let home = homes.join(" or src/");
    let home = home.as_str();
    strangers
        .flat_map(|source| {
            found(source, word).map(move |line| format!("src/{}:{line}: {word} belongs in src/{home}", source.path))
        })
        .collect()
}

fn sockets_runtimes_and_clocks(sources: &[Source]) -> Vec<String> {
    let engine = sources.iter().filter(|source| floor_of(source.room()).is_none_or(|floor| floor <= ENGINE_FLOOR));
    engine
        .flat_map(|source| NODE_WORDS.iter().map(move |word| (source, word)))
        .flat_map(|(source, word)| {
            found(source, word).map(move |line| format!("src/{}:{line}: the engine has no {word}", source.path))
        })
        .collect()
}

/// A file answers one question, and says which in its first line. That of lib.rs is the crate's title.
fn files_without_question(sources: &[Source]) -> Vec<String> {
    let asks = |source: &&Source| source.text.lines().next().is_some_and(|line| line.starts_with("//! ") && line.ends_with('?'));
    sources
        .iter()
        .filter(|source| !asks(source))
        .map(|source| format!("src/{}:1: the first line is no question", source.path))
        .collect()
}

fn files_without_noun(sources: &[Source]) -> Vec<String> {
    let empty = |source: &&Source| source.path.split(['/', '.']).any(|name| EMPTY_NAMES.contains(&name));
    sources.iter().filter(empty).map(|source| format!("src/{}: the name lacks a noun", source.path)).collect()
}

fn floor_of(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// Numbers of the lines in which `word` stands as a whole word.
fn found<'a>(source: &'a Source, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let has = move |line: &str| line.split(|character: char| !is_of_word(character)).any(|other| other == word);
    source.code.lines().enumerate().filter(move |(_, line)| has(line)).map(|(index, _)| index + 1)
}

// --- who names whom --------------------------------------------------------------------------------------------------

/// All paths in `code` that begin with `crate`, `super` or `self`, from the crate's root, and the lines where they begin.
fn crate_paths(code: &str, module: &[&str]) -> Vec<(usize, Vec<String>)> {
    let mut paths = Vec::new();
    for start in ["crate", "super", "self"] {
        for (at, _) in code.match_indices(start) {
            let begins = !code[..at].ends_with(|character| is_of_word(character) || character == ':');
            if !begins || !code[at + start.len()..].trim_start().starts_with("::") {
                continue;
            }
            let line = code[..at].matches('\n').count() + 1;
            let mut tails = Vec::new();
            use_tree(&code[at..], &mut Vec::new(), &mut tails);
            paths.extend(tails.into_iter().map(|tail| (line, from_root(&tail, module))));
        }
    }
    paths.sort();
    paths
}

/// The paths that a use tree (or a plain path) at the beginning of `code` spells out; returns what follows it.
fn use_tree<'a>(code: &'a str, before: &mut Vec<String>, paths: &mut Vec<Vec<String>>) -> &'a str {
    let depth = before.len();
    let mut rest = code.trim_start();
    loop {
        let name: String = rest.chars().take_while(|character| is_of_word(*character)).collect();
        rest = &rest[name.len()..];
        before.push(name);
        let Some(after) = rest.trim_start().strip_prefix("::") else {
            paths.push(before.clone());
            break;
        };
        rest = after.trim_start();
        if let Some(mut group) = rest.strip_prefix('{') {
            while !matches!(group.trim_start().chars().next(), None | Some('}')) {
                // What is left of an element may be `as other` or `*`.
                group = use_tree(group, before, paths).trim_start_matches(|character| character != ',' && character != '}');
                group = group.strip_prefix(',').unwrap_or(group);
            }
            rest = group.trim_start().strip_prefix('}').unwrap_or_default();
            break;
        }
    }
    before.truncate(depth);
    rest
}

/// `super::edit` in `table/walk.rs` is `table::edit`.
fn from_root(path: &[String], module: &[&str]) -> Vec<String> {
    let mut absolute: Vec<String> = match path.first().map(String::as_str) {
        Some("crate") => Vec::new(),
        _ => module.iter().map(|name| (*name).to_owned()).collect(),
    };
    for name in path.iter().filter(|name| !name.is_empty()) {
        match name.as_str() {
            "crate" | "self" => {}
            "super" => drop(absolute.pop()),
            _ => absolute.push(name.clone()),
        }
    }
    absolute
}

/// What lib.rs offers under its own roof, and the room each of it comes from.
fn offered_by(lib: &Source) -> HashMap<String, String> {
    let mut offered = HashMap::new();
    for (at, _) in lib.code.match_indices("pub use ") {
        let mut paths = Vec::new();
        use_tree(&lib.code[at + "pub use ".len()..], &mut Vec::new(), &mut paths);
        for path in paths {
            if let [room, .., name] = &path[..] {
                offered.insert(name.clone(), room.clone());
            }
        }
    }
    offered
}

/// Files that only tests see: modules declared under `#[cfg(test)]`, and all that lies below them.
fn test_files(sources: &[Source]) -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    for source in sources {
        let plain = without_words(&source.text);
        for (from, to) in test_items(&plain) {
            let declaration = plain[from..to].trim_end_matches(';');
            let Some(name) = declaration.rsplit_once("mod ").map(|(_, name)| name.trim()) else { continue };
            let module = [source.module(), vec![name]].concat().join("/");
            let below = |other: &&Source| other.path == format!("{module}.rs") || other.path.starts_with(&format!("{module}/"));
            tests.extend(sources.iter().filter(below).map(|other| other.path.clone()));
        }
    }
    tests
}

// --- what is code ----------------------------------------------------------------------------------------------------

fn is_of_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// `text` with comments and the insides of literals blanked.
fn without_words(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let after_word = code.ends_with(is_of_word);
        let length = comment_length(rest)
            .or_else(|| string_length(rest, after_word))
            .or_else(|| (!after_word).then(|| character_length(rest)).flatten());
        match length {
            Some(length) => {
                code.extend(rest[..length].chars().map(|character| if character == '\n' { '\n' } else { ' ' }));
                rest = &rest[length..];
            }
            None => {
                code.push(next);
                rest = &rest[next.len_utf8()..];
            }
        }
    }
    code
}

fn comment_length(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    text.starts_with("/*").then(|| text.find("*/").map_or(text.len(), |end| end + 2))
}

fn string_length(text: &str, after_word: bool) -> Option<usize> {
    if let Some(body) = text.strip_prefix('"') {
        let mut escaped = false;
        let end = body.find(|character| {
            let ends = character == '"' && !escaped;
            escaped = character == '\\' && !escaped;
            ends
        });
        return Some(end.map_or(text.len(), |end| end + 2));
    }
    let raw = text.strip_prefix('r').or_else(|| text.strip_prefix("br")).filter(|_| !after_word)?;
    let hashes: String = raw.chars().take_while(|character| *character == '#').collect();
    let body = raw[hashes.len()..].strip_prefix('"')?;
    let before = text.len() - body.len();
    Some(body.find(&format!("\"{hashes}")).map_or(text.len(), |end| before + end + 1 + hashes.len()))
}

/// Of a character literal; a lifetime is none.
fn character_length(text: &str) -> Option<usize> {
    let body = text.strip_prefix('\'')?;
    let length = match body.strip_prefix('\\') {
        Some(escape) => 2 + escape.get(1..)?.find('\'')?,
        None => body.chars().next()?.len_utf8(),
    };
    body.get(length..)?.starts_with('\'').then_some(length + 2)
}

/// `code` with every item under `#[cfg(test)]` blanked.
fn without_tests(code: &str) -> String {
    let mut left = code.to_owned();
    for (from, to) in test_items(code) {
        let blank: String = code[from..to].chars().map(|character| if character == '\n' { '\n' } else { ' ' }).collect();
        left.replace_range(from..to, &blank);
    }
    left
}

/// Where items under `#[cfg(test)]` stand: from the attribute to the semicolon or the closing brace.
fn test_items(code: &str) -> Vec<(usize, usize)> {
    let mut items: Vec<(usize, usize)> = Vec::new();
    for (from, attribute) in code.match_indices("#[cfg(test)]") {
        if items.last().is_some_and(|(_, to)| from < *to) {
            continue;
        }
        let mut depth = 0_usize;
        let end = code[from + attribute.len()..].find(|character| {
            match character {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0 && matches!(character, ';' | '}')
        });
        items.push((from, end.map_or(code.len(), |end| from + attribute.len() + end + 1)));
    }
    items
}

// --- the house as it stands ------------------------------------------------------------------------------------------

fn house() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    collect(&root, &mut paths);
    paths.sort();
    let source = |path: PathBuf| {
        let relative = path.strip_prefix(&root).expect("it lies in src").to_str().expect("a readable name").to_owned();
        Source::new(&relative, &fs::read_to_string(&path).expect("a readable source"))
    };
    paths.into_iter().map(source).collect()
}

fn collect(directory: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a readable directory") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

fn expect_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn imports_point_down() {
    expect_none(&broken_layers(&house()));
}

#[test]
fn unsafe_stands_in_three_files() {
    expect_none(&strays(&house(), "unsafe", &UNSAFE_FILES));
}

#[test]
fn bincode_stands_in_one_file() {
    expect_none(&strays(&house(), "bincode", &BINCODE_FILES));
}

#[test]
fn engine_knows_no_socket_runtime_or_clock() {
    expect_none(&sockets_runtimes_and_clocks(&house()));
}

#[test]
fn each_file_says_which_question_it_answers() {
    expect_none(&files_without_question(&house()));
}

#[test]
fn each_file_name_has_a_noun() {
    expect_none(&files_without_noun(&house()));
}

// --- the rules can fail ----------------------------------------------------------------------------------------------

#[test]
fn import_that_points_up_or_sideways_is_named() {
    let complaints = |path: &str, text: &str| {
        let lib = Source::new("lib.rs", "pub use store::{Store, StoreOptions as Options};\npub use error::Error;");
        broken_layers(&[lib, Source::new(path, text)])
    };
    for (path, text, wanted) in [
        (
            "table/edit.rs",
            "//! Why?\nuse crate::catalog::History;",
            "src/table/edit.rs:2: table may not look into catalog (crate::catalog::History)",
        ),
        (
            "table/edit.rs",
            "use crate::{units::Epoch,\n    space::map};",
            "src/table/edit.rs:1: table may not look into space (crate::space::map)",
        ),
        (
            "format/page.rs",
            "fn f() { crate::device::open() }",
            "src/format/page.rs:1: format may not look into device (crate::device::open)",
        ),
        (
            "table/deep/er.rs",
            "\nuse super::super::super::io::read;",
            "src/table/deep/er.rs:2: table may not look into io (crate::io::read)",
        ),
        ("table/mod.rs", "use super::commit::{self};", "src/table/mod.rs:1: table may not look into commit (crate::commit)"),
        ("io/read.rs", "use crate::Store;", "src/io/read.rs:1: io may not look into store (crate::Store)"),
        (
            "io/read.rs",
            "use crate::unheard_of::Thing;",
            "src/io/read.rs:1: io may not look into unheard_of (crate::unheard_of::Thing)",
        ),
        ("drive.rs", "use crate::node::wire;", "src/drive.rs:1: drive may not look into node (crate::node::wire)"),
        ("attic/mod.rs", "", "src/attic/mod.rs: no floor is known for the room \"attic\""),
    ] {
        assert_eq!(complaints(path, text), [wanted], "{text}");
    }
}

#[test]
fn import_that_points_down_or_is_no_import_is_not_named() {
    let lib = Source::new("lib.rs", "pub use error::{Error};\nuse crate::store::Store;");
    let text = "
        //! crate::node::x
        /* crate::node::x */
        use crate::{error::{Context, Result}, units::*, format::page::{self, Page as P}, Error};
        use super::{lookup, super::tree};
        pub(crate) fn f<'a>(a: &'a str) -> char { self::g(\"crate::node\", r#\"crate::\"node\"#, '\"'); '\\'' }
        #[cfg(test)]
        use crate::node::X;
        #[cfg(test)]
        mod tests { fn f() { crate::node::x(); if true { {} } } }
        #[cfg(test)]
        mod memory;
    ";
    let memory = Source::new("table/edit/memory.rs", "use crate::node::X;");
    assert_eq!(broken_layers(&[lib, Source::new("table/edit.rs", text), memory]), Vec::<String>::new());
    let handles =
        [Source::new("drive.rs", "use crate::snapshot::Snapshot;"), Source::new("node/http.rs", "use crate::{drive, Store};")];
    assert_eq!(broken_layers(&handles), ["src/node/http.rs:1: node may not look into Store (crate::Store)"]);
}

#[test]
fn stray_words_are_named_and_comments_are_not() {
    let homes = UNSAFE_FILES.map(|path| Source::new(path, "unsafe {}"));
    let strange = |text: &str| {
        let [map, guard, early] = homes.each_ref().map(|home| Source::new(&home.path, &home.text));
        strays(&[Source::new("io/read.rs", text), map, guard, early], "unsafe", &UNSAFE_FILES)
    };
    let complaint = "src/io/read.rs:2: unsafe belongs in src/device/map.rs or src/device/guard.rs or src/device/early.rs";
    assert_eq!(strange("fn f() {\n    unsafe { g() }\n}"), [complaint]);
    assert!(strange("// unsafe\n#![deny(unsafe_code)]\nconst A: &str = \"unsafe\";").is_empty());
    assert_eq!(
        sockets_runtimes_and_clocks(&[
            Source::new("commit/mod.rs", "use std::time::Instant;"),
            Source::new("node/a.rs", "use std::net;")
        ]),
        ["src/commit/mod.rs:1: the engine has no Instant"]
    );
}

#[test]
fn file_without_question_or_noun_is_named() {
    let sources = [Source::new("io/util.rs", "//! Utilities."), Source::new("io/read.rs", "//! How?\n")];
    assert_eq!(files_without_question(&sources), ["src/io/util.rs:1: the first line is no question"]);
    assert_eq!(files_without_noun(&sources), ["src/io/util.rs: the name lacks a noun"]);
}

// --- pages -------------------------------------------------------------------------------------------------------------

/// The targets of a page's relative links, without what follows a `#`.
fn relative_links(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target));
    let relative = targets.filter(|target| !target.contains("://") && !target.starts_with('#'));
    relative.map(|target| target.split('#').next().unwrap_or(target)).collect()
}

#[test]
fn pages_link_to_what_exists_and_the_index_to_every_page() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages: Vec<PathBuf> = fs::read_dir(root.join("docs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .chain([root.join("README.md"), root.join("CHANGELOG.md")])
        .collect();
    let mut complaints = Vec::new();
    for page in &pages {
        let text = fs::read_to_string(page).unwrap();
        for target in relative_links(&text) {
            if !page.parent().unwrap().join(target).exists() {
                complaints.push(format!("{}: {target} does not exist", page.display()));
            }
        }
    }
    let index = fs::read_to_string(root.join("docs/README.md")).unwrap();
    for page in pages.iter().filter(|page| page.parent() == Some(&root.join("docs")) && !page.ends_with("README.md")) {
        let name = page.file_name().unwrap().to_str().unwrap();
        if !relative_links(&index).contains(&name) {
            complaints.push(format!("docs/README.md: it does not lead to {name}"));
        }
    }
    expect_none(&complaints);
}

#[test]
fn relative_links_are_found_and_others_left_alone() {
    assert_eq!(relative_links("[a](x.md) [b](https://x.org/y) [c](#d) [e](../z.md#part)"), ["x.md", "../z.md"]);
}
