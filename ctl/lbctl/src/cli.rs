// SPDX-License-Identifier: Apache-2.0
//! What can be written on the command line.

use clap::{Args, Parser, Subcommand};
use std::net::Ipv4Addr;
use std::path::PathBuf;

const CODES: &str = "\
Exit codes:
  0  done
  1  a host failed or did not answer in time
  2  wrong usage or input
  3  there is no daemon; the message says how to start it
  4  the daemon refused

Examples:
  lbctl status                                the whole cluster, problems first
  lbctl drainstop --host b                    take host b out without hurting running sessions
  lbctl explain 192.0.2.7:40000 10.9.0.100:80 tcp
  lbctl --udp 10.9.0.100 --password-file key query --host all

--json prints the messages of the API, each on a line of its own; `lbctl schema` describes them. Colours are used on terminals only, and not if NO_COLOR is set.";

/// Control of a Hashgate cluster
#[derive(Debug, Parser)]
#[command(name = "lbctl", version, after_help = CODES, subcommand_required = true, arg_required_else_help = true, max_term_width = 100)]
pub struct Cli {
    /// For programs: print JSON, an object per line
    #[arg(long, global = true)]
    pub json: bool,
    #[command(flatten)]
    pub connection: Connection,
    #[command(subcommand)]
    pub verb: Verb,
}

/// How to reach a daemon. That --remote and --udp exclude each other is checked in `connect`: clap does not for global options.
#[derive(Args, Debug)]
#[command(next_help_heading = "Connection")]
pub struct Connection {
    /// Unix socket of the daemon [default: /run/hashgate/lbd.sock]
    #[arg(long, global = true, value_name = "PATH", env = "HASHGATE_SOCKET")]
    pub socket: Option<PathBuf>,
    /// The daemon of another machine, by gRPC over mutual TLS; needs --ca, --cert and --key
    #[arg(long, global = true, value_name = "https://HOST:PORT")]
    pub remote: Option<String>,
    /// Certificate of the authority that signed the daemon's certificate (PEM)
    #[arg(long, global = true, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Own certificate (PEM)
    #[arg(long, global = true, value_name = "FILE")]
    pub cert: Option<PathBuf>,
    /// Own private key (PEM)
    #[arg(long, global = true, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// A cluster by control datagrams (UDP 2504) to its primary IP; the verbs query to hold only; needs --host
    #[arg(long, global = true, value_name = "PRIMARY_IP[:PORT]", value_parser = primary)]
    pub udp: Option<(Ipv4Addr, u16)>,
    /// Key for --udp: a file with 32 to 128 hexadecimal digits (key number 1); without it datagrams are not signed
    #[arg(long, global = true, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// How long to wait for an answer [default: 10, 2 with --udp, 60 for reload --host all]
    #[arg(long, global = true, value_name = "SECONDS", value_parser = seconds)]
    pub timeout: Option<f64>,
}

/// Which hosts obey.
#[derive(Args, Debug)]
pub struct Hosts {
    /// Hosts by name or number, separated by commas, or "all"; numbers only with --udp [default: this host]
    #[arg(long, alias = "hosts", value_name = "N|NAME|all", value_delimiter = ',')]
    pub host: Vec<String>,
}

/// Which rules it is about.
#[derive(Args, Debug)]
pub struct OfRules {
    /// Rule by name, or "all"; may be repeated. With --udp its number (64: the default rule)
    #[arg(long = "rule", value_name = "NAME|all", required = true)]
    pub rules: Vec<String>,
    #[command(flatten)]
    pub hosts: Hosts,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Ask hosts how they are
    #[command(
        after_help = "Examples:\n  lbctl query --host all\n  lbctl --udp 10.9.0.100 --password-file key query --host 1,3"
    )]
    Query(Hosts),
    /// Let stopped hosts take part again
    #[command(
        after_help = "A suspended host does not start: resume it first. A drained one takes new sessions again by undrain.\n\nExample:\n  lbctl start --host b"
    )]
    Start(Hosts),
    /// Stop hosts at once: their sessions break
    #[command(after_help = "Without breaking sessions: drainstop.\n\nExample:\n  lbctl stop --host b")]
    Stop(Hosts),
    /// Drain hosts: no new sessions; they stop when the last running one has ended
    #[command(
        after_help = "Back again: undrain, or start once it has stopped.\n\nExample:\n  lbctl drainstop --host b"
    )]
    Drainstop(Hosts),
    /// End the draining of hosts: they take new sessions again
    #[command(after_help = "Example:\n  lbctl undrain --host b")]
    Undrain(Hosts),
    /// Stop hosts and keep them out, also against start, until they are resumed
    #[command(after_help = "Example:\n  lbctl suspend --host b")]
    Suspend(Hosts),
    /// End the suspension of hosts; they stay stopped until they are started
    #[command(after_help = "Example:\n  lbctl resume --host b && lbctl start --host b")]
    Resume(Hosts),
    /// Let rules take new sessions again
    #[command(after_help = "Example:\n  lbctl enable --rule web --rule mail --host all")]
    Enable(OfRules),
    /// Block rules: no packet of theirs is taken
    #[command(after_help = "Example:\n  lbctl disable --rule web --host b")]
    Disable(OfRules),
    /// Drain rules: no new sessions, running ones go on
    #[command(after_help = "Example:\n  lbctl drain --rule all --host b")]
    Drain(OfRules),
    /// Scale the load weights of hosts
    #[command(after_help = "Example:\n  lbctl capacity 50 --host b     half of what its weights say")]
    Capacity {
        /// Percent of the configured weights, 0 to 1000
        #[arg(value_parser = clap::value_parser!(u32).range(0..=1000))]
        percent: u32,
        #[command(flatten)]
        hosts: Hosts,
    },
    /// Announce a short outage: so long the others wait before they take a host for dead
    #[command(after_help = "Example:\n  lbctl hold 5000 --host b     before its daemon is restarted")]
    Hold {
        /// Milliseconds, up to an hour
        #[arg(value_parser = clap::value_parser!(u32).range(0..=3_600_000))]
        ms: u32,
        #[command(flatten)]
        hosts: Hosts,
    },
    /// Take the changed configuration file, whole or not at all
    #[command(
        after_help = "Examples:\n  lbctl reload                 on this host\n  lbctl reload --host all      staged on all members, then activated on all at once\n  lbctl reload --abort         forget what is staged"
    )]
    Reload {
        /// On all members at once
        #[arg(long, value_name = "all", hide_possible_values = true, value_parser = ["all"])]
        host: Option<String>,
        /// Forget what is staged and not yet activated
        #[arg(long)]
        abort: bool,
    },
    /// The whole cluster: problems first, then its members
    #[command(after_help = "Example:\n  lbctl status --json | jq '.problems[]'")]
    Status,
    /// Shares, rates and members, refreshed each second; one picture if the output is no terminal
    #[command(after_help = "Keys: q ends it.\n\nExample:\n  lbctl top")]
    Top,
    /// Settings in force
    #[command(after_help = "Example:\n  lbctl params")]
    Params,
    /// Rules with their state and counters on this host
    #[command(after_help = "Example:\n  lbctl rules")]
    Rules,
    /// Rules that take a port
    #[command(
        after_help = "With --vip, rules for that address beat rules for all addresses.\n\nExamples:\n  lbctl queryport 80\n  lbctl queryport 53/udp --vip 10.9.0.100"
    )]
    Queryport {
        /// Port and protocol (tcp or udp; both without it)
        #[arg(value_name = "PORT[/PROTO]", value_parser = port_protocol)]
        port: (u16, Option<String>),
        /// Only what holds for this virtual address
        #[arg(long, value_name = "IP")]
        vip: Option<std::net::IpAddr>,
    },
    /// Targets with their action and counters on this host
    #[command(after_help = "Example:\n  lbctl targets")]
    Targets,
    /// Who owns which buckets: show
    #[command(subcommand)]
    Map(MapVerb),
    /// Remembered sessions and clients of this host's NIC: dump, watch, count, delete
    #[command(subcommand)]
    Bindings(BindingsVerb),
    /// Counters of this host's NIC
    #[command(
        after_help = "Examples:\n  lbctl counters\n  lbctl counters --watch          rates each second\n  lbctl counters --watch=10 --all"
    )]
    Counters {
        /// Print again and again, with packets and bits per second between two samples
        #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "1", value_parser = seconds)]
        watch: Option<f64>,
        /// Also counters that are 0
        #[arg(long)]
        all: bool,
    },
    /// What happened
    #[command(after_help = "Examples:\n  lbctl events --last 20\n  lbctl events --last 1 --follow")]
    Events {
        /// So many of the past (0: all that are kept)
        #[arg(long, value_name = "N", default_value_t = 0)]
        last: u32,
        /// Go on until interrupted
        #[arg(long)]
        follow: bool,
    },
    /// The NIC of this host: info
    #[command(subcommand)]
    Nic(NicVerb),
    /// What would happen to a packet, here and on every member
    #[command(
        after_help = "Examples:\n  lbctl explain 192.0.2.7:40000 10.9.0.100:80 tcp --syn\n  lbctl explain [2001:db8::7]:4000 [2001:db8::100]:53 udp\n  lbctl explain 192.0.2.7 10.9.0.100 gre"
    )]
    Explain {
        /// Where it comes from; an IPv6 address in brackets
        #[arg(value_name = "SRC:PORT")]
        source: String,
        /// Where it goes
        #[arg(value_name = "DST:PORT")]
        destination: String,
        /// tcp, udp, gre, esp, ah, icmp, icmpv6 or a number
        #[arg(value_name = "PROTO")]
        protocol: String,
        /// TCP: the packet opens a connection
        #[arg(long)]
        syn: bool,
    },
    /// Share of the link that frames for other hosts take
    #[command(after_help = "Example:\n  lbctl occupancy")]
    Occupancy,
    /// MAC addresses of a cluster with this primary IP, for static ARP entries
    #[command(
        after_help = "Examples:\n  lbctl ip2mac 10.9.0.100\n  lbctl ip2mac                 of the running cluster"
    )]
    Ip2mac {
        /// Primary IP [default: that of the running cluster]
        ip: Option<Ipv4Addr>,
    },
    /// JSON Schema of what --json prints
    #[command(
        after_help = "Examples:\n  lbctl schema status\n  lbctl schema bindings dump\n  lbctl schema                 an object with that of every verb"
    )]
    Schema {
        /// One verb; without it all
        verb: Vec<String>,
    },
    /// Completions for a shell
    #[command(after_help = "Example:\n  lbctl completions bash > /usr/share/bash-completion/completions/lbctl")]
    Completions { shell: clap_complete::Shell },
    /// Manual pages, one for each verb
    #[command(after_help = "Example:\n  lbctl man /usr/local/share/man/man1")]
    Man {
        /// Directory that they are written to; it has to exist
        dir: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub enum MapVerb {
    /// Shares of each rule as bars, or each bucket's owner
    #[command(after_help = "Examples:\n  lbctl map show\n  lbctl map show --rule web --owners")]
    Show {
        /// Only this rule
        #[arg(long, value_name = "NAME")]
        rule: Option<String>,
        /// A picture of 64 rows of 64 buckets with a letter for each owner; bucket 0 is top left
        #[arg(long)]
        owners: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum BindingsVerb {
    /// List them
    #[command(after_help = "Example:\n  lbctl bindings dump --src 192.0.2.0/24 --dport 80 --limit 100")]
    Dump {
        /// At most so many (0: all)
        #[arg(long, value_name = "N", default_value_t = 0)]
        limit: u32,
        #[command(flatten)]
        filter: Filter,
    },
    /// Show them come and go, until interrupted
    #[command(after_help = "Example:\n  lbctl bindings watch --rule web")]
    Watch {
        #[command(flatten)]
        filter: Filter,
    },
    /// How many there are
    #[command(after_help = "Example:\n  lbctl bindings count --rule web --state established")]
    Count {
        #[command(flatten)]
        filter: Filter,
    },
    /// Forget them: their sessions go where a new one would
    #[command(
        after_help = "Asks first if it is used on a terminal. Needs an option that chooses, or --all.\n\nExamples:\n  lbctl bindings delete --target b\n  lbctl bindings delete --all --yes"
    )]
    Delete {
        /// Every binding of this NIC
        #[arg(long)]
        all: bool,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        filter: Filter,
    },
}

/// Which bindings; all options have to fit.
#[derive(Args, Debug)]
#[command(next_help_heading = "Which bindings (all have to fit)")]
pub struct Filter {
    /// connection or affinity
    #[arg(long, hide_possible_values = true, value_parser = ["connection", "affinity"])]
    pub table: Option<String>,
    /// Source address or prefix
    #[arg(long, value_name = "IP[/BITS]")]
    pub src: Option<String>,
    /// Destination address or prefix
    #[arg(long, value_name = "IP[/BITS]")]
    pub dst: Option<String>,
    /// Source port
    #[arg(long, value_name = "PORT")]
    pub sport: Option<u16>,
    /// Destination port
    #[arg(long, value_name = "PORT")]
    pub dport: Option<u16>,
    /// tcp, udp, gre, esp, ah or a number
    #[arg(long)]
    pub proto: Option<String>,
    /// Rule by name
    #[arg(long, value_name = "NAME")]
    pub rule: Option<String>,
    /// Target by name
    #[arg(long, value_name = "NAME")]
    pub target: Option<String>,
    /// half-open, established, closing, reset or flow
    #[arg(long, hide_possible_values = true, value_parser = ["half-open", "established", "closing", "reset", "flow"])]
    pub state: Option<String>,
    /// Bucket, 0 to 4095
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..4096))]
    pub bucket: Option<u32>,
}

#[derive(Debug, Subcommand)]
pub enum NicVerb {
    /// What it is, and what state it is in
    #[command(after_help = "Example:\n  lbctl nic info")]
    Info,
}

fn primary(text: &str) -> Result<(Ipv4Addr, u16), String> {
    let (ip, port) = text.split_once(':').map_or((text, None), |(ip, port)| (ip, Some(port)));
    let port = port.map_or(Ok(hashgate_cluster::control::PORT), str::parse);
    match (ip.parse(), port) {
        (Ok(ip), Ok(port)) => Ok((ip, port)),
        _ => Err("write an IPv4 address, or address:port".into()),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    let range = 0.01..=86_400.0;
    text.parse().ok().filter(|it| range.contains(it)).ok_or_else(|| "write seconds, 0.01 to 86400".into())
}

fn port_protocol(text: &str) -> Result<(u16, Option<String>), String> {
    let (port, protocol) = text.split_once('/').map_or((text, None), |(port, protocol)| (port, Some(protocol)));
    let protocol = protocol.map(str::to_ascii_lowercase);
    if protocol.as_deref().is_some_and(|it| !["tcp", "udp"].contains(&it)) {
        return Err("the protocol is tcp or udp, as in 80/tcp".into());
    }
    port.parse().map(|port| (port, protocol)).map_err(|_| "write a port 0 to 65535, or as in 80/tcp".into())
}
