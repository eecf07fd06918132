//! Uploads, deletions and collections of two nodes, one in the middle of the other: is every remote snapshot always what it was?

use crate::random::Random;
use crate::shaky::Crash;
use crate::world::{Node, Open, WINDOWS, World};
use floe::Uuid;
use floe::node::failure::FailureKind;
use std::sync::{Arc, Mutex};

const DRIVES: u64 = 3;
/// So few that images share chunks, and chunks come back.
const CONTENTS: u64 = 12;
/// Longer than an upload has operations, so that some are not disturbed.
const OPERATIONS: u64 = 30;

fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// Says how to do it again, if it fails.
struct Replay {
    seed: u64,
    steps: u64,
}

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { seed, steps } = self;
            eprintln!(
                "replay: FLOE_SEED={seed} FLOE_RUNS=1 FLOE_STEPS={steps} cargo test --all-features --test remote_garbage story"
            );
        }
    }
}

struct Story {
    world: World,
    nodes: Mutex<Vec<Node>>,
    open: Mutex<Vec<Open>>,
}

impl Story {
    fn node(&self, number: u64) -> Node {
        let nodes = self.nodes.lock().expect("nobody panicked");
        nodes[number as usize % nodes.len()].clone()
    }

    fn listed(&self, node: &Node) -> Vec<Uuid> {
        node.repository.manifest_names().expect("a list").into_keys().collect()
    }

    /// What may happen at any moment, also in the middle of what another node does.
    fn visit(&self, random: &mut Random, node: &Node, patient: bool) {
        match random.below(7) {
            0 => {
                let listed = self.listed(node);
                if !listed.is_empty() {
                    let uuid = listed[random.below(listed.len() as u64) as usize];
                    node.repository.delete_manifest(uuid).expect("a deletion");
                }
            }
            1 => {
                // A collection must not find that its lease is over, but an upload may sleep for long.
                let seconds = if patient { [60, 600, 90_000] } else { [60, 600, 1200] };
                self.world.cloud.pass(seconds[random.below(3) as usize]);
            }
            2 => self.end_one(random),
            3 => {
                let begun = self.world.begin(node, random.below(DRIVES) as usize, random.one_in(2));
                self.open.lock().expect("nobody panicked").extend(begun.ok());
            }
            _ => self.collect(random, node),
        }
    }

    fn end_one(&self, random: &mut Random) {
        let mut open = self.open.lock().expect("nobody panicked");
        if open.is_empty() {
            return;
        }
        let number = random.below(open.len() as u64) as usize;
        let ended = open.swap_remove(number);
        drop(open);
        // It may have slept for too long, or what it builds on was deleted.
        self.world.end(ended).map(drop).unwrap_or_default();
    }

    fn collect(&self, random: &mut Random, node: &Node) {
        match node.collect([0, 0, 7200][random.below(3) as usize]) {
            Ok(_) => {}
            Err(failure) => assert_eq!(failure.kind(), FailureKind::Locked, "{failure}"),
        }
    }

    fn step(self: &Arc<Self>, random: &mut Random) {
        let number = random.below(2);
        let (node, other) = (self.node(number), self.node(number + 1));
        let what = random.below(12);
        let is_upload = what < 5;
        if random.one_in(2) {
            let (story, mut fresh, at) = (Arc::clone(self), Random::new(random.next()), random.below(OPERATIONS));
            node.fate.visit_at(at, move || {
                for _ in 0..=fresh.below(3) {
                    story.visit(&mut fresh, &other, is_upload);
                }
            });
        }
        match what {
            0..5 => {
                let drive = random.below(DRIVES);
                for _ in 0..random.below(4) {
                    self.world.write(drive as usize, random.below(WINDOWS), random.below(CONTENTS));
                }
                let begun = self.world.begin(&node, drive as usize, random.one_in(2));
                match (begun, random.below(6)) {
                    (Ok(open), 0) => self.open.lock().expect("nobody panicked").push(open),
                    (Ok(open), 1) => drop(open),
                    (Ok(open), _) => self.world.end(open).map(drop).unwrap_or_default(),
                    // What it builds on was deleted.
                    (Err(_), _) => {}
                }
            }
            5..9 => self.collect(random, &node),
            9 => {
                node.fate.no_visit();
                self.visit(random, &node, true);
            }
            10 => self.world.cloud.pass([600, 8000, 90_000][random.below(3) as usize]),
            _ => {
                // It crashes, and another one takes its place.
                node.fate.no_visit();
                node.fate.crash_at(random.below(OPERATIONS), if random.one_in(2) { Crash::Before } else { Crash::After });
                let done = match random.below(2) {
                    0 => self.world.upload(&node, random.below(DRIVES) as usize, random.one_in(2)).map(drop),
                    _ => node.collect(0).map(drop),
                };
                self.open.lock().expect("nobody panicked").retain(|open| !Arc::ptr_eq(&open.node.fate, &node.fate));
                self.nodes.lock().expect("nobody panicked")[number as usize] = Node::open(&self.world.cloud);
                done.unwrap_or_default();
            }
        }
        node.fate.no_visit();
    }
}

fn run(seed: u64, steps: u64) {
    let _replay = Replay { seed, steps };
    let mut random = Random::new(seed);
    let (world, node) = World::new(DRIVES as usize);
    let nodes = Mutex::new(vec![node, Node::open(&world.cloud)]);
    let story = Arc::new(Story { world, nodes, open: Mutex::default() });
    let reader = Node::open(&story.world.cloud);
    for _ in 0..steps {
        story.step(&mut random);
        story.world.check(&Node::open(&story.world.cloud));
        // Its index is old, and it may not have read it since packs went.
        if random.one_in(3) {
            story.world.check(&reader);
        }
    }
    story.open.lock().expect("nobody panicked").clear();
    for uuid in story.listed(&reader) {
        reader.repository.delete_manifest(uuid).expect("a deletion");
    }
    story.world.collect_all(&Node::open(&story.world.cloud));
    let left: Vec<String> = reader.objects("").into_iter().filter(|name| !name.starts_with("lease/")).collect();
    assert_eq!(left, ["floe-repository"], "nothing is left when nothing is needed");
}

#[test]
fn nothing_that_is_listed_is_ever_lost_and_nothing_else_stays() {
    let first = asked("FLOE_SEED").unwrap_or(1);
    for seed in first..first + asked("FLOE_RUNS").unwrap_or(12) {
        run(seed, asked("FLOE_STEPS").unwrap_or(60));
    }
}
