//! What does a durable change of metadata cost, beside a database made for such?
//!
//! Both keep 10,000 records of 200 bytes under 128-bit keys, and give one of them, at random, other bytes.

use floe::{Store, Uuid};
use redb::{Database, TableDefinition};

use crate::durable::on_disk;
use crate::load::timed;
use crate::race::{Contestant, Row, Table, Target};
use crate::setup::{Dice, Fresh, directory};

const RECORDS: u128 = 10_000;
const LENGTH: u64 = 200;
const TABLE: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("records");
const FILE: &str = "targets.redb";

pub fn rows(table: &mut Table, store: &Store) {
    let path = directory().join(FILE);
    let database = Database::create(&path).expect("a database");
    put(&database, (0..RECORDS).map(|key| (key, vec![1; LENGTH as usize])));
    for key in 0..RECORDS {
        store.set_note(Uuid::from_u128(key), &[1; LENGTH as usize]).expect("a note");
    }
    let (mut fresh, mut dice) = (Fresh::new(LENGTH), Dice(81));
    let in_redb = || {
        let (key, bytes) = (u128::from(dice.below(RECORDS as u64)), fresh.next().to_vec());
        timed(|| put(&database, [(key, bytes)]))
    };
    let (mut fresh, mut dice) = (Fresh::new(LENGTH), Dice(81));
    let in_store = || {
        let (key, bytes) = (Uuid::from_u128(u128::from(dice.below(RECORDS as u64))), fresh.next());
        timed(|| store.set_note(key, bytes).expect("a note"))
    };
    let contestants = [Contestant::new("redb", in_redb), Contestant::new("note", in_store)];
    table.row(Row::new("one of 10,000 records changed, durable", on_disk(Target::TimeMax(0.6)), contestants).turns(60));
    for key in 0..RECORDS {
        store.delete_note(Uuid::from_u128(key)).expect("a deletion");
    }
    drop(database);
    std::fs::remove_file(path).expect("a file to remove");
}

fn put(database: &Database, records: impl IntoIterator<Item = (u128, Vec<u8>)>) {
    let change = database.begin_write().expect("a change");
    {
        let mut table = change.open_table(TABLE).expect("a table");
        for (key, bytes) in records {
            table.insert(key, &bytes[..]).expect("a record");
        }
    }
    change.commit().expect("a commit");
}
