//! What the targets share with the tests.

#[path = "../../tests/forgery/mod.rs"]
pub mod forgery;
#[path = "../../tests/talk/mod.rs"]
pub mod talk;
