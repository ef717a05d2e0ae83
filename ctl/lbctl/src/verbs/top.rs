// SPDX-License-Identifier: Apache-2.0
//! The cluster at a glance, refreshed each second: members, shares of rules, rates by verdict.

use super::counters::per_second;
use super::status::{named, summary};
use crate::connect::Daemon;
use crate::failure::Failure;
use crate::show::{self, Out, clean, duration, rate};
use hashgate_api::v1::{CountersReply, CountersRequest, StatusReply, StatusRequest};
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::Line;
use ratatui::widgets::{Block, Paragraph, Row, Table};
use ratatui::{Frame, Terminal};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

const REFRESH: Duration = Duration::from_secs(1);
/// Width of a picture that goes to no terminal.
const WIDTH: u16 = 100;
const BAR: usize = 30;

/// What a picture is made of.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Sample {
    /// The cluster.
    pub status: StatusReply,
    /// Counters of this host.
    pub counters: CountersReply,
}

async fn sample(daemon: &Daemon) -> Result<Sample, Failure> {
    let status = daemon.answer(daemon.client().status(StatusRequest {})).await?;
    let counters = daemon.answer(daemon.client().counters(CountersRequest {})).await?;
    Ok(Sample { status, counters })
}

/// Shows it until q is pressed; once if the output is no terminal.
pub async fn run(out: &mut Out, daemon: &Daemon) -> Result<(), Failure> {
    let first = sample(daemon).await?;
    if out.json {
        return out.object(&first);
    }
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        let second = async {
            tokio::time::sleep(REFRESH).await;
            sample(daemon).await
        };
        return picture(&View::new(second.await?, Some(&first))).iter().try_for_each(|line| out.line(line));
    }
    let colour = out.colour;
    // Drawing goes around `out`, which has written nothing yet.
    let mut terminal = ratatui::try_init().map_err(|error| Failure::host(format!("no such terminal: {error}")))?;
    let done = live(&mut terminal, daemon, first, colour).await;
    ratatui::restore();
    done
}

async fn live(
    terminal: &mut ratatui::DefaultTerminal,
    daemon: &Daemon,
    first: Sample,
    colour: bool,
) -> Result<(), Failure> {
    let mut view = View::new(first.clone(), None);
    let mut last = first;
    loop {
        let until = Instant::now() + REFRESH;
        loop {
            terminal.draw(|frame| draw(frame, &view, colour))?;
            // Nothing else has to run meanwhile.
            if !event::poll(until.saturating_duration_since(Instant::now()))? {
                break;
            }
            if let Event::Key(key) = event::read()? {
                let interrupt = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
                if interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) {
                    return Ok(());
                }
            }
        }
        match sample(daemon).await {
            Ok(now) => {
                view = View::new(now.clone(), Some(&last));
                last = now;
            }
            // The daemon may be on its way back.
            Err(failure) => view.error = Some(clean(failure.text())),
        }
    }
}

struct View {
    sample: Sample,
    /// Packets and bits per second by verdict.
    rates: Option<BTreeMap<String, (f64, f64)>>,
    error: Option<String>,
}

impl View {
    fn new(sample: Sample, before: Option<&Sample>) -> View {
        let rates = before.map(|before| {
            let seconds = sample.counters.time.saturating_sub(before.counters.time) as f64 / 1e9;
            let (now, then) = (by_verdict(&sample.counters), by_verdict(&before.counters));
            let rate = |(verdict, (packets, bytes)): (String, (u64, u64))| {
                let (packets_then, bytes_then) = then.get(&verdict).copied().unwrap_or((0, 0));
                (verdict, (per_second(packets, packets_then, seconds), 8.0 * per_second(bytes, bytes_then, seconds)))
            };
            now.into_iter().map(rate).collect()
        });
        View { sample, rates, error: None }
    }
}

fn by_verdict(counters: &CountersReply) -> BTreeMap<String, (u64, u64)> {
    let mut sums = BTreeMap::new();
    for it in &counters.reasons {
        let (packets, bytes): &mut (u64, u64) = sums.entry(it.verdict.clone()).or_default();
        (*packets, *bytes) = (packets.saturating_add(it.packets), bytes.saturating_add(it.bytes));
    }
    sums
}

/// A picture as text, high enough for everything.
fn picture(view: &View) -> Vec<String> {
    let heights =
        [head(view).len(), view.sample.status.members.len() + 3, shares(view).len() + 2, rates(view).len() + 3];
    let height = heights.iter().sum::<usize>().min(1000) as u16;
    let mut terminal = match Terminal::new(TestBackend::new(WIDTH, height)) {
        Ok(terminal) => terminal,
        Err(never) => match never {},
    };
    match terminal.draw(|frame| draw(frame, view, false)) {
        Ok(_) => {}
        Err(never) => match never {},
    }
    let cells = terminal.backend().buffer().content();
    cells.chunks(WIDTH.into()).map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>()).collect()
}

fn draw(frame: &mut Frame, view: &View, colour: bool) {
    let (head, shares, rates) = (head(view), shares(view), rates(view));
    let members = view.sample.status.members.len() + 3;
    let heights = [head.len(), members, shares.len() + 2, rates.len() + 3];
    // The last takes what is left, so that a small terminal cuts from below.
    let layout = Layout::vertical(heights.map(|it| Constraint::Length(it.min(1000) as u16)));
    let [top, middle, below, bottom] = layout.areas(frame.area());
    let problems = view.sample.status.problems.len() + usize::from(view.error.is_some());
    let red = |at: usize, line: String| {
        if at < problems && colour { Line::from(line).fg(Color::Red) } else { Line::from(line) }
    };
    let head: Vec<Line> = head.into_iter().enumerate().map(|(at, line)| red(at, line)).collect();
    frame.render_widget(Paragraph::new(head), top);
    draw_members(frame, view, middle, colour);
    let shares: Vec<Line> = shares.into_iter().map(Line::from).collect();
    frame.render_widget(Paragraph::new(shares).block(Block::bordered().title("shares of this host's view")), below);
    let rows = rates.into_iter().map(|row| Row::new(row.map(Line::from)));
    let columns = [Constraint::Length(12), Constraint::Length(14), Constraint::Length(14)];
    let table = Table::new(rows, columns).header(Row::new(["verdict", "packets/s", "bits/s"]).bold());
    frame.render_widget(table.block(Block::bordered().title("this host's NIC (q: end)")), bottom);
}

/// Problems, then this member and the cluster.
fn head(view: &View) -> Vec<String> {
    let problems = view.error.iter().cloned().chain(view.sample.status.problems.iter().map(|it| clean(it)));
    problems.map(|it| format!("! {it}")).chain(summary(&view.sample.status)).collect()
}

fn draw_members(frame: &mut Frame, view: &View, area: Rect, colour: bool) {
    let row = |member: &hashgate_api::v1::Member| {
        let well = ["self", "member"].contains(&member.state.as_str());
        let cells = [
            member.id.to_string(),
            named(member),
            member.state.clone(),
            member.phase.clone().unwrap_or_else(|| "-".into()),
            member.heard_seconds.map_or_else(|| "-".into(), duration),
            member.heartbeats_missed.to_string(),
            member.capacity.map_or_else(|| "-".into(), |it| format!("{it} %")),
        ];
        let style = if well || !colour { Style::new() } else { Style::new().fg(Color::Red) };
        Row::new(cells.map(|it| clean(&it))).style(style)
    };
    let columns = [2, 20, 9, 11, 9, 8, 8].map(Constraint::Length);
    let head = Row::new(["id", "host", "state", "phase", "heard", "missed", "capacity"]).bold();
    let table = Table::new(view.sample.status.members.iter().map(row), columns).header(head);
    frame.render_widget(table.block(Block::bordered().title("members")), area);
}

/// A line for each rule and member that owns buckets of it.
fn shares(view: &View) -> Vec<String> {
    let members = &view.sample.status.members;
    let mut rules: Vec<&String> = Vec::new();
    for share in members.iter().flat_map(|it| &it.shares) {
        if !rules.contains(&&share.rule) {
            rules.push(&share.rule);
        }
    }
    let mut lines = Vec::new();
    for rule in rules {
        for member in members {
            for share in member.shares.iter().filter(|it| it.rule == *rule) {
                let part = f64::from(share.buckets) / 4096.0;
                let state = if share.disabled {
                    " disabled"
                } else if share.draining {
                    " draining"
                } else {
                    ""
                };
                let line = format!(
                    "{:<14} {:<14} {} {:>5.1} %{state}",
                    rule,
                    named(member),
                    show::bar(part, BAR),
                    100.0 * part
                );
                lines.push(clean(&line));
            }
        }
    }
    lines
}

fn rates(view: &View) -> Vec<[String; 3]> {
    let rates = view.rates.iter().flatten();
    rates
        .map(|(verdict, (packets, bits))| {
            [clean(verdict), format!("{:>12}", rate(*packets)), format!("{:>12}", rate(*bits))]
        })
        .collect()
}
