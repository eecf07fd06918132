//! What the targets share with the tests.

#[path = "../../tests/forgery/mod.rs"]
pub mod forgery;
