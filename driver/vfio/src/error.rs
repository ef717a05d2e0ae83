// SPDX-License-Identifier: Apache-2.0
//! What goes wrong between a driver and VFIO, and what to do about it.

use crate::Address;
use hashgate_device::DeviceError;
use rustix::io::Errno;
use std::io;
use std::path::PathBuf;

/// Why VFIO did not do what was asked. It is the source of a [`DeviceError::Io`].
#[derive(Debug, thiserror::Error)]
pub enum VfioError {
    /// Not the address of a PCI device.
    #[error("'{text}' is no PCI address: give it as lspci -D shows it, such as 0000:03:00.0")]
    Address {
        /// What was given.
        text: String,
    },
    /// No device has this address.
    #[error("{} does not exist: this machine has no PCI device {address} (lspci -D lists them)", path.display())]
    NoDevice {
        /// Address asked for.
        address: Address,
        /// Where the kernel would show it.
        path: PathBuf,
    },
    /// The device belongs to a driver of the kernel, or to none.
    #[error(
        "{address} belongs to {}, not to vfio-pci: modprobe vfio-pci; echo vfio-pci > {path}/driver_override; \
         {}echo {address} > /sys/bus/pci/drivers_probe (as root)",
        driver.as_deref().map_or("no driver".into(), |name| format!("driver {name}")),
        if driver.is_some() { format!("echo {address} > {}/driver/unbind; ", path.display()) } else { String::new() },
        path = path.display()
    )]
    NotBound {
        /// The device.
        address: Address,
        /// Its driver.
        driver: Option<String>,
        /// Where the kernel shows it.
        path: PathBuf,
    },
    /// There is no IOMMU between the device and memory.
    #[error(
        "{} does not exist: no IOMMU contains the DMA of {address}; switch it on in the firmware and for the kernel \
         (intel_iommu=on or amd_iommu=on)",
        path.display()
    )]
    NoIommu {
        /// The device.
        address: Address,
        /// Where the kernel would show the group.
        path: PathBuf,
    },
    /// Other devices that the IOMMU cannot tell apart from this one belong to drivers of the kernel.
    #[error("{} is not viable: bind all devices in /sys/kernel/iommu_groups/{group}/devices to vfio-pci or to no driver", path.display())]
    NotViable {
        /// Number of the group.
        group: u32,
        /// Its file.
        path: PathBuf,
    },
    /// The kernel speaks another VFIO.
    #[error("{}: {what}: this kernel's VFIO is not one that the driver knows", path.display())]
    Kernel {
        /// File that was asked.
        path: PathBuf,
        /// What is missing.
        what: &'static str,
    },
    /// The device has no reset that the kernel can do.
    #[error("{address} cannot be reset: the kernel knows no way to reset it alone (no function-level reset)")]
    NotResettable {
        /// The device.
        address: Address,
    },
    /// The operating system refused.
    #[error("{}: {what}: {source}{}", path.display(), advice(*source))]
    Refused {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What came back.
        source: Errno,
    },
}

/// What to do about an error of the operating system.
fn advice(error: Errno) -> &'static str {
    match error {
        Errno::NOENT => " (load the modules: modprobe vfio-pci vfio_iommu_type1)",
        Errno::ACCESS | Errno::PERM => " (give this user the file, with chown or a udev rule, or run as root)",
        Errno::NOMEM => " (too little memory, or more than may be locked: raise ulimit -l)",
        Errno::NODEV | Errno::NXIO => " (the device or its driver is gone)",
        _ => "",
    }
}

impl VfioError {
    /// For `map_err`: `what` was tried on `path`.
    pub(crate) fn refused(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(Errno) -> VfioError {
        let path = path.into();
        move |source| VfioError::Refused { what, path, source }
    }

    /// Kind of the error as the standard library names it.
    fn kind(&self) -> io::ErrorKind {
        match self {
            VfioError::Address { .. } => io::ErrorKind::InvalidInput,
            VfioError::NoDevice { .. } => io::ErrorKind::NotFound,
            VfioError::Kernel { .. } | VfioError::NotResettable { .. } => io::ErrorKind::Unsupported,
            VfioError::Refused { source, .. } => io::Error::from(*source).kind(),
            VfioError::NotBound { .. } | VfioError::NoIommu { .. } | VfioError::NotViable { .. } => {
                io::ErrorKind::Other
            }
        }
    }

    /// As an error of a device, met by `action`.
    pub(crate) fn during(self, action: &'static str) -> DeviceError {
        match self {
            VfioError::Refused { path, source: Errno::BUSY, .. } => {
                DeviceError::Busy { device: path.display().to_string() }
            }
            error => DeviceError::Io { action, source: io::Error::new(error.kind(), error) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address() -> Address {
        "03:00.0".parse().unwrap()
    }

    #[test]
    fn errors_say_what_to_do() {
        let path = PathBuf::from("/sys/bus/pci/devices/0000:03:00.0");
        let refused =
            |source| VfioError::refused("open", "/dev/vfio/7")(source).during("opening the device").to_string();
        let texts = [
            (refused(Errno::NOENT), "/dev/vfio/7", "modprobe vfio-pci"),
            (refused(Errno::ACCESS), "/dev/vfio/7", "run as root"),
            (refused(Errno::NOMEM), "opening the device", "ulimit -l"),
            (VfioError::NoDevice { address: address(), path: path.clone() }.to_string(), "0000:03:00.0", "lspci -D"),
            (
                VfioError::NotBound { address: address(), driver: None, path: path.clone() }.to_string(),
                "no driver",
                "echo 0000:03:00.0 > /sys/bus/pci/drivers_probe",
            ),
            (
                VfioError::NotBound { address: address(), driver: Some("e1000e".into()), path: path.clone() }
                    .to_string(),
                "driver e1000e",
                "0000:03:00.0/driver/unbind",
            ),
            (VfioError::NoIommu { address: address(), path }.to_string(), "does not exist", "intel_iommu=on"),
            (
                VfioError::NotViable { group: 7, path: "/dev/vfio/7".into() }.to_string(),
                "not viable",
                "iommu_groups/7/devices",
            ),
        ];
        for (text, what, remedy) in texts {
            assert!(text.contains(what) && text.contains(remedy), "{text}");
        }
    }

    #[test]
    fn a_device_in_use_is_named_as_such() {
        let error = VfioError::refused("open", "/dev/vfio/7")(Errno::BUSY).during("opening the device");
        assert!(matches!(&error, DeviceError::Busy { device } if device == "/dev/vfio/7"), "{error}");
    }
}
