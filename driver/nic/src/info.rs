// SPDX-License-Identifier: Apache-2.0
//! Who the NIC is: identification and build parameters, and the doubts about them.

use crate::NicError;
use hashgate_regs::RegisterIo;
use hashgate_regs::registers::{Registers, reset};
use hashgate_tables::{BUCKETS, Limits};

/// Major version of the interface that this driver knows.
pub const MAJOR_VERSION: u16 = (reset::VERSION >> 16) as u16;

/// What a NIC says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NicInfo {
    /// Version of the interface, major and minor.
    pub version: (u16, u16),
    /// Sizes of its tables.
    pub limits: Limits,
    /// Rows in each of the four ways of the VIP table and of the multicast filter.
    pub exact_rows: u16,
    /// Bytes in a beat.
    pub beat_bytes: u8,
    /// Wire ports.
    pub ports: u8,
    /// The wire receive streams carry the FCS.
    pub fcs: bool,
    /// Cycles from the first beat of a one-beat frame on the wire to its first beat to the host.
    pub latency: u16,
    /// Core clock in kHz.
    pub clock_khz: u32,
    /// Bindings that each of the two binding tables takes.
    pub bindings: u32,
}

impl NicInfo {
    /// Reads and doubts the identification registers.
    pub(crate) fn read<IO: RegisterIo>(registers: &Registers<IO>) -> Result<NicInfo, NicError> {
        let id = registers.id();
        if id == u32::MAX {
            return Err(NicError::NoAnswer);
        }
        if id != reset::ID {
            return Err(NicError::WrongId { id, expected: reset::ID });
        }
        let version = registers.version();
        if version.major != MAJOR_VERSION {
            return Err(NicError::WrongVersion { major: version.major, minor: version.minor, known: MAJOR_VERSION });
        }
        let (build0, build1) = (registers.build0(), registers.build1());
        let (build2, build3) = (registers.build2(), registers.build3());
        let clock_khz = registers.clock_khz();
        let rows = build3.exact_rows;
        let capacity = 1..=rows.saturating_mul(2).min(512);
        let possible = |what, value: u32, good: bool, possible| {
            if good { Ok(()) } else { Err(NicError::ImpossibleBuild { what, value, possible }) }
        };
        let beat = build0.beat_bytes;
        possible("beat_bytes", beat.into(), [8, 16, 32, 64].contains(&beat), "8, 16, 32 or 64")?;
        possible("ports", build0.ports.into(), (1..=2).contains(&build0.ports), "1 or 2")?;
        possible("latency", build0.latency.into(), (1..=1000).contains(&build0.latency), "1..=1000 cycles")?;
        possible("rules", build1.rules.into(), (1..=64).contains(&build1.rules), "1..=64")?;
        possible("maps", build1.maps.into(), (1..=96).contains(&build1.maps), "1..=96")?;
        possible(
            "buckets_log2",
            build1.buckets_log2.into(),
            1usize.checked_shl(build1.buckets_log2.into()) == Some(BUCKETS),
            "12",
        )?;
        possible(
            "targets",
            build2.targets.into(),
            build2.targets.is_power_of_two() && build2.targets <= 1024,
            "a power of two up to 1024",
        )?;
        possible(
            "exact_rows",
            rows.into(),
            rows.is_power_of_two() && (16..=4096).contains(&rows),
            "a power of two, 16..=4096",
        )?;
        possible(
            "vips",
            build2.vips.into(),
            capacity.contains(&build2.vips),
            "1 to half of 4 x exact_rows, at most 512",
        )?;
        possible(
            "multicast",
            build3.multicast.into(),
            capacity.contains(&build3.multicast),
            "1 to half of 4 x exact_rows, at most 512",
        )?;
        let bindings = registers.build4();
        possible(
            "bindings",
            bindings,
            bindings.is_power_of_two() && (64..=65536).contains(&bindings),
            "a power of two, 64..=65536",
        )?;
        possible("clock_khz", clock_khz, (3_907..=10_000_000).contains(&clock_khz), "3907..=10000000")?;
        Ok(NicInfo {
            version: (version.major, version.minor),
            limits: Limits {
                ports: build0.ports,
                rules: build1.rules,
                maps: build1.maps,
                vips: build2.vips,
                targets: build2.targets,
                multicast: build3.multicast,
            },
            exact_rows: rows,
            beat_bytes: beat,
            ports: build0.ports,
            fcs: build0.fcs,
            latency: build0.latency,
            clock_khz,
            bindings,
        })
    }
}
