//! How far is it, and how long will it take?
//!
//! Bars appear on stderr, only if that is a terminal, and vanish when the work is done.

use super::output::Style;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, IsTerminal};

const KNOWN_BYTES: &str = "{msg} [{wide_bar}] {percent:>3}% {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} ETA {eta}";
const UNKNOWN_BYTES: &str = "{msg} {spinner} {binary_bytes} {binary_bytes_per_sec} {elapsed}";
const COUNT: &str = "{msg} [{wide_bar}] {pos}/{len} ETA {eta}";

/// A bar, or nothing where none is wanted.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// Bytes done, of a total if that is known.
    pub fn bytes(style: Style, doing: &str, total_bytes: Option<u64>) -> Self {
        match total_bytes {
            Some(total) => Self::new(style, doing, Some(total), KNOWN_BYTES),
            None => Self::new(style, doing, None, UNKNOWN_BYTES),
        }
    }

    /// Things done, of a total that the first call of [`of_total`](Self::of_total) tells.
    pub fn count(style: Style, doing: &str) -> Self {
        Self::new(style, doing, Some(0), COUNT)
    }

    fn new(style: Style, doing: &str, total: Option<u64>, template: &str) -> Self {
        if style.json || style.quiet || !io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
        bar.set_style(ProgressStyle::with_template(template).expect("the template is well formed").progress_chars("=> "));
        bar.set_message(doing.to_owned());
        Self(bar)
    }

    /// So much is done.
    pub fn at(&self, position: u64) {
        self.0.set_position(position);
    }

    /// So much is done of so much.
    pub fn of_total(&self, position: u64, total: u64) {
        self.0.set_length(total);
        self.0.set_position(position);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::{COUNT, KNOWN_BYTES, UNKNOWN_BYTES};
    use indicatif::ProgressStyle;

    #[test]
    fn the_templates_are_well_formed() {
        for template in [KNOWN_BYTES, UNKNOWN_BYTES, COUNT] {
            ProgressStyle::with_template(template).expect(template);
        }
    }
}
