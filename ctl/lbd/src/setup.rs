// SPDX-License-Identifier: Apache-2.0
//! What has to be there before the daemon can work: the processes that own the NIC, and the addresses of its TAP device.

use anyhow::{Context, Result, bail};
use hashgate_config::daemon::Device;
use hashgate_config::{ClusterMode, Config, Host};
use hashgate_hostpath::{Lent, LentError};
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags};
use rtnetlink::{Handle, LinkUnspec};
use std::fs::OpenOptions;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a process may take until it can be spoken to. The initialisation of a simulated NIC's tables takes seconds.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(20);

/// Files of this daemon.
#[derive(Clone, Debug)]
pub struct Places {
    run_dir: PathBuf,
}

impl Places {
    /// In this directory, which is made if need be.
    pub fn new(run_dir: &Path) -> Result<Places> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(run_dir)
            .with_context(|| format!("run directory {}: choose another one with --run-dir", run_dir.display()))?;
        Ok(Places { run_dir: run_dir.to_owned() })
    }

    /// The daemon's own socket.
    pub fn socket(&self) -> PathBuf {
        self.run_dir.join(hashgate_api::SOCKET)
    }

    /// That of the host path.
    pub fn host_path(&self) -> PathBuf {
        self.run_dir.join("hostpath.sock")
    }

    /// What the next daemon has to know.
    pub fn kept(&self) -> PathBuf {
        self.run_dir.join("nic.json")
    }

    fn soft_nic(&self) -> PathBuf {
        self.run_dir.join("nic.sock")
    }

    fn log(&self, name: &str) -> PathBuf {
        self.run_dir.join(format!("{name}.log"))
    }
}

/// A program of ours: beside this one, else on PATH.
fn program(name: &str) -> PathBuf {
    let beside = std::env::current_exe().ok().map(|own| own.with_file_name(name));
    beside.filter(|path| path.exists()).unwrap_or_else(|| name.into())
}

/// Command line of the host path of this host.
pub fn host_path_command(host: &Host, places: &Places) -> Result<Command> {
    let device = match &host.device {
        Some(Device::Soft(_)) => format!("vfio-user:{}", places.soft_nic().display()),
        Some(device) => device.to_string(),
        None => bail!("host \"{}\" has no device: give it one, such as device = \"vfio:0000:03:00.0\"", host.name),
    };
    let mut command = Command::new(program("hashgate-hostpath"));
    command.args(["--device", &device, "--tap", &host.tap, "--port", &host.wire_port.to_string(), "--control"]);
    command.arg(places.host_path());
    Ok(command)
}

/// Processes that were started here. They end with this, unless they are kept.
#[derive(Debug, Default)]
pub struct Started(Vec<Child>);

impl Started {
    /// Lets them outlive the daemon.
    pub fn keep(mut self) {
        for mut child in self.0.drain(..) {
            // Somebody has to take notice of its end.
            std::thread::spawn(move || child.wait());
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        for child in self.0.iter_mut().rev() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The NIC, by the host path; both it and a soft NIC are started if they are not there.
pub fn nic(host: &Host, places: &Places) -> Result<(Arc<Lent>, Started)> {
    let mut started = Started::default();
    match Lent::connect(&places.host_path()) {
        Ok(lent) => return Ok((Arc::new(lent), started)),
        Err(LentError::Io { source, .. })
            if matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {}
        Err(error @ LentError::Busy { .. }) => bail!("{error} (another lbd?)"),
        Err(error) => return Err(error.into()),
    }
    if let Some(Device::Soft(interface)) = &host.device {
        let socket = places.soft_nic();
        if std::os::unix::net::UnixStream::connect(&socket).is_err() {
            let mut command = Command::new(program("hashgate-softnic"));
            command.arg("--socket").arg(&socket).arg("--port").arg(format!("raw:{interface}"));
            started.0.push(start(command, &places.log("softnic"))?);
            wait_for(&mut started, "hashgate-softnic", &places.log("softnic"), || {
                std::os::unix::net::UnixStream::connect(&socket).ok().map(drop)
            })?;
        }
    }
    let log = places.log("hostpath");
    started.0.push(start(host_path_command(host, places)?, &log)?);
    let lent = wait_for(&mut started, "hashgate-hostpath", &log, || Lent::connect(&places.host_path()).ok())?;
    Ok((Arc::new(lent), started))
}

/// Starts a process in a group of its own, so that what is sent to this one's group does not reach it.
fn start(mut command: Command, log: &Path) -> Result<Child> {
    let out = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o640)
        .open(log)
        .with_context(|| format!("log file {}", log.display()))?;
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out).process_group(0);
    command.spawn().with_context(|| format!("{name} cannot be started: install it beside lbd or on PATH"))
}

/// Waits until the process that was started last can be spoken to.
fn wait_for<T>(started: &mut Started, name: &str, log: &Path, mut there: impl FnMut() -> Option<T>) -> Result<T> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if let Some(it) = there() {
            return Ok(it);
        }
        if let Some(status) = started.0.last_mut().map(Child::try_wait).transpose()?.flatten() {
            let text = std::fs::read_to_string(log).unwrap_or_default();
            let last = text.lines().last().unwrap_or("it says nothing");
            bail!("{name} ended ({status}): {last}");
        }
        std::thread::sleep(PAUSE);
    }
    bail!("{name} is not ready after {} s: see {}", PATIENCE.as_secs(), log.display())
}

/// An address of the TAP device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Address {
    addr: IpAddr,
    prefix: u8,
    /// The kernel joins the group.
    join: bool,
}

/// Addresses that the TAP device of this host has.
fn addresses(config: &Config, host: &Host) -> Vec<Address> {
    let own = host.dedicated.iter().copied().chain(config.vips.iter().map(|vip| vip.addr));
    let mut all: Vec<Address> = Vec::new();
    for addr in own {
        if !all.iter().any(|known| known.addr == addr) {
            all.push(Address { addr, prefix: config.daemon.prefix(addr), join: false });
        }
    }
    if config.mode == ClusterMode::Igmp {
        // The group whose MAC is the cluster's.
        let [_, _, y, z] = config.primary_ip.octets();
        all.push(Address { addr: Ipv4Addr::new(239, 255, y, z).into(), prefix: 32, join: true });
    }
    all
}

/// Gives the TAP device its MAC and addresses, and takes it up. Addresses that it has beside these stay.
pub async fn tap(config: &Config, host: &Host) -> Result<()> {
    let (connection, handle, _) = rtnetlink::new_connection().context("rtnetlink")?;
    let task = tokio::spawn(connection);
    let result = configure(&handle, config, host).await;
    task.abort();
    result.with_context(|| format!("TAP device {}", host.tap))
}

async fn configure(handle: &Handle, config: &Config, host: &Host) -> Result<()> {
    let index = rustix::net::netdevice::name_to_index(
        rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::DGRAM, None)?,
        &host.tap,
    )
    .context("it is not there: is the host path running?")?;
    if let Some(Device::Soft(interface)) = &host.device {
        // The kernel must not answer there for addresses of the TAP device.
        let link = LinkUnspec::new_with_name(interface).arp(false).up().build();
        handle.link().set(link).execute().await.with_context(|| format!("interface {interface}"))?;
    }
    let link = || LinkUnspec::new_with_index(index);
    handle.link().set(link().address(host.station_mac.0.to_vec()).build()).execute().await.context("its MAC")?;
    handle.link().set(link().up().build()).execute().await.context("taking it up")?;
    for Address { addr, prefix, join } in addresses(config, host) {
        let mut request = handle.address().add(index, addr, prefix).replace();
        let mut flags = AddressFlags::empty();
        if addr.is_ipv6() {
            // All hosts have the VIPs, so nobody may look whether somebody has them.
            flags |= AddressFlags::Nodad;
        }
        if join {
            flags |= AddressFlags::Mcautojoin;
            // The library leaves groups without them.
            let own = [AddressAttribute::Address(addr), AddressAttribute::Local(addr)];
            request.message_mut().attributes.extend(own);
        }
        if !flags.is_empty() {
            request.message_mut().attributes.push(AddressAttribute::Flags(flags));
        }
        request.execute().await.with_context(|| format!("address {addr}/{prefix}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_device_has_all_addresses_once_with_the_prefix_of_their_subnet() {
        let text = r#"
            [cluster]
            primary_ip = "10.0.0.100"
            mode = "igmp"
            subnets = ["10.0.0.0/24", "10.0.0.0/16", "fd00::/64"]
            [[vip]]
            address = "fd00::100"
            [[vip]]
            address = "192.0.2.1"
            [[host]]
            name = "a"
            priority = 1
            station_mac = "02:00:00:00:00:01"
            dedicated_ip = "10.0.0.1"
        "#;
        let config = Config::parse(text, "test").unwrap();
        let all: Vec<String> = addresses(&config, &config.hosts[0])
            .iter()
            .map(|it| format!("{}/{} {}", it.addr, it.prefix, it.join))
            .collect();
        let wanted = [
            "10.0.0.1/24 false",
            "fd00::100/64 false",
            "192.0.2.1/32 false",
            "10.0.0.100/24 false",
            "239.255.0.100/32 true",
        ];
        assert_eq!(all, wanted);
    }
}
