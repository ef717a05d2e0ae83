// SPDX-License-Identifier: Apache-2.0
//! Text for people: tables, colour on a terminal, and progress of what takes long.

use crate::say;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Progress is shown for what takes longer than this.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether text on standard output may have colour: only on a terminal, and not if `NO_COLOR` is set (no-color.org).
#[derive(Clone, Copy, Debug)]
pub struct Style {
    colour: bool,
}

impl Style {
    /// For standard output.
    pub fn stdout() -> Style {
        Style { colour: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()) }
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// A heading.
    pub fn heading(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// A check that holds, or not.
    pub fn check(self, holds: bool, text: &str) -> String {
        if holds {
            format!("{} {text}", self.paint("32", "ok  "))
        } else {
            format!("{} {text}", self.paint("1;31", "FAIL"))
        }
    }
}

/// A table: the first column to the left, the others to the right.
#[derive(Clone, Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column heads.
    pub fn new<T: Into<String>>(heads: impl IntoIterator<Item = T>) -> Table {
        Table { rows: vec![heads.into_iter().map(Into::into).collect()] }
    }

    /// Appends a row.
    pub fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// Prints it, indented by two.
    ///
    /// # Errors
    /// Those of standard output.
    pub fn print(&self, style: Style) -> std::io::Result<()> {
        let columns = self.rows[0].len();
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for (number, row) in self.rows.iter().enumerate() {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
            let line = cells.collect::<Vec<_>>().join("  ");
            let line = line.trim_end();
            say!("  {}", if number == 0 { style.heading(line) } else { line.to_owned() })?;
        }
        Ok(())
    }
}

/// A progress bar on standard error: only on a terminal, only after [`PATIENCE`].
pub struct Progress {
    bar: ProgressBar,
    begun: Instant,
    shown: bool,
}

impl Progress {
    /// For `total` units of work.
    pub fn new(what: &'static str, total: u64) -> Progress {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden()).with_message(what);
        let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Progress { bar, begun: Instant::now(), shown: false }
    }

    /// `units` more are done.
    pub fn advance(&mut self, units: u64) {
        if !self.shown && self.begun.elapsed() > PATIENCE && std::io::stderr().is_terminal() {
            self.shown = true;
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.inc(units);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A share in percent with two digits.
pub fn percent(part: f64, whole: f64) -> String {
    if whole == 0.0 { "-".into() } else { format!("{:.2} %", 100.0 * part / whole) }
}
