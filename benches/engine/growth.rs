//! Does it stay as cheap as it is when there is more of everything?

use std::time::Duration;

use criterion::BenchmarkGroup;
use criterion::measurement::WallTime;

pub type Group<'a> = BenchmarkGroup<'a, WallTime>;

/// Cases of one benchmark, from the smallest to the largest.
pub struct Growth {
    what: String,
    /// Nanoseconds of each case.
    cases: Vec<(String, f64)>,
}

impl Growth {
    pub fn of(what: impl Into<String>) -> Self {
        Self { what: what.into(), cases: Vec::new() }
    }

    /// Measures a case: `times` does it so many times and says how long that took.
    pub fn case(&mut self, group: &mut Group<'_>, name: &str, mut times: impl FnMut(u64) -> Duration) {
        let mut samples = Vec::new();
        group.bench_function(format!("{}, {name}", self.what), |bencher| {
            bencher.iter_custom(|rounds| {
                let time = times(rounds);
                samples.push(time.as_nanos() as f64 / rounds as f64);
                time
            });
        });
        samples.sort_unstable_by(f64::total_cmp);
        // Nothing was measured if the case was filtered out.
        self.cases.extend(samples.get(samples.len() / 2).map(|median| (name.to_owned(), *median)));
    }
}

impl Drop for Growth {
    fn drop(&mut self) {
        if let [(smallest, few), .., (largest, many)] = &self.cases[..] {
            println!(
                "growth: {}: {:.2} from \"{smallest}\" ({few:.0} ns) to \"{largest}\" ({many:.0} ns)\n",
                self.what,
                many / few
            );
        }
    }
}

/// For [`Growth::case`]: does it one by one, and only what `once` measures counts.
pub fn each(mut once: impl FnMut() -> Duration) -> impl FnMut(u64) -> Duration {
    move |rounds| (0..rounds).map(|_| once()).sum()
}

/// For [`Growth::case`] too, where a clock around each would cost more than what it measures.
pub fn together(mut once: impl FnMut()) -> impl FnMut(u64) -> Duration {
    move |rounds| timed(|| (0..rounds).for_each(|_| once())).1
}

/// What it yields, and how long it took.
pub fn timed<T>(what: impl FnOnce() -> T) -> (T, Duration) {
    let start = std::time::Instant::now();
    let yielded = what();
    (yielded, start.elapsed())
}
