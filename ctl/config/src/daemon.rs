// SPDX-License-Identifier: Apache-2.0
//! What the daemon of a member is told: timing, keys, devices, control, metrics, monitors. Nothing of it is in a NIC's tables.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// How a host reaches its NIC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    /// By the kernel's VFIO: PCI address.
    Vfio(String),
    /// Behind a vfio-user socket.
    VfioUser(PathBuf),
    /// The reference dataplane on this interface.
    Soft(String),
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Device::Vfio(address) => write!(f, "vfio:{address}"),
            Device::VfioUser(path) => write!(f, "vfio-user:{}", path.display()),
            Device::Soft(interface) => write!(f, "soft:{interface}"),
        }
    }
}

impl std::str::FromStr for Device {
    type Err = ();

    fn from_str(text: &str) -> Result<Device, ()> {
        match text.split_once(':') {
            Some(("vfio", address)) if !address.is_empty() => Ok(Device::Vfio(address.into())),
            Some(("vfio-user", path)) if !path.is_empty() => Ok(Device::VfioUser(path.into())),
            Some(("soft", interface)) if !interface.is_empty() => Ok(Device::Soft(interface.into())),
            _ => Err(()),
        }
    }
}

/// An address with the length of its subnet's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// Any address of it.
    pub addr: IpAddr,
    /// Bits.
    pub prefix: u8,
}

impl Subnet {
    /// Whether `addr` is in it.
    pub fn contains(&self, addr: IpAddr) -> bool {
        let (own, other, bits) = match (self.addr, addr) {
            (IpAddr::V4(own), IpAddr::V4(other)) => (u128::from(own.to_bits()), u128::from(other.to_bits()), 32),
            (IpAddr::V6(own), IpAddr::V6(other)) => (own.to_bits(), other.to_bits(), 128),
            _ => return false,
        };
        (own ^ other).checked_shr(bits - u32::from(self.prefix)).unwrap_or(0) == 0
    }
}

/// How frames are authenticated. Keys are in files; see [`read_key`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthFiles {
    /// Written out: whoever reaches the network is a member.
    None,
    /// By keys.
    Keys {
        /// Number of the one to sign with.
        sign: u8,
        /// Files by number.
        files: BTreeMap<u8, PathBuf>,
    },
}

/// Who may serve alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quorum {
    /// Hosts that there are.
    pub expected_hosts: u8,
    /// Priority of the host whose half goes on when there are exactly half of them.
    pub witness: Option<u8>,
}

/// gRPC over TCP with mutual TLS; files in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grpc {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The daemon's certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Who signs clients.
    pub client_ca: PathBuf,
}

/// What a monitor looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// A connection can be opened.
    Tcp(SocketAddr),
    /// A GET is answered with this status.
    Http {
        /// Where.
        addr: SocketAddr,
        /// What.
        path: String,
        /// Status.
        expect: u16,
    },
    /// A program, with its arguments.
    Command(Vec<String>),
}

/// An application monitor (requirement N16).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Monitor {
    /// The rule that it enables and takes out.
    pub rule: String,
    /// What it looks at. Addresses without a host are those of the own host: the unspecified address.
    pub check: Check,
    /// Between two checks.
    pub interval: Duration,
    /// For one.
    pub timeout: Duration,
    /// Good ones in a row that bring the rule back.
    pub rise: u32,
    /// Bad ones in a row that take it out.
    pub fall: u32,
    /// Disables instead of draining.
    pub disable: bool,
}

/// Settings of the daemon.
#[derive(Clone, Debug, PartialEq)]
pub struct Daemon {
    /// Period of heartbeats.
    pub period: Duration,
    /// Periods of silence after which a host is gone.
    pub tolerance: u8,
    /// Length of the lease.
    pub lease: Duration,
    /// Quorum, if there shall be one.
    pub quorum: Option<Quorum>,
    /// Keys of heartbeats; `None`: not said, which a daemon refuses.
    pub auth: Option<AuthFiles>,
    /// For the prefixes of addresses on the TAP device.
    pub subnets: Vec<Subnet>,
    /// File of the key of control datagrams; `None`: no remote control over UDP.
    pub control_key: Option<PathBuf>,
    /// gRPC over TCP.
    pub grpc: Option<Grpc>,
    /// Where metrics can be had.
    pub metrics: Option<SocketAddr>,
    /// Of the link, for occupancy.
    pub link_bits_per_second: u64,
    /// Share of the link taken by others' frames that is worth a warning.
    pub occupancy_warning: f64,
    /// Told of changes of state.
    pub notify: Option<PathBuf>,
    /// Application monitors.
    pub monitors: Vec<Monitor>,
}

impl Daemon {
    /// Prefix length for an address of this host: that of the longest subnet that holds it, else all bits.
    pub fn prefix(&self, addr: IpAddr) -> u8 {
        let whole = if addr.is_ipv4() { 32 } else { 128 };
        self.subnets.iter().filter(|subnet| subnet.contains(addr)).map(|subnet| subnet.prefix).max().unwrap_or(whole)
    }
}

/// The key in a file: 32 to 128 hexadecimal digits; blanks and line ends do not count.
///
/// # Errors
/// One line that says what is wrong with which file; others must not be able to read it.
pub fn read_key(path: &std::path::Path) -> Result<Vec<u8>, String> {
    use std::os::unix::fs::PermissionsExt;
    let fail = |text: String| Err(format!("key file {}: {text}", path.display()));
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => {
            return fail(format!("{error}; make one: head -c 32 /dev/urandom | od -An -vtx1 >FILE, mode 0600"));
        }
    };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o007 != 0 {
        return fail(format!("mode {mode:04o} lets everybody at it: chmod 0600"));
    }
    if metadata.len() > 4096 {
        return fail(format!("{} bytes: 32 to 128 hexadecimal digits are wanted", metadata.len()));
    }
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return fail(error.to_string()),
    };
    let digits: Vec<u32> = text.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_digit(16).unwrap_or(16)).collect();
    if digits.iter().any(|digit| *digit > 15) || digits.len() % 2 == 1 || !(32..=128).contains(&digits.len()) {
        return fail(format!("{} characters: 32 to 128 hexadecimal digits, an even number, are wanted", digits.len()));
    }
    Ok(digits.chunks_exact(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect())
}
