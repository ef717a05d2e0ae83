// SPDX-License-Identifier: Apache-2.0
//! `hashgate-hostpath`: owns a NIC's device file, packet rings and TAP device, and lends the rest to a control process.
//!
//! Exit codes: 0, ended by SIGTERM or SIGINT; 1, it could not go on; 2, it could not start, and nothing was left behind; 3, the NIC is gone.
#![forbid(unsafe_code)]

use clap::Parser;
use hashgate_device::PciDevice;
use hashgate_hostpath::{HostPath, Listener, Options, PathError, Stats, dropped_before};
use hashgate_netdev::Tap;
use hashgate_vfio::Vfio;
use hashgate_vfio_user::VfioUser;
use serde::Serialize;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;

/// Moves frames between a Hashgate NIC and the kernel, by a TAP device that outlives this process, and lends the NIC to a control process.
///
/// The host side of the NIC is reset at the start, nothing else: tables, bindings and the wire path go on.
#[derive(Parser, Debug)]
#[command(version, about, arg_required_else_help = true)]
struct Cli {
    /// The NIC: vfio:ADDRESS (such as vfio:0000:03:00.0) or vfio-user:PATH (a socket).
    #[arg(long)]
    device: Device,
    /// Name of the TAP device, 1 to 15 bytes; one that is there already is taken.
    #[arg(long, value_name = "NAME")]
    tap: String,
    /// Socket for the control process, for the user of this process only.
    #[arg(long, value_name = "PATH")]
    control: PathBuf,
    /// Wire port that frames of the kernel go out by.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=1))]
    port: u8,
    /// Data queues that frames are spread over.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=8))]
    queues: u8,
    /// Entries of each ring: 2 to the power of this.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u8).range(4..=15))]
    ring_log2: u8,
    /// Sets the MTU of the TAP device [default: left as it is].
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(68..=9000))]
    mtu: Option<u16>,
    /// Frames to the kernel keep their destination MAC: for bridges, and for captures of other hosts' frames.
    #[arg(long)]
    keep_destination: bool,
    /// Removes the TAP device at the end.
    #[arg(long)]
    remove_tap: bool,
    /// Prints JSON, an object a line.
    #[arg(long)]
    json: bool,
}

/// How the NIC is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Device {
    Vfio(String),
    VfioUser(PathBuf),
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Device, String> {
        match text.split_once(':') {
            Some(("vfio", address)) if !address.is_empty() => Ok(Device::Vfio(address.into())),
            Some(("vfio-user", path)) if !path.is_empty() => Ok(Device::VfioUser(path.into())),
            _ => Err("write vfio:ADDRESS, such as vfio:0000:03:00.0, or vfio-user:PATH".into()),
        }
    }
}

impl Device {
    fn open(&self) -> Result<Arc<dyn PciDevice>, PathError> {
        Ok(match self {
            Device::Vfio(address) => Arc::new(Vfio::open(address)?),
            Device::VfioUser(path) => Arc::new(VfioUser::connect(path)?),
        })
    }
}

/// A line of `--json`.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Line<'a> {
    Up { tap: &'a str, control: String, queues: u8, port: u8, host_down: u64 },
    Log { text: &'a str },
    End { error: Option<String>, stats: Option<&'a Stats> },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let json = cli.json;
    let result = run(&cli);
    let (code, stats, error) = match result {
        Ok(stats) => (0, Some(stats), None),
        Err(Failure { code, stats, error }) => (code, stats, Some(error)),
    };
    if json {
        let error = error.as_ref().map(describe);
        print_line(&Line::End { error, stats: stats.as_deref() });
    } else {
        if let Some(stats) = stats {
            tell(&stats);
        }
        if let Some(error) = error {
            eprintln!("hashgate-hostpath: {}", describe(&error));
        }
    }
    ExitCode::from(code)
}

/// Why it ended, and what was counted until then.
struct Failure {
    code: u8,
    stats: Option<Box<Stats>>,
    error: PathError,
}

/// An error with its causes.
fn describe(error: &PathError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// Prints a line at once. Nobody may be there to read it, which is no reason to end.
fn print_line(line: &Line<'_>) {
    let text = serde_json::to_string(line).unwrap_or_default();
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

fn run(cli: &Cli) -> Result<Box<Stats>, Failure> {
    let json = cli.json;
    let log = Arc::new(move |text: &str| {
        if json {
            print_line(&Line::Log { text });
        } else {
            let _ = writeln!(io::stderr(), "hashgate-hostpath: {text}");
        }
    });
    let refused = |error| Failure { code: 2, stats: None, error };
    let (mut path, stop, host_down) = start(cli, log).map_err(refused)?;
    if json {
        let control = cli.control.display().to_string();
        print_line(&Line::Up { tap: &cli.tap, control, queues: cli.queues, port: cli.port, host_down });
    } else {
        let _ = writeln!(
            io::stdout(),
            "up: {} at port {}, control at {}; {host_down} frames were dropped while no host path was there",
            cli.tap,
            cli.port,
            cli.control.display()
        );
    }
    let failed = |path: &HostPath, error| {
        let code = if matches!(error, PathError::Gone) { 3 } else { 1 };
        Failure { code, stats: Some(Box::new(path.stats_without_drops())), error }
    };
    if let Err(error) = path.run(stop.as_fd()) {
        return Err(failed(&path, error));
    }
    if cli.remove_tap
        && let Err(error) = path.tap().set_persistent(false)
    {
        return Err(failed(&path, PathError::Tap(error)));
    }
    let counted = Box::new(path.stats_without_drops());
    path.finish().map(Box::new).map_err(|error| Failure {
        code: if matches!(error, PathError::Gone) { 3 } else { 1 },
        stats: Some(counted),
        error,
    })
}

/// Takes everything into service, what lasts last.
fn start(cli: &Cli, log: Arc<dyn Fn(&str) + Send + Sync>) -> Result<(HostPath, UnixStream, u64), PathError> {
    let (stop, signalled) = UnixStream::pair().map_err(PathError::Wait)?;
    for signal in [SIGTERM, SIGINT] {
        let end = signalled.try_clone().map_err(PathError::Wait)?;
        signal_hook::low_level::pipe::register(signal, end).map_err(PathError::Wait)?;
    }
    let control = Listener::bind(&cli.control)?;
    // Before the device, which may be reset by being opened.
    let tap = Tap::open(&cli.tap, false).map_err(|error| PathError::Tap(explain(error)))?;
    let device = cli.device.open()?;
    if let Some(mtu) = cli.mtu {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("MTU {mtu} of {}: {error}", cli.tap));
        tap.set_mtu(mtu).map_err(|error| PathError::Tap(named(error)))?;
    }
    let host_down = dropped_before(&*device)?;
    let options = Options {
        port: cli.port,
        queues: cli.queues,
        keep_destination: cli.keep_destination,
        size_log2: cli.ring_log2,
    };
    let path = HostPath::start(device, Box::new(tap), control, options, host_down, log)?;
    path.tap().set_persistent(true).map_err(PathError::Tap)?;
    Ok((path, stop, host_down))
}

/// What to do about an error of the TAP device.
fn explain(error: io::Error) -> io::Error {
    let todo = match error.kind() {
        io::ErrorKind::ResourceBusy => "another process has it: end that one, or choose another name",
        io::ErrorKind::PermissionDenied => {
            "run with CAP_NET_ADMIN, or let somebody make it for this user (ip tuntap add)"
        }
        io::ErrorKind::NotFound => "the kernel has no TAP devices (modprobe tun)",
        io::ErrorKind::InvalidInput if !error.to_string().contains("interface name") => {
            "an interface that is no TAP device has this name: choose another one"
        }
        _ => return error,
    };
    io::Error::new(error.kind(), format!("{error}; {todo}"))
}

fn tell(stats: &Stats) {
    let (rx, tx, control, nic) = (&stats.rx, &stats.tx, &stats.control, &stats.nic);
    let lines = [
        format!("to the kernel: {} frames, {} bytes", rx.frames, rx.bytes),
        format!("  dropped here: {} TAP full, {} TAP down, {} refused", rx.tap_full, rx.tap_down, rx.tap_refused),
        format!(
            "  dropped by the NIC: {} no buffer, {} ring down, {} too long, {} aborted, {} host down before this one",
            nic.full, nic.down, nic.long, nic.aborted, nic.host_down
        ),
        format!(
            "from the kernel: {} frames, {} bytes; ring full {} times, {} of impossible length, {} uncertain",
            tx.frames, tx.bytes, tx.stalls, tx.bad_length, tx.uncertain
        ),
        format!(
            "control: {} heartbeats given, {} without a controller, {} not read; {} sent, {} without room, {} impossible",
            control.heard,
            control.no_controller,
            control.controller_slow,
            control.sent,
            control.tx_full,
            control.bad_frame
        ),
        format!(
            "rings: {} restarts, {} faults, {} violations, {} resets seen, {} interrupts lost; {} register reads, {} writes, {} sleeps",
            stats.rings.restarts,
            stats.rings.faults,
            stats.rings.violations,
            stats.resets_seen,
            stats.lost_interrupts,
            stats.mmio_reads,
            stats.mmio_writes,
            stats.sleeps
        ),
    ];
    let _ = writeln!(io::stdout(), "{}", lines.join("\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_from_words() {
        for (text, device) in [
            ("vfio:0000:01:00.0", Some(Device::Vfio("0000:01:00.0".into()))),
            ("vfio-user:/run/a:b", Some(Device::VfioUser("/run/a:b".into()))),
            ("vfio:", None),
            ("0000:01:00.0", None),
            ("", None),
        ] {
            assert_eq!(text.parse().ok(), device, "{text}");
        }
    }
}
