//! At each operation of a collection, or of an upload, somebody else does all of what he does.

use crate::world::{Node, World};
use floe::node::remote::doomed;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const DAY: i64 = 24 * 60 * 60;
/// More than the clocks of a store's machines differ by.
const LATER: i64 = 1000;

/// One list of doomed packs whose time is over, and garbage that is not doomed yet.
fn scene() -> (Arc<World>, Node) {
    let (world, node) = World::new(2);
    let garbage = |first: u64| {
        (0..8).for_each(|window| world.write(0, window, first + window));
        let uuid = world.upload(&node, 0, false).expect("an upload");
        node.repository.delete_manifest(uuid).expect("a deletion");
        world.cloud.pass(DAY);
    };
    garbage(0);
    node.collect(0).expect("a collection");
    world.cloud.pass(LATER);
    garbage(20);
    (Arc::new(world), node)
}

/// Does something with a visit at operation 0, 1, ... of a node, until the visit comes too late to happen.
fn at_each_operation(act: impl Fn(u64, Arc<AtomicBool>)) {
    for operation in 0.. {
        let visited = Arc::new(AtomicBool::new(false));
        act(operation, Arc::clone(&visited));
        if !visited.load(Ordering::SeqCst) {
            assert!(operation > 5, "there are no more than {operation} operations");
            return;
        }
    }
}

fn everything_holds(world: &World, listed: usize) {
    let fresh = Node::open(&world.cloud);
    assert_eq!(fresh.repository.manifest_names().expect("a list").len(), listed);
    world.check(&fresh);
    world.collect_all(&fresh);
    world.check(&Node::open(&world.cloud));
}

#[test]
fn an_upload_in_the_middle_of_a_collection_keeps_what_it_relies_on_and_what_it_put() {
    at_each_operation(|operation, visited| {
        let (world, collecting) = scene();
        let uploading = Node::open(&world.cloud);
        let (there, other) = (Arc::clone(&world), uploading.clone());
        collecting.fate.visit_at(operation, move || {
            for (window, number) in [0, 1, 2, 20, 21, 50, 51].into_iter().enumerate() {
                there.write(1, window as u64, number);
            }
            there.upload(&other, 1, false).expect("an upload");
            visited.store(true, Ordering::SeqCst);
        });
        collecting.collect(0).expect("a collection");
        collecting.fate.no_visit();
        let new = uploading.repository.codec().name(&crate::world::content(50));
        if let Some((pack, _)) = uploading.repository.index().read().find(&new) {
            let doomed = doomed::packs(uploading.repository.bucket()).expect("lists");
            assert!(!doomed.contains(&pack), "what was put at operation {operation} is doomed");
        }
        let listed = uploading.repository.manifest_names().expect("a list").len();
        everything_holds(&world, listed);
    });
}

#[test]
fn an_upload_that_ends_in_the_middle_of_a_collection_keeps_what_it_relies_on() {
    at_each_operation(|operation, visited| {
        let (world, collecting) = scene();
        (0..8).for_each(|window| world.write(1, window, 20 + window));
        // It began before what it relies on was doomed.
        let open = world.begin(&Node::open(&world.cloud), 1, false).expect("an upload");
        collecting.collect(0).expect("a collection");
        world.cloud.pass(LATER);
        let there = Arc::clone(&world);
        collecting.fate.visit_at(operation, move || {
            there.end(open).expect("it ends");
            visited.store(true, Ordering::SeqCst);
        });
        collecting.collect(0).expect("a collection");
        collecting.fate.no_visit();
        let listed = collecting.repository.manifest_names().expect("a list").len();
        everything_holds(&world, listed);
    });
}

#[test]
fn what_a_remote_snapshot_protected_passes_to_the_one_that_was_built_on_it() {
    at_each_operation(|operation, visited| {
        let (world, collecting) = scene();
        let uploading = Node::open(&world.cloud);
        (0..8).for_each(|window| world.write(1, window, 20 + window));
        let open = world.begin(&uploading, 1, false).expect("an upload");
        collecting.collect(0).expect("a collection");
        // This one needs what is doomed, and nothing but its manifest protects that.
        let base = world.end(open).expect("it ends");
        world.cloud.pass(LATER);
        world.write(1, 0, 100);
        let open = world.begin(&uploading, 1, true).expect("an upload");
        let there = Arc::clone(&world);
        collecting.fate.visit_at(operation, move || {
            there.end(open).expect("it ends");
            uploading.repository.delete_manifest(base).expect("a deletion");
            visited.store(true, Ordering::SeqCst);
        });
        collecting.collect(0).expect("a collection");
        collecting.fate.no_visit();
        everything_holds(&world, 1);
    });
}

#[test]
fn a_collection_in_the_middle_of_an_upload_leaves_what_the_upload_relies_on() {
    at_each_operation(|operation, visited| {
        let (world, collecting) = scene();
        let uploading = Node::open(&world.cloud);
        uploading.repository.refresh().expect("an index");
        for (window, number) in [0, 1, 2, 20, 21, 50, 51].into_iter().enumerate() {
            world.write(1, window as u64, number);
        }
        let (there, other) = (Arc::clone(&world), collecting.clone());
        uploading.fate.visit_at(operation, move || {
            other.collect(0).expect("a collection");
            there.cloud.pass(LATER);
            visited.store(true, Ordering::SeqCst);
        });
        let open = world.begin(&uploading, 1, false).expect("an upload");
        uploading.fate.no_visit();
        for _ in 0..2 {
            collecting.collect(0).expect("a collection");
            world.cloud.pass(LATER);
        }
        world.end(open).expect("it ends");
        everything_holds(&world, 1);
    });
}
