//! How does every cost grow with extents, snapshots and drives?
//!
//! Run `cargo bench --bench scale`, with `FLOE_SCALE=full` for the sizes of `docs/scale.md` (16 TiB with 100 million extents,
//! 100,000 snapshots, 10,000 drives: ten minutes, 8 GiB of memory), and with `-- extents`, `snapshots` or `drives` for one of the tables alone, `-- snapshots=5000` for one size.
//! `FLOE_SCALE_TOUCH=16` touches so many GiB of free memory once a size is built.
//! Prints Markdown. What is no matter of time is asserted: heap does not grow with extents.

#[path = "../../tests/counting/mod.rs"]
mod counting;
mod deletion;
mod device;
mod figures;
mod measure;
mod world;

use figures::{Figure, print_table};
use world::{BLOCK, World};

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

/// The default of the bound of changed pages, and what else the heap may take.
const DIRTY_BYTES_MAX: usize = 16 << 20;
const HEAP_BEYOND_MAX: usize = 64 << 20;

type Build = fn(u64) -> World;

fn main() {
    let is_full = std::env::var("FLOE_SCALE").is_ok_and(|size| size == "full");
    let least = if is_full { [1_000_000, 1000, 100] } else { [10_000, 100, 10] };
    let tables: [(&str, Build); 3] =
        [("extents", World::of_extents), ("snapshots", World::of_snapshots), ("drives", World::of_drives)];
    let chosen: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    for ((name, build), least) in tables.into_iter().zip(least) {
        let Some(sizes) = sizes_of(name, least, &chosen) else { continue };
        let columns: Vec<Vec<Figure>> = sizes.iter().map(|size| column(name, build, *size)).collect();
        let titles: Vec<String> = sizes.iter().map(|size| format!("{} {name}", figures::grouped(*size))).collect();
        print_table(&format!("By {name}"), &titles, &columns);
        if name == "extents" {
            columns.iter().for_each(|column| check_heap(column));
        }
    }
}

/// Memory is bounded by changed pages, whatever a drive maps.
fn check_heap(column: &[Figure]) {
    let peak = column.iter().find(|figure| figure.name == measure::HEAP_PEAK).expect("the figure").median();
    assert!(peak <= (DIRTY_BYTES_MAX + HEAP_BEYOND_MAX) as f64, "{peak} bytes of heap at the most");
}

/// Nothing if others were chosen.
fn sizes_of(name: &str, least: u64, chosen: &[String]) -> Option<Vec<u64>> {
    if chosen.is_empty() || chosen.iter().any(|word| word == name) {
        return Some(vec![least, 10 * least, 100 * least]);
    }
    let sizes = chosen.iter().filter_map(|word| word.strip_prefix(name)?.strip_prefix('=')?.parse().ok());
    Some(sizes.collect()).filter(|sizes: &Vec<u64>| !sizes.is_empty())
}

/// Where a hypervisor takes free memory back, the first touch of each page waits for it.
fn touch_free_memory() {
    let Some(gib) = std::env::var("FLOE_SCALE_TOUCH").ok().and_then(|gib| gib.parse::<usize>().ok()) else { return };
    let mut memory = memmap2::MmapMut::map_anon(gib << 30).expect("so much memory");
    memory.chunks_mut(BLOCK as usize).for_each(|page| page[0] = 1);
}

fn column(name: &str, build: Build, size: u64) -> Vec<Figure> {
    eprintln!("{size} {name}");
    let (built, world) = figures::nanoseconds(|| build(size));
    touch_free_memory();
    measure::all(world, size, built)
}
