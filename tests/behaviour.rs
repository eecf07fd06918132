//! What does each promise of docs/durability.md and docs/accounting.md look like in a case small enough to see?

#[path = "behaviour/accounting.rs"]
mod accounting;
#[path = "behaviour/bookmarks.rs"]
mod bookmarks;
#[path = "behaviour/freedom.rs"]
mod freedom;
#[path = "behaviour/instants.rs"]
mod instants;
#[path = "behaviour/limits.rs"]
mod limits;
#[path = "behaviour/notes.rs"]
mod notes;
#[path = "behaviour/picture.rs"]
mod picture;
#[path = "behaviour/ranges.rs"]
mod ranges;
#[path = "behaviour/waiting.rs"]
mod waiting;
#[path = "behaviour/whole.rs"]
mod whole;
