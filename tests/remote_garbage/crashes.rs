//! A collection crashes at each of its operations, and the next one goes on.

use crate::shaky::{Cloud, Crash};
use crate::world::{Node, World};
use floe::Uuid;
use floe::node::remote::collect::Fate;
use floe::node::remote::verify::{ProblemKind, verify};
use std::sync::Arc;

/// A location in which a collection has everything to do that there is: packs whose time is over, some of which are needed again, others
/// that nothing needs, mostly dead ones, and a dead session.
fn world() -> (World, Node, Uuid) {
    let (world, node) = World::new(3);
    // Of the first one's pack little stays in use.
    (0..8).for_each(|window| world.write(0, window, window));
    let first = world.upload(&node, 0, false).expect("an upload");
    (2..8).for_each(|window| world.write(0, window, 10 + window));
    let second = world.upload(&node, 0, true).expect("an upload");
    (0..4).for_each(|window| world.write(1, window, 30 + window));
    let third = world.upload(&node, 1, false).expect("an upload");
    drop(world.begin(&node, 2, false).expect("an upload that dies"));
    (0..3).for_each(|window| world.write(2, window, 40 + window));
    let fourth = world.upload(&node, 2, false).expect("an upload");
    world.cloud.pass(26 * 60 * 60);
    node.repository.delete_manifest(third).expect("a deletion");
    node.repository.delete_manifest(fourth).expect("a deletion");
    // This one relies on what is doomed while it runs.
    let collecting = Node::open(&world.cloud);
    (0..3).for_each(|window| world.write(1, window + 4, 40 + window));
    let straddling = world.begin(&node, 1, false).expect("an upload");
    collecting.collect(0).expect("a collection");
    let straddling = world.end(straddling).expect("it ends");
    node.repository.delete_manifest(first).expect("a deletion");
    world.cloud.pass(60 * 60);
    assert!(world.expected.lock().expect("nobody panicked").contains_key(&second));
    (world, collecting, straddling)
}

fn on(world: &World, cloud: &Arc<Cloud>) -> World {
    let (mut other, _) = World::new(3);
    other.cloud = Arc::clone(cloud);
    *other.expected.lock().expect("nobody panicked") = world.expected.lock().expect("nobody panicked").clone();
    other
}

#[test]
fn a_collection_that_crashes_anywhere_loses_nothing_and_the_next_one_goes_on() {
    let (world, _, _) = world();
    let fates = Node::open(&world.cloud.fork()).collect(0).expect("a collection").fates;
    for fate in [Fate::Deleted, Fate::MostlyDead] {
        assert!(fates.iter().any(|one| one.fate == fate), "the scene lacks {fate:?}: {fates:?}");
    }
    let mut operations = 0;
    'all: for number in 0.. {
        for crash in [Crash::Before, Crash::After] {
            let cloud = world.cloud.fork();
            let reader = Node::open(&cloud);
            reader.repository.refresh().expect("an index");
            let crashing = Node::open(&cloud);
            crashing.fate.crash_at(number, crash);
            let collected = crashing.collect(0);
            if !crashing.fate.has_crashed() {
                collected.expect("a collection without a crash");
                operations = number;
                break 'all;
            }
            let after = on(&world, &cloud);
            after.check(&Node::open(&cloud));
            after.check(&reader);
            let problems = verify(&Node::open(&cloud).repository, true, &mut |_, _| ()).expect("a look").problems;
            let worse = problems.into_iter().find(|problem| problem.kind != ProblemKind::OrphanedPack);
            assert!(worse.is_none(), "after a crash {crash:?} operation {number}: {worse:?}");
            // What it relies on must stay too.
            let uploading = Node::open(&cloud);
            (0..8).for_each(|window| after.write(0, window, 30 + window % 4));
            let uploaded = after.upload(&uploading, 0, false).expect("an upload");
            cloud.pass(2 * 60 * 60);
            let next = Node::open(&cloud);
            next.collect(0).unwrap_or_else(|failure| panic!("after a crash {crash:?} operation {number}: {failure}"));
            after.check(&Node::open(&cloud));
            after.collect_all(&next);
            after.check(&Node::open(&cloud));
            after.check(&reader);
            assert!(next.repository.manifest(uploaded).expect("a list").is_some());
            let stays = next.collect(0).expect("a collection").fates;
            assert_eq!(stays, [], "after a crash {crash:?} operation {number}");
            for uuid in next.repository.manifest_names().expect("a list").into_keys() {
                next.repository.delete_manifest(uuid).expect("a deletion");
            }
            after.collect_all(&next);
            assert_eq!(next.objects("packs"), Vec::<String>::new(), "after a crash {crash:?} operation {number}");
            assert_eq!(next.objects("index"), Vec::<String>::new(), "after a crash {crash:?} operation {number}");
            assert_eq!(next.objects("doomed"), Vec::<String>::new(), "after a crash {crash:?} operation {number}");
        }
    }
    assert!(operations > 30, "a collection has more operations than {operations}");
}
