//! The rules that keep those who upload and those who collect from doing each other harm, one by one.

use crate::shaky::Cloud;
use crate::world::{Node, World};
use floe::Uuid;
use floe::node::failure::FailureKind;
use floe::node::remote::collect::{Collected, Fate, Options, collect};
use floe::node::remote::lease::{Conditions, Lease, probe};
use floe::node::remote::usage::usage;
use std::sync::Arc;

const DAY: i64 = 24 * 60 * 60;

fn uploaded(world: &World, node: &Node, drive: usize, contents: impl IntoIterator<Item = u64>) -> Uuid {
    contents.into_iter().enumerate().for_each(|(window, number)| world.write(drive, window as u64, number));
    world.upload(node, drive, false).expect("an upload")
}

fn fates(collected: &Collected) -> Vec<Fate> {
    collected.fates.iter().map(|fate| fate.fate.clone()).collect()
}

#[test]
fn a_dry_run_says_the_same_and_changes_nothing() {
    let (world, node) = World::new(1);
    let first = uploaded(&world, &node, 0, 0..8);
    node.repository.delete_manifest(first).expect("a deletion");
    let before = node.objects("");
    let dry = collect(&node.repository, &Options::default(), true, &mut |_| ()).expect("a dry run");
    assert_eq!(node.objects(""), before);
    assert_eq!(fates(&dry), [Fate::Unreferenced, Fate::Unreferenced], "a pack of data and one of pages");
    assert_eq!(node.collect(0).expect("a collection").fates, dry.fates);
    assert_eq!(node.objects("packs").len(), 2, "doomed is not deleted");
    let second = node.collect(0).expect("a collection");
    assert_eq!(fates(&second), [Fate::Deleted, Fate::Deleted]);
    assert_eq!(second.freed_bytes, dry.doomed_bytes);
    assert_eq!(node.objects("packs"), Vec::<String>::new());
}

#[test]
fn the_grace_period_is_kept() {
    let (world, node) = World::new(1);
    let first = uploaded(&world, &node, 0, 0..8);
    node.repository.delete_manifest(first).expect("a deletion");
    node.collect(1000).expect("a collection");
    world.cloud.pass(600);
    assert_eq!(fates(&node.collect(1000).expect("a collection")), [Fate::Waiting(400), Fate::Waiting(400)]);
    world.cloud.pass(400);
    assert_eq!(fates(&node.collect(1000).expect("a collection")), [Fate::Deleted, Fate::Deleted]);
}

#[test]
fn an_upload_that_may_rely_on_doomed_packs_holds_them_back_until_it_is_over_or_dead() {
    let (world, node) = World::new(2);
    let first = uploaded(&world, &node, 0, 0..8);
    node.repository.delete_manifest(first).expect("a deletion");
    world.cloud.pass(DAY);
    (0..8).for_each(|window| world.write(1, window, window));
    let open = world.begin(&node, 1, false).expect("an upload");
    let (session, other) = (open.session.uuid(), Node::open(&world.cloud));
    other.collect(0).expect("a collection");
    let postponed = Fate::Postponed(session);
    world.cloud.pass(DAY - 3600);
    assert_eq!(fates(&other.collect(0).expect("a collection")), [postponed.clone(), postponed]);
    let last = world.end(open).expect("a manifest");
    let spared = other.collect(0).expect("a collection");
    assert!(spared.fates.iter().any(|fate| fate.fate == Fate::Spared), "{spared:?}");
    world.check(&Node::open(&world.cloud));

    other.repository.delete_manifest(last).expect("a deletion");
    let dead = world.begin(&node, 1, false).expect("an upload");
    other.collect(0).expect("a collection");
    world.cloud.pass(DAY + 3600);
    let collected = other.collect(0).expect("a collection");
    assert_eq!(collected.dead_sessions, [dead.session.uuid()]);
    world.collect_all(&other);
    assert_eq!(other.objects("packs"), Vec::<String>::new());
    let failure = world.end(dead).expect_err("what it relied on is gone");
    assert_eq!(failure.kind(), FailureKind::Io);
    assert_eq!(other.objects("snapshots"), Vec::<String>::new());
}

#[test]
fn an_upload_does_not_build_on_a_remote_snapshot_that_goes_meanwhile() {
    let (world, node) = World::new(1);
    let first = uploaded(&world, &node, 0, 0..8);
    world.write(0, 0, 100);
    let open = world.begin(&node, 0, true).expect("an upload");
    node.repository.delete_manifest(first).expect("a deletion");
    assert_eq!(world.end(open).expect_err("its base is gone").kind(), FailureKind::NotFound);
    assert_eq!(node.objects("snapshots"), Vec::<String>::new());
    assert_eq!(world.begin(&node, 0, true).err().map(|failure| failure.kind()), Some(FailureKind::NotFound));
    world.upload(&node, 0, false).expect("an upload that builds on nothing");
    world.check(&node);
}

#[test]
fn packs_of_a_running_upload_are_no_garbage() {
    let (world, node) = World::new(1);
    (0..8).for_each(|window| world.write(0, window, window));
    let open = world.begin(&node, 0, false).expect("an upload");
    let other = Node::open(&world.cloud);
    assert_eq!(fates(&other.collect(0).expect("a collection")), []);
    world.end(open).expect("a manifest");
    world.check(&other);
}

#[test]
fn mostly_dead_packs_are_packed_again_and_readers_notice_nothing() {
    let (world, node) = World::new(1);
    let first = uploaded(&world, &node, 0, 0..8);
    (2..8).for_each(|window| world.write(0, window, 10 + window));
    world.upload(&node, 0, true).expect("an upload");
    let reader = Node::open(&world.cloud);
    world.check(&reader);
    node.repository.delete_manifest(first).expect("a deletion");
    let collected = node.collect(0).expect("a collection");
    assert!(fates(&collected).contains(&Fate::MostlyDead), "{collected:?}");
    assert!(collected.repacked_bytes > 2 * 4096, "{collected:?}");
    world.check(&reader);
    node.collect(0).expect("a collection");
    world.check(&reader);
    assert_eq!(fates(&node.collect(0).expect("a collection")), []);
    let used = usage(&node.repository).expect("a count");
    assert_eq!(used.garbage_bytes, 0, "{used:?}");
    assert_eq!(used.live_bytes, used.snapshots[0].stored_bytes);
    assert_eq!(used.snapshots[0].unique_stored_bytes, used.snapshots[0].stored_bytes);
    assert_eq!(used.snapshots[0].referenced_bytes, 8 * 4096);
}

#[test]
fn usage_tells_what_is_shared_from_what_is_not() {
    let (world, node) = World::new(2);
    let first = uploaded(&world, &node, 0, 0..8);
    let second = uploaded(&world, &node, 1, [0, 1, 2, 3, 20]);
    let used = usage(&node.repository).expect("a count");
    let [one, two] = &used.snapshots[..] else { panic!("{used:?}") };
    assert_eq!((one.uuid, two.uuid), (first, second));
    // A stored block that cannot be compressed is one byte longer; a map is a page here.
    let page = |stored: u64, blocks: u64| stored - blocks * 4097;
    assert!(page(one.stored_bytes, 8) < 1000 && page(two.stored_bytes, 5) < 1000, "{used:?}");
    assert_eq!(one.stored_bytes - one.unique_stored_bytes, 4 * 4097);
    assert_eq!(two.stored_bytes - two.unique_stored_bytes, 4 * 4097);
    node.repository.delete_manifest(second).expect("a deletion");
    assert_eq!(usage(&node.repository).expect("a count").garbage_bytes, two.unique_stored_bytes);
}

#[test]
fn a_manifest_that_cannot_be_read_ends_a_collection_before_it_deletes() {
    let (world, node) = World::new(2);
    let first = uploaded(&world, &node, 0, 0..8);
    uploaded(&world, &node, 1, 20..28);
    node.repository.delete_manifest(first).expect("a deletion");
    node.collect(0).expect("a collection");
    let name = node.objects("snapshots").remove(0);
    node.repository.bucket().put(&name, b"{}"[..].into()).expect("damage");
    let before = node.objects("packs");
    let failure = node.collect(0).expect_err("nobody knows what is needed");
    assert!(failure.kind() == FailureKind::Corrupt && failure.to_string().contains(&name), "{failure}");
    assert_eq!(node.objects("packs"), before);
}

#[test]
fn a_store_that_ignores_conditions_is_refused_unless_somebody_promises_to_be_alone() {
    let (world, node) = World::new(1);
    let first = uploaded(&world, &node, 0, 0..8);
    node.repository.delete_manifest(first).expect("a deletion");
    assert_eq!(probe(node.repository.bucket()).expect("an answer"), Conditions::Enforced);
    world.cloud.ignore_conditions();
    assert_eq!(probe(node.repository.bucket()).expect("an answer"), Conditions::Ignored);
    let before = node.objects("");
    assert_eq!(node.collect(0).expect_err("it is refused").kind(), FailureKind::InvalidArgument);
    assert_eq!(node.objects(""), before);
    let alone = Options { alone: true, grace: std::time::Duration::ZERO, ..Options::default() };
    for _ in 0..2 {
        collect(&node.repository, &alone, false, &mut |_| ()).expect("a collection");
    }
    assert_eq!(node.objects("packs"), Vec::<String>::new());
}

fn take(cloud: &Arc<Cloud>, holder: &str) -> Result<Lease, FailureKind> {
    Lease::take(Node::open(cloud).repository.bucket(), holder, false).map_err(|failure| failure.kind())
}

#[test]
fn one_holds_the_lease_until_it_gives_it_back_or_is_too_late() {
    let (world, _) = World::new(1);
    let mut first = take(&world.cloud, "first").expect("it is free");
    assert_eq!(take(&world.cloud, "second").err(), Some(FailureKind::Locked));
    first.hold().expect("it still has it");
    world.cloud.pass(2 * 60 * 60);
    first.hold().expect("nobody came");
    let second = take(&world.cloud, "second").expect("it is too old");
    assert_eq!(first.hold().map_err(|failure| failure.kind()), Err(FailureKind::Locked));
    first.release().expect_err("it is another's");
    second.release().expect("it is given back");
    take(&world.cloud, "third").expect("it is free");
}

#[test]
fn of_those_that_take_over_an_old_lease_one_succeeds_whoever_comes_in_between() {
    let (world, _) = World::new(1);
    drop(take(&world.cloud, "first").expect("it is free"));
    world.cloud.pass(2 * 60 * 60);
    for operation in 0.. {
        let cloud = world.cloud.fork();
        let (node, other, won) = (Node::open(&cloud), Arc::clone(&cloud), Arc::new(std::sync::Mutex::new(None)));
        let theirs = Arc::clone(&won);
        node.fate.visit_at(operation, move || *theirs.lock().expect("nobody panicked") = Some(take(&other, "second")));
        let mine = Lease::take(node.repository.bucket(), "first", false);
        let Some(theirs) = won.lock().expect("nobody panicked").take() else { return };
        let holds = |lease: Result<Lease, FailureKind>| lease.is_ok_and(|mut lease| lease.hold().is_ok());
        let held = [holds(mine.map_err(|failure| failure.kind())), holds(theirs)];
        assert_eq!(held.iter().filter(|held| **held).count(), 1, "at operation {operation}: {held:?}");
    }
}
