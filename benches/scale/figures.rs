//! How are figures of several sizes shown beside each other?

use std::time::Instant;

/// Samples of one figure: nanoseconds, bytes or a count a second.
pub struct Figure {
    pub name: &'static str,
    unit: Unit,
    samples: Vec<f64>,
}

#[derive(Clone, Copy)]
pub enum Unit {
    Time,
    Bytes,
    PerSecond,
}

impl Figure {
    pub fn new(name: &'static str, unit: Unit, mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        Self { name, unit, samples }
    }

    pub fn median(&self) -> f64 {
        self.samples[self.samples.len() / 2]
    }

    fn shown(&self) -> String {
        let show = |value| self.unit.show(value);
        let (least, most) = (self.samples[0], self.samples[self.samples.len() - 1]);
        if least == most { show(least) } else { format!("{} [{}..{}]", show(self.median()), show(least), show(most)) }
    }
}

impl Unit {
    fn show(self, value: f64) -> String {
        let steps: &[(f64, &str)] = match self {
            Self::Time => &[(1e9, "s"), (1e6, "ms"), (1e3, "us"), (1.0, "ns")],
            Self::Bytes => &[((1 << 30) as f64, "GiB"), ((1 << 20) as f64, "MiB"), (1024.0, "KiB"), (1.0, "B")],
            Self::PerSecond => &[(1e6, "M/s"), (1e3, "k/s"), (1.0, "/s")],
        };
        let (step, name) = steps.iter().find(|(step, _)| value >= *step).unwrap_or(&steps[steps.len() - 1]);
        let digits = if value / step >= 100.0 {
            0
        } else if value / step >= 10.0 {
            1
        } else {
            2
        };
        format!("{:.digits$} {name}", value / step)
    }
}

/// A number with commas.
pub fn grouped(number: u64) -> String {
    if number < 1000 { number.to_string() } else { format!("{},{:03}", grouped(number / 1000), number % 1000) }
}

/// Nanoseconds that `work` takes.
pub fn nanoseconds<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let start = Instant::now();
    let result = work();
    (start.elapsed().as_nanos() as f64, result)
}

/// A Markdown table: a row for each figure, a column for each size, and how much the last is of the first.
pub fn print_table(title: &str, sizes: &[String], columns: &[Vec<Figure>]) {
    println!("\n## {title}\n");
    println!("| median [least..most] | {} | last / first |", sizes.join(" | "));
    println!("|---{}|", "|---".repeat(sizes.len() + 1));
    for (row, first) in columns[0].iter().enumerate() {
        let cells: Vec<String> = columns.iter().map(|column| column[row].shown()).collect();
        let growth = columns[columns.len() - 1][row].median() / first.median();
        println!("| {} | {} | {growth:.2} |", first.name, cells.join(" | "));
    }
}
