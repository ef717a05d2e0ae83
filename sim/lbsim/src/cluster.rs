// SPDX-License-Identifier: Apache-2.0
//! `lbsim bench cluster`: the cluster protocol in simulated clusters (`hashgate_cluster_sim::measure`), and its goals.
//!
//! The double accepts of a protocol without its barrier need a deliberate bug, which must not be in anything that is built beside the
//! daemon: they are counted by the program `examples/double_accepts` in the folder of this one (`make bench-cluster` builds it).

use crate::environment::{Machine, commit};
use crate::report::{Progress, Style, Table};
use crate::say;
use anyhow::{Result, ensure};
use hashgate_cluster_sim::measure::{Bandwidth, Plan, Results, Spread, measure};
use serde::Serialize;
use std::process::Command;
use std::sync::Mutex;

/// Seconds until the last survivor has noticed a crash and until all have committed, in the default profile and in the compatible one.
const GOALS: [(f64, f64); 2] = [(0.5, 1.0), (5.0, 10.0)];
/// Periods that a moving bucket may have no owner.
const OWNERLESS_GOAL: f64 = 2.0;
/// Largest share over fair share, of equal weights.
const SHARE_GOAL: f64 = 1.01;
/// Published for 16 hosts with a heartbeat a second, in bytes a second.
const PUBLISHED_16: f64 = 24_000.0;

/// The cluster protocol: detection and commit after crashes, moved buckets, shares, heartbeats, and connections in thousands of scenarios. Minutes.
#[derive(clap::Args, Debug)]
pub struct Cluster {
    /// One JSON object on standard output.
    #[arg(long)]
    json: bool,
    /// Crashes in each profile and at each loss, in clusters of 32.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    runs: u64,
    /// Scenarios, from the first on.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    scenarios: u64,
    /// Seed of everything random but the scenarios.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, Serialize)]
struct Report {
    bench: &'static str,
    commit: &'static str,
    environment: Machine,
    runs: u64,
    seed: u64,
    results: Results,
    /// Why `mutant_double_accepts` is null.
    #[serde(skip_serializing_if = "Option::is_none")]
    mutant_missing: Option<String>,
}

impl Cluster {
    /// Runs it.
    ///
    /// # Errors
    /// If an invariant did not hold, or more moved than must.
    pub fn run(&self) -> Result<()> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let plan = Plan { runs: self.runs, scenarios: self.scenarios, seed: self.seed, threads };
        let progress = Mutex::new(Progress::new("crashes and scenarios", plan.units()));
        let mut results = measure(&plan, &|units| {
            progress.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).advance(units);
        });
        drop(progress);
        let mutant = double_accepts();
        results.mutant_double_accepts = mutant.as_ref().ok().copied();
        let report = Report {
            bench: "cluster",
            commit: commit(),
            environment: Machine::new(),
            runs: self.runs,
            seed: self.seed,
            results,
            mutant_missing: mutant.err(),
        };
        if self.json {
            say!("{}", serde_json::to_string(&report)?)?;
        } else {
            report.print(Style::stdout())?;
        }
        let r = &report.results;
        ensure!(r.violations == 0, "an invariant did not hold in scenarios {:?}", r.violating_seeds);
        ensure!(r.accepted_twice == 0, "sessions were accepted twice");
        ensure!(r.survivors_broken == 0, "connections of survivors broke");
        ensure!(r.quotas.lost_by_survivors == 0, "survivors lost buckets when others left");
        Ok(())
    }
}

/// Asks the program that has the deliberate bug, or tells why it cannot.
fn double_accepts() -> Result<u64, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let program = own.with_file_name("examples").join("double_accepts");
    let build = "cargo build --release -p hashgate-cluster-sim --features mutants --example double_accepts";
    let output = Command::new(&program)
        .output()
        .map_err(|error| format!("examples/double_accepts: {error}; {build} makes it"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let count = text.trim().parse().ok().filter(|_| output.status.success());
    count.ok_or_else(|| format!("examples/double_accepts ended with {} and said {text:?}", output.status))
}

impl Report {
    fn print(&self, style: Style) -> Result<()> {
        let r = &self.results;
        let goal = |holds: bool, text: String| say!("  {}", style.check(holds, &text));
        let spread = |of: Spread| [format!("{:.3}", of.median), format!("{:.3}", of.max)];
        say!("{}", style.heading("Crashes of one of 32 hosts"))?;
        let heads =
            ["period, loss", "runs", "last has noticed: median, s", "worst", "all have committed: median, s", "worst"];
        let mut table = Table::new(heads);
        for of in &r.crashes {
            let name = format!("{} ms, {} %", of.period_ms, of.loss_percent);
            let times = spread(of.detect_seconds).into_iter().chain(spread(of.commit_seconds));
            table.row([name, of.runs.to_string()].into_iter().chain(times));
        }
        table.print(style)?;
        let profiles = [
            ("default", r.detect_seconds, r.commit_seconds),
            ("compatible", r.compatible_detect_seconds, r.compatible_commit_seconds),
        ];
        for ((name, detect, commit), (noticed, committed)) in profiles.into_iter().zip(GOALS) {
            goal(
                detect.max <= noticed && commit.max <= committed,
                format!(
                    "{name}: noticed within {:.3} s (goal {noticed}), committed within {:.3} s (goal {committed})",
                    detect.max, commit.max
                ),
            )?;
        }

        say!("{}", style.heading("Maps"))?;
        let moved = &r.moved_over_minimum;
        let over = [moved.lost_1, moved.lost_3, moved.joined_1, moved.weight_halved];
        goal(
            over == [0; 4],
            format!("buckets moved over the minimum: {over:?} (1 lost, 3 lost, 1 joined, a weight halved)"),
        )?;
        let share = r.max_share_over_fair;
        goal(
            share.equal <= SHARE_GOAL,
            format!(
                "largest share over fair share: {:.4} with equal weights (goal {SHARE_GOAL}), {:.4} with weights 1..32",
                share.equal, share.mixed
            ),
        )?;
        let quotas = &r.quotas;
        goal(
            quotas.first_map_buckets_off <= 1.0 && quotas.lost_by_survivors == 0,
            format!(
                "weights 1..32: {:.2} buckets from a quota at most; survivors lost {} buckets in {} leaves",
                quotas.first_map_buckets_off, quotas.lost_by_survivors, quotas.leaves
            ),
        )?;
        say!("  64 rules, 32 hosts, from none and after a loss: {:.1} ms", r.map_milliseconds)?;

        say!("{}", style.heading("Heartbeats"))?;
        let Bandwidth { hosts_16, hosts_32, compatible_hosts_16, compatible_hosts_32, .. } =
            r.heartbeat_bytes_per_second;
        let mut table = Table::new(["both frames of all members, kB/s", "16 hosts", "32 hosts"]);
        for (name, of) in
            [("default", [hosts_16, hosts_32]), ("compatible", [compatible_hosts_16, compatible_hosts_32])]
        {
            table.row([name.to_owned()].into_iter().chain(of.map(|rate| format!("{:.1}", rate / 1e3))));
        }
        table.print(style)?;
        say!(
            "  16 hosts with a heartbeat a second: {:.1} kB/s of extended frames beside the membership frames (published: {:.0} kB/s)",
            r.heartbeat_bytes_per_second.compatible_extended_hosts_16 / 1e3,
            PUBLISHED_16 / 1e3
        )?;
        let beat = &r.heartbeat;
        say!(
            "  one of {} bytes: {:.1} us to build, {:.1} us to check, {:.1} us to apply",
            beat.bytes,
            beat.build_microseconds,
            beat.check_microseconds,
            beat.apply_microseconds
        )?;

        say!("{}", style.heading(&format!("{} scenarios, {} sessions tried", r.scenarios, r.sessions_tried)))?;
        goal(r.violations == 0, format!("{} violations of invariants", r.violations))?;
        goal(r.accepted_twice == 0, format!("{} sessions accepted twice", r.accepted_twice))?;
        goal(r.survivors_broken == 0, format!("{} connections of survivors broken", r.survivors_broken))?;
        let ownerless = r.ownerless_periods;
        goal(
            ownerless.max <= OWNERLESS_GOAL,
            format!(
                "a moving bucket has no owner for {:.2} periods (median), {:.2} at most (goal {OWNERLESS_GOAL})",
                ownerless.median, ownerless.max
            ),
        )?;
        match (r.mutant_double_accepts, &self.mutant_missing) {
            (Some(count), _) => goal(count > 0, format!("{count} sessions accepted twice without the barrier"))?,
            (None, why) => say!("  without the barrier: not measured: {}", why.as_deref().unwrap_or("unknown"))?,
        }
        Ok(())
    }
}
