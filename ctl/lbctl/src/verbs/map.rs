// SPDX-License-Identifier: Apache-2.0
//! Owners of buckets.

use crate::connect::Daemon;
use crate::failure::Failure;
use crate::show::{Out, Table, bar, clean, number, percent, text};
use hashgate_api::v1::{MapRequest, RuleMap};

const BUCKETS: f64 = 4096.0;
const ROW: usize = 64;
const BAR: usize = 32;
/// Owner of a bucket that nobody has.
const NOBODY: u32 = 1023;
/// One for each owner.
const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
/// Background colours that go well with black letters, by owner.
const COLOURS: [u8; 6] = [42, 44, 43, 45, 46, 41];

/// Shows shares, or each bucket's owner.
pub async fn show(out: &mut Out, daemon: &Daemon, rule: Option<String>, owners: bool) -> Result<(), Failure> {
    daemon.check_rules(&rule).await?;
    let reply = daemon.answer(daemon.client().map(MapRequest { rule: rule.unwrap_or_default() })).await?;
    if out.json {
        return out.object(&reply);
    }
    if reply.maps.is_empty() {
        return out.line("no maps yet: the cluster has agreed on none");
    }
    for (at, map) in reply.maps.iter().enumerate() {
        if at > 0 {
            out.line("")?;
        }
        out.line(format!("rule {}", clean(&map.rule)))?;
        if owners { picture(out, map)? } else { shares(out, map)? }
    }
    Ok(())
}

fn shares(out: &mut Out, map: &RuleMap) -> Result<(), Failure> {
    let mut table = Table::new(&[]);
    let mut row = |name: &str, buckets: u32| {
        let buckets_f = f64::from(buckets);
        table.row(vec![
            text(name),
            text(bar(buckets_f / BUCKETS, BAR)),
            number(buckets),
            number(percent(buckets_f, BUCKETS)),
        ]);
    };
    map.shares.iter().for_each(|share| row(&share.name, share.buckets));
    let nobody = map.owners.iter().filter(|owner| **owner == NOBODY).count() as u32;
    if nobody > 0 {
        row("nobody", nobody);
    }
    if table.rows() > 0 {
        out.table(&mut table)?;
    }
    match map.handover.len() {
        0 => Ok(()),
        buckets => out.line(format!("{buckets} buckets are being handed over")),
    }
}

/// A letter for each bucket. What is handed over is underlined, on terminals.
fn picture(out: &mut Out, map: &RuleMap) -> Result<(), Failure> {
    let letter = |owner: u32| match map.shares.iter().position(|it| it.id == owner) {
        Some(place) => char::from(LETTERS[place % LETTERS.len()]),
        None if owner == NOBODY => '.',
        None => '?',
    };
    let colour =
        |owner: u32| map.shares.iter().position(|it| it.id == owner).map(|place| COLOURS[place % COLOURS.len()]);
    let handover: std::collections::HashSet<_> = map.handover.iter().copied().collect();
    let coloured = |owner: u32, line: bool| match (out.colour, colour(owner)) {
        (true, Some(colour)) => format!("\x1b[30;{colour}{}m{}\x1b[0m", if line { ";4" } else { "" }, letter(owner)),
        _ => letter(owner).to_string(),
    };
    let mut lines = Vec::new();
    for (row, owners) in map.owners.chunks(ROW).enumerate() {
        let first = row * ROW;
        let cells =
            owners.iter().enumerate().map(|(at, owner)| coloured(*owner, handover.contains(&((first + at) as u32))));
        lines.push(format!("{first:>6}  {}", cells.collect::<String>()));
    }
    let legend = map.shares.iter().map(|it| format!("{} {} ({})", coloured(it.id, false), clean(&it.name), it.buckets));
    lines.push(format!("        {}", legend.collect::<Vec<_>>().join("  ")));
    lines.iter().try_for_each(|line| out.line(line))
}
