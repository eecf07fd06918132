//! How are several ways to do the same compared, when the machine drifts?
//!
//! They take turns, in an order that changes, and each round yields a ratio of its own: what is printed is the median of those ratios, the
//! least and the most. A round before the first is not counted.

use std::time::Duration;

/// One way to do it.
pub struct Contestant<'a> {
    name: &'static str,
    before: Box<dyn FnMut() + 'a>,
    turn: Box<dyn FnMut() -> Duration + 'a>,
}

impl<'a> Contestant<'a> {
    /// A turn does all of a row's operations and says how long they took.
    pub fn new(name: &'static str, turn: impl FnMut() -> Duration + 'a) -> Self {
        Self { name, before: Box::new(|| ()), turn: Box::new(turn) }
    }

    pub fn named(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    /// Does this before each round, outside of the measurement.
    pub fn before(mut self, before: impl FnMut() + 'a) -> Self {
        self.before = Box::new(before);
        self
    }
}

/// What the table compares a row with.
#[derive(Clone, Copy)]
pub enum Target {
    /// Of the first contestant's speed, at least this.
    SpeedMin(f64),
    /// Of the first contestant's time, at most this.
    TimeMax(f64),
    /// The time itself, at most this.
    Within(Duration),
    /// Nothing was promised; the ratio is that of speeds.
    None,
}

/// Which of a round's turns stands for the round.
#[derive(Clone, Copy)]
pub enum Turn {
    Median,
    NinetyNinthOfHundred,
}

pub struct Row<'a> {
    name: &'static str,
    target: Target,
    turns: usize,
    operations: u32,
    stands: Turn,
    contestants: Vec<Contestant<'a>>,
}

impl<'a> Row<'a> {
    /// The first contestant is what the others are compared with.
    pub fn new(name: &'static str, target: Target, contestants: impl IntoIterator<Item = Contestant<'a>>) -> Self {
        let contestants = contestants.into_iter().collect();
        Self { name, target, turns: 1, operations: 1, stands: Turn::Median, contestants }
    }

    /// How many turns each contestant has in a round.
    pub fn turns(mut self, turns: usize) -> Self {
        self.turns = turns;
        self
    }

    /// How many operations a turn has.
    pub fn operations(mut self, operations: u32) -> Self {
        self.operations = operations;
        self
    }

    pub fn stands(mut self, stands: Turn) -> Self {
        self.stands = stands;
        self
    }
}

pub struct Table {
    rounds: usize,
    words: Vec<String>,
    begun: bool,
}

impl Table {
    pub fn new(rounds: usize, words: Vec<String>) -> Self {
        Self { rounds, words, begun: false }
    }

    /// Whether the row was asked for: all are, if none was named.
    pub fn wants(&self, name: &str) -> bool {
        self.words.is_empty() || self.words.iter().any(|word| name.contains(word.as_str()))
    }

    /// Measures a row and prints it.
    pub fn row(&mut self, mut row: Row<'_>) {
        if !self.wants(row.name) {
            return;
        }
        if !self.begun {
            println!("\nmedian of {} rounds [least..most]\n", self.rounds);
            println!("| figure | beside | time | floe | time | ratio | target | |\n|---|---|---|---|---|---|---|---|");
            self.begun = true;
        }
        let measured: Vec<Vec<f64>> = (0..=self.rounds).map(|round| row.round(round)).skip(1).collect();
        let of = |index: usize| measured.iter().map(move |round| round[index]);
        if let Target::Within(most) = row.target {
            for (index, contestant) in row.contestants.iter().enumerate() {
                let time = Spread::of(of(index));
                let met = verdict(time.median <= most.as_nanos() as f64);
                println!("| {} | | | {} | {} | | <= {most:?} | {met} |", row.name, contestant.name, time.as_time());
            }
            return;
        }
        let (base, others) = row.contestants.split_first().expect("a row has contestants");
        for (index, contestant) in others.iter().enumerate() {
            let speeds = measured.iter().map(|round| round[0] / round[index + 1]);
            let (ratio, target, met) = match row.target {
                Target::SpeedMin(least) => {
                    let ratio = Spread::of(speeds);
                    (ratio, format!("speed >= {least}"), verdict(ratio.median >= least))
                }
                Target::TimeMax(most) => {
                    let ratio = Spread::of(speeds.map(f64::recip));
                    (ratio, format!("time <= {most}"), verdict(ratio.median <= most))
                }
                Target::Within(_) | Target::None => (Spread::of(speeds), "(speed)".to_owned(), ""),
            };
            let (base_time, time) = (Spread::of(of(0)), Spread::of(of(index + 1)));
            let (base_time, time) = (base_time.as_time(), time.as_time());
            println!(
                "| {} | {} | {base_time} | {} | {time} | {:.2} [{:.2}..{:.2}] | {target} | {met} |",
                row.name, base.name, contestant.name, ratio.median, ratio.least, ratio.most
            );
        }
    }
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "**missed**" }
}

impl Row<'_> {
    /// Nanoseconds of an operation, for each contestant.
    fn round(&mut self, round: usize) -> Vec<f64> {
        for contestant in &mut self.contestants {
            (contestant.before)();
        }
        let count = self.contestants.len();
        let mut times = vec![Vec::with_capacity(self.turns); count];
        for turn in 0..self.turns {
            for place in 0..count {
                let index = if (round + turn).is_multiple_of(2) { place } else { count - 1 - place };
                times[index].push((self.contestants[index].turn)());
            }
        }
        let stands = |mut times: Vec<Duration>| {
            times.sort_unstable();
            let index = match self.stands {
                Turn::Median => times.len() / 2,
                Turn::NinetyNinthOfHundred => times.len() * 99 / 100,
            };
            times[index].as_nanos() as f64 / f64::from(self.operations)
        };
        times.into_iter().map(stands).collect()
    }
}

#[derive(Clone, Copy)]
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    fn of(figures: impl Iterator<Item = f64>) -> Self {
        let mut all: Vec<f64> = figures.collect();
        all.sort_unstable_by(f64::total_cmp);
        Self { median: all[all.len() / 2], least: all[0], most: all[all.len() - 1] }
    }

    fn as_time(&self) -> String {
        let (unit, name) = match self.median {
            ..1e3 => (1.0, "ns"),
            ..1e6 => (1e3, "us"),
            _ => (1e6, "ms"),
        };
        format!("{:.3} [{:.3}..{:.3}] {name}", self.median / unit, self.least / unit, self.most / unit)
    }
}
