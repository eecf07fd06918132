//! What is damaged or missing is found, and the remote snapshots that it affects are named.

use crate::world::{Node, World};
use floe::Uuid;
use floe::node::remote::rebuild::rebuild_index;
use floe::node::remote::repository::pack;
use floe::node::remote::verify::{Problem, ProblemKind, verify};
use std::collections::BTreeSet;

/// Two remote snapshots with nothing in common, and a third with half of what the first has.
fn scene() -> (World, Node, [Uuid; 3]) {
    let (world, node) = World::new(3);
    (0..8).for_each(|window| world.write(0, window, window));
    (0..8).for_each(|window| world.write(1, window, 20 + window));
    (0..4).for_each(|window| world.write(2, window, window));
    let uuids = [0, 1, 2].map(|drive| world.upload(&node, drive, false).expect("an upload"));
    (world, node, uuids)
}

fn problems(node: &Node, read_data: bool) -> Vec<Problem> {
    verify(&node.repository, read_data, &mut |_, _| ()).expect("a look").problems
}

fn affected(problem: &Problem) -> BTreeSet<Uuid> {
    problem.affected.iter().map(|affected| affected.uuid).collect()
}

fn put(node: &Node, name: &str, bytes: Vec<u8>) {
    node.repository.bucket().put(name, bytes.into()).expect("damage");
}

#[test]
fn what_is_whole_has_no_problems() {
    let (world, node, _) = scene();
    let verified = verify(&Node::open(&world.cloud).repository, true, &mut |_, _| ()).expect("a look");
    assert!(verified.problems.is_empty(), "{:?}", verified.problems);
    assert_eq!((verified.snapshots, verified.packs), (3, node.objects("packs").len() as u64));
    assert!(verified.read_bytes > 16 * 4096);
}

#[test]
fn damage_of_each_kind_is_found_and_names_whom_it_affects() {
    type Damage = fn(&Node);
    // What is done; whether all must be read to see it; as what it is found; which of the three it affects.
    let cases: [(&str, Damage, bool, ProblemKind, &[usize]); 12] = [
        (
            "a pack is gone",
            |node| node.repository.bucket().delete(&second_pack(node)).expect("damage"),
            false,
            ProblemKind::MissingPack,
            &[1],
        ),
        (
            "a shared pack is gone",
            |node| node.repository.bucket().delete(&first_pack(node)).expect("damage"),
            false,
            ProblemKind::MissingPack,
            &[0, 2],
        ),
        ("a pack is cut off", |node| cut(node, &second_pack(node)), false, ProblemKind::DamagedPack, &[1]),
        ("a list is damaged", |node| flip(node, &second_pack(node), |len| len - 40), false, ProblemKind::DamagedPack, &[1]),
        ("a trailer is damaged", |node| flip(node, &second_pack(node), |len| len - 16), false, ProblemKind::DamagedPack, &[1]),
        ("a chunk is damaged", |node| flip(node, &second_pack(node), |_| 5), true, ProblemKind::DamagedChunk, &[1]),
        ("a shared chunk is damaged", |node| flip(node, &first_pack(node), |_| 5), true, ProblemKind::DamagedChunk, &[0, 2]),
        ("a page is damaged", |node| flip(node, &page_pack(node, 1), |_| 5), false, ProblemKind::DamagedPage, &[1]),
        ("a manifest is damaged", |node| flip(node, &manifest(node, 1), |_| 5), false, ProblemKind::DamagedManifest, &[1]),
        (
            "an index object is gone",
            |node| node.repository.bucket().delete(&index_of(node, &second_pack(node))).expect("damage"),
            false,
            ProblemKind::MissingChunk,
            &[1],
        ),
        (
            "an index object is damaged",
            |node| flip(node, &index_of(node, &second_pack(node)), |_| 9),
            false,
            ProblemKind::DamagedIndex,
            &[],
        ),
        ("an object is nobody's", |node| put(node, "packs/stranger", vec![1]), false, ProblemKind::Unknown, &[]),
    ];
    for (what, damage, read_data, kind, whom) in cases {
        let (world, node, uuids) = scene();
        damage(&node);
        let problems = problems(&Node::open(&world.cloud), read_data);
        let found: Vec<&Problem> = problems.iter().filter(|problem| problem.kind == kind).collect();
        assert!(!found.is_empty(), "{what}: {problems:?}");
        let all: BTreeSet<Uuid> = found.into_iter().flat_map(affected).collect();
        assert_eq!(all, whom.iter().map(|number| uuids[*number]).collect(), "{what}: {problems:?}");
        let others: BTreeSet<Uuid> = problems.iter().flat_map(affected).collect();
        assert!(kind == ProblemKind::DamagedIndex || others == all, "{what}: {problems:?}");
    }
}

fn first_pack(node: &Node) -> String {
    data_packs(node).0
}

fn second_pack(node: &Node) -> String {
    data_packs(node).1
}

/// The packs of data of the first and of the second remote snapshot.
fn data_packs(node: &Node) -> (String, String) {
    let id = |number| node.repository.codec().name(&crate::world::content(number));
    let pack = |number| pack::name(node.repository.index().read().find(&id(number)).expect("it is there").0);
    (pack(0), pack(20))
}

fn manifests(node: &Node) -> Vec<floe::node::remote::repository::manifest::Manifest> {
    let mut manifests = node.repository.manifests().expect("a list").0;
    // Drives are numbered as they were uploaded.
    manifests.sort_by_key(|manifest| manifest.drive);
    manifests
}

fn page_pack(node: &Node, number: usize) -> String {
    let root = manifests(node)[number].map.expect("it is not empty");
    pack::name(node.repository.index().read().find(&root.page).expect("it is there").0)
}

fn manifest(node: &Node, number: usize) -> String {
    node.objects(&format!("snapshots/{}", manifests(node)[number].uuid)).remove(0)
}

fn index_of(node: &Node, pack: &str) -> String {
    let pack = pack::named(pack).expect("a pack");
    let names = |name: &String| {
        let bytes = node.repository.bucket().get(name).expect("an index object");
        let lists = floe::node::remote::repository::index::read(node.repository.codec(), name, &bytes).expect("an index object");
        lists.iter().any(|list| list.pack == pack)
    };
    node.objects("index").into_iter().find(names).expect("one names it")
}

fn cut(node: &Node, name: &str) {
    let mut bytes = node.repository.bucket().get(name).expect("an object").to_vec();
    bytes.pop();
    put(node, name, bytes);
}

fn flip(node: &Node, name: &str, at: fn(usize) -> usize) {
    let mut bytes = node.repository.bucket().get(name).expect("an object").to_vec();
    let at = at(bytes.len());
    bytes[at] ^= 1;
    put(node, name, bytes);
}

#[test]
fn a_lost_index_is_made_again() {
    let (world, node, _) = scene();
    let [first, second] = [first_pack(&node), second_pack(&node)].map(|pack| index_of(&node, &pack));
    node.repository.bucket().delete(&first).expect("damage");
    flip(&node, &second, |_| 9);
    let fresh = Node::open(&world.cloud);
    assert!(!problems(&fresh, false).is_empty());
    fresh.collect(0).expect_err("what is needed is not known");
    let rebuilt = rebuild_index(&fresh.repository, "a test", false).expect("an index");
    assert_eq!((rebuilt.packs, rebuilt.removed, rebuilt.damaged), (4, 1, vec![]));
    assert!(problems(&fresh, true).is_empty());
    world.check(&Node::open(&world.cloud));
}

#[test]
fn what_lay_in_a_lost_pack_is_put_again_once_the_index_is_made_again() {
    let (world, node, _) = scene();
    node.repository.bucket().delete(&first_pack(&node)).expect("damage");
    let fresh = Node::open(&world.cloud);
    assert_eq!(rebuild_index(&fresh.repository, "a test", false).expect("an index").removed, 1);
    for drive in 0..3 {
        world.upload(&fresh, drive, false).expect("an upload");
    }
    assert!(problems(&fresh, true).is_empty(), "{:?}", problems(&fresh, true));
    world.check(&Node::open(&world.cloud));
}
