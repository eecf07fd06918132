//! What happens when the file under an open store is cut off, or a page of its memory map cannot be read?
//!
//! An `Io` error where it matters, and nothing else: the process lives, and so does everything that can still be read. Each case runs
//! in a process of its own, since one that gets it wrong dies, and since a handler of signals is the whole process's.
//!
//! The tests reach into the engine's memory map from outside, which is what `unsafe` is for here: they find the map
//! in `/proc/self/maps` and lay a map of an empty file over some of its pages, where every read then fails.
#![allow(unsafe_code)]

#[path = "map_under_attack/child.rs"]
mod child;
#[path = "map_under_attack/cut.rs"]
mod cut;
#[path = "map_under_attack/memory.rs"]
mod memory;
#[path = "map_under_attack/signals.rs"]
mod signals;
#[path = "map_under_attack/stage.rs"]
mod stage;
#[path = "map_under_attack/unreadable.rs"]
mod unreadable;
