//! How far is floe from its targets, beside a plain file on the same file system?
//!
//! `cargo bench --bench targets -- [--rounds N] [words of the rows to run]`; `FLOE_BENCH_DIR` says on which file system. It prints a row
//! of a Markdown table as each is measured. criterion measures one thing after the other, and a disk that drifts makes such ratios
//! worthless; here the contestants of a row take turns.

mod cold;
mod durable;
mod ground;
mod load;
mod metadata;
mod race;
mod reads;
#[path = "../setup/mod.rs"]
mod setup;
mod threads;
mod without_disk;
mod writes;

use ground::Ground;
use race::Table;

fn main() {
    let mut rounds = 7;
    let mut words = Vec::new();
    let mut options = std::env::args().skip(1);
    while let Some(option) = options.next() {
        match option.as_str() {
            "--rounds" => {
                let number = options.next().and_then(|number| number.parse().ok());
                rounds = number.filter(|rounds| *rounds > 0).expect("--rounds takes a number");
            }
            // Cargo says so to every benchmark.
            "--bench" => {}
            other if other.starts_with('-') => eprintln!("{other} means nothing to this benchmark"),
            word => words.push(word.to_owned()),
        }
    }
    let mut table = Table::new(rounds, words);
    without_disk::rows(&mut table);

    Ground::build(setup::MIB);
    let ground = Ground::open();
    writes::rows_in_order(&mut table, &ground);
    ground.clear();

    Ground::build(setup::MIB);
    let ground = Ground::open();
    reads::rows(&mut table, &ground);
    drop(ground);
    cold::rows(&mut table);
    Ground::open().clear();

    Ground::build(setup::BLOCK);
    let ground = Ground::open();
    writes::rows(&mut table, &ground);
    durable::rows(&mut table, &ground);
    metadata::rows(&mut table, &ground.store);
    threads::rows(&mut table, &ground);
    writes::rows_in_fresh_space(&mut table, &ground);
    ground.clear();
}
