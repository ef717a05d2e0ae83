// SPDX-License-Identifier: Apache-2.0
//! Writes for people (tables, bars, colours) and programs (JSON). What daemons say comes from outside: nothing of it reaches a terminal
//! that has not gone through [`clean`] (or [`harmless`], in JSON).

use crate::failure::Failure;
use comfy_table::{Attribute, Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, Width};
use serde::Serialize;
use std::fmt::Write as _;
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};
use std::time::Duration;

/// After this time people are told that something is under way.
const PATIENCE: Duration = Duration::from_secs(2);

/// Standard output.
#[derive(Debug)]
pub struct Out {
    out: BufWriter<StdoutLock<'static>>,
    /// For programs.
    pub json: bool,
    /// Whether colours are wanted.
    pub colour: bool,
}

impl Out {
    /// For people, or programs.
    pub fn new(json: bool) -> Out {
        let stdout = io::stdout();
        let unwanted = |name| std::env::var_os(name).is_some_and(|it| !it.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|it| it == "dumb");
        let colour = stdout.is_terminal() && !unwanted("NO_COLOR") && !dumb;
        Out { out: BufWriter::new(stdout.lock()), json, colour }
    }

    /// A line. Its text has been made harmless.
    pub fn line(&mut self, text: impl AsRef<str>) -> Result<(), Failure> {
        writeln!(self.out, "{}", text.as_ref().trim_end())?;
        Ok(())
    }

    /// A line in red.
    pub fn alarm(&mut self, text: &str) -> Result<(), Failure> {
        self.line(if self.colour { format!("\x1b[31m{text}\x1b[0m") } else { text.to_owned() })
    }

    /// A message, as an object on one line.
    pub fn object(&mut self, message: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(message).map_err(|error| Failure::host(format!("no JSON: {error}")))?;
        self.line(harmless(&text))?;
        self.flush()
    }

    /// A table, and its rows are gone.
    pub fn table(&mut self, table: &mut Table) -> Result<(), Failure> {
        let text = table.draw(self.colour);
        writeln!(self.out, "{text}")?;
        Ok(())
    }

    /// What was written before can be seen now.
    pub fn flush(&mut self) -> Result<(), Failure> {
        Ok(self.out.flush()?)
    }
}

/// Whether a character would be an order to a terminal, or turns text around.
fn orders(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Text for a terminal, on one line: what would be an order is replaced by "?".
pub fn clean(text: &str) -> String {
    text.chars().map(|it| if orders(it) { '?' } else { it }).collect()
}

/// JSON for a terminal. Such characters are in strings only, where they can be written by number.
fn harmless(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if orders(character) {
            // All of them are in the basic plane.
            write!(text, "\\u{:04x}", u32::from(character)).expect("a string takes everything");
        } else {
            text.push(character);
        }
    }
    text
}

/// A cell of a table.
#[derive(Debug)]
pub enum Value {
    /// Text of a daemon, to the left.
    Text(String),
    /// The same, in red.
    Alarm(String),
    /// To the right.
    Number(String),
}

/// Text of a daemon.
pub fn text(it: impl AsRef<str>) -> Value {
    Value::Text(clean(it.as_ref()))
}

/// Text that should be seen.
pub fn alarm(it: impl AsRef<str>) -> Value {
    Value::Alarm(clean(it.as_ref()))
}

/// Text, in red if so.
pub fn alarm_if(it: impl AsRef<str>, alarming: bool) -> Value {
    if alarming { alarm(it) } else { text(it) }
}

/// A number, to the right.
pub fn number(it: impl ToString) -> Value {
    Value::Number(it.to_string())
}

/// A number that may be absent.
pub fn maybe(it: Option<impl ToString>) -> Value {
    Value::Number(it.map_or_else(|| "-".into(), |it| it.to_string()))
}

/// A large number, in groups of three digits.
pub fn count(it: u64) -> Value {
    Value::Number(grouped(it))
}

/// Rows below headings. Only the last column is wrapped if a terminal is too narrow; all others stay whole.
#[derive(Debug)]
pub struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<Value>>,
    /// Of the part that was drawn before.
    widths: Vec<u16>,
}

impl Table {
    /// With these headings; empty for none.
    pub fn new(head: &[&'static str]) -> Table {
        Table { head: head.to_vec(), rows: Vec::new(), widths: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, row: Vec<Value>) {
        self.rows.push(row);
    }

    /// How many rows are waiting.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Headings are drawn once, and columns do not become narrower later.
    fn draw(&mut self, colour: bool) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        if colour {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        if let Some((width, _)) = ratatui::crossterm::terminal::size().ok().filter(|_| io::stdout().is_terminal()) {
            table.set_width(width);
        }
        let first = self.widths.is_empty();
        let rights: Vec<bool> =
            self.rows.first().into_iter().flatten().map(|it| matches!(it, Value::Number(_))).collect();
        if first && !self.head.is_empty() {
            let align = |place: usize| {
                if rights.get(place) == Some(&true) { CellAlignment::Right } else { CellAlignment::Left }
            };
            let cell = |(place, head): (usize, &&str)| {
                Cell::new(head).add_attribute(Attribute::Bold).set_alignment(align(place))
            };
            table.set_header(self.head.iter().enumerate().map(cell));
        }
        for row in self.rows.drain(..) {
            table.add_row(row.into_iter().map(cell));
        }
        let widths: Vec<u16> = table.column_max_content_widths().iter().map(|it| it + 2).collect();
        self.widths = widths.iter().enumerate().map(|(at, it)| *it.max(self.widths.get(at).unwrap_or(&0))).collect();
        let last = self.widths.len().saturating_sub(1);
        for (at, width) in self.widths.iter().enumerate().take(last) {
            if let Some(column) = table.column_mut(at) {
                column.set_padding((0, 2)).set_constraint(ColumnConstraint::Absolute(Width::Fixed(*width)));
            }
        }
        if let Some(column) = table.column_mut(last) {
            column.set_padding((0, 0));
            if rights.last() == Some(&true) {
                column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(self.widths[last] - 2)));
            }
        }
        table.trim_fmt()
    }
}

fn cell(value: Value) -> Cell {
    match value {
        Value::Text(text) => Cell::new(text),
        Value::Alarm(text) => Cell::new(text).fg(Color::Red),
        Value::Number(text) => Cell::new(text).set_alignment(CellAlignment::Right),
    }
}

/// 1 234 567.
pub fn grouped(it: u64) -> String {
    let digits = it.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// A rate, with three digits or four and a decimal prefix.
pub fn rate(it: f64) -> String {
    let (mut it, mut prefix) = (it, "");
    for next in ["k", "M", "G", "T"] {
        if it < 1000.0 {
            break;
        }
        (it, prefix) = (it / 1000.0, next);
    }
    if prefix.is_empty() { format!("{it:.0}") } else { format!("{it:.2} {prefix}") }
}

/// A time that passes, in the largest unit that fits.
pub fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 10.0 => format!("{s:.2} s"),
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3600.0),
        s => format!("{:.1} d", s / 86_400.0),
    }
}

/// A time of the API (nanoseconds since 1970), as local time.
pub fn time(ns: u64) -> String {
    let local = jiff::Timestamp::from_nanosecond(ns.into()).map(|it| it.to_zoned(jiff::tz::TimeZone::system()));
    local.map_or_else(|_| format!("{ns} ns"), |it| it.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string())
}

/// A bar for a part of a whole.
pub fn bar(part: f64, width: usize) -> String {
    let full = (part.clamp(0.0, 1.0) * width as f64).round() as usize;
    "█".repeat(full) + &"░".repeat(width - full)
}

/// `part` in percent of `whole`.
pub fn percent(part: f64, whole: f64) -> String {
    if whole > 0.0 { format!("{:.1} %", 100.0 * part / whole) } else { "-".into() }
}

/// An address with a port.
pub fn endpoint(address: &str, port: u32) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

/// Waits for `work`; after a while a terminal shows that something is done.
pub async fn patiently<T>(what: &'static str, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    if !io::stderr().is_terminal() {
        return work.await;
    }
    if let Ok(done) = tokio::time::timeout(PATIENCE, work.as_mut()).await {
        return done;
    }
    let spinner = indicatif::ProgressBar::new_spinner().with_message(what);
    spinner.enable_steady_tick(Duration::from_millis(120));
    let done = work.await;
    spinner.finish_and_clear();
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_to_terminals_are_replaced() {
        assert_eq!(clean("a\x1b[31mb\n\u{9b}c\u{7f}\u{202e}d"), "a?[31mb??c??d");
        let json = serde_json::to_string("a\x1b\u{9b}\u{7f}\u{202e}ä").expect("a string");
        assert_eq!(harmless(&json), "\"a\\u001b\\u009b\\u007f\\u202eä\"");
        assert_eq!(serde_json::from_str::<String>(&harmless(&json)).expect("JSON"), "a\x1b\u{9b}\u{7f}\u{202e}ä");
    }

    #[test]
    fn numbers_for_people() {
        assert_eq!(
            [grouped(0), grouped(999), grouped(1000), grouped(u64::MAX)],
            ["0", "999", "1 000", "18 446 744 073 709 551 615"]
        );
        assert_eq!([rate(0.0), rate(999.4), rate(1000.0), rate(14_880_000.0)], ["0", "999", "1.00 k", "14.88 M"]);
        assert_eq!(
            [duration(0.08), duration(59.0), duration(300.0), duration(7200.0)],
            ["0.08 s", "59 s", "5 min", "2.0 h"]
        );
        assert_eq!([bar(0.0, 4), bar(0.5, 4), bar(f64::NAN, 4), bar(7.0, 4)], ["░░░░", "██░░", "░░░░", "████"]);
        assert_eq!(time(u64::MAX), time(u64::MAX), "no panic");
    }

    #[test]
    fn later_rows_stay_below_the_first() {
        let mut table = Table::new(&["name", "n"]);
        table.row(vec![text("longer"), number(1)]);
        assert_eq!(table.draw(false), "name    n\nlonger  1");
        table.row(vec![text("b"), number(22)]);
        assert_eq!(table.draw(false), "b       22");
    }
}
