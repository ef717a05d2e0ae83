// SPDX-License-Identifier: Apache-2.0
//! What happened.

use crate::connect::Daemon;
use crate::failure::Failure;
use crate::show::{Out, clean, time};
use hashgate_api::v1::{Event, EventsRequest};

/// Shows events of the past, and those to come if `follow`.
pub async fn run(out: &mut Out, daemon: &Daemon, last: u32, follow: bool) -> Result<(), Failure> {
    let mut stream = daemon.answer(daemon.client().events(EventsRequest { last, follow })).await?;
    loop {
        // Who follows waits as long as nothing happens.
        let event = match follow {
            true => stream.message().await.map_err(|status| Failure::status(&status))?,
            false => daemon.next(&mut stream).await?,
        };
        let Some(event) = event else {
            return Ok(());
        };
        if out.json {
            out.object(&event)?;
        } else {
            show(out, &event)?;
            out.flush()?;
        }
    }
}

fn show(out: &mut Out, event: &Event) -> Result<(), Failure> {
    let Event { number, host, epoch, kind, text, .. } = event;
    let line = clean(&format!("{}  {number:>6}  {host}  epoch {epoch}  {kind}: {text}", time(event.time)));
    if ["error", "warning"].contains(&event.severity.as_str()) { out.alarm(&line) } else { out.line(line) }
}
