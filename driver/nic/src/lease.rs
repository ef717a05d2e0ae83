// SPDX-License-Identifier: Apache-2.0
//! NIC time and the lease.

use crate::Nic;
use hashgate_regs::registers::LeaseCtrl;

/// State of the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// VIP traffic passes only under a lease.
    pub enabled: bool,
    /// It was armed since the reset.
    pub armed: bool,
    /// It has expired, or was never armed; only arming ends that.
    pub expired: bool,
    /// End of the lease in NIC time, ns.
    pub deadline: u64,
}

impl Nic {
    /// NIC time in nanoseconds since its reset. All deadlines are in this time.
    pub fn time_ns(&self) -> u64 {
        self.registers().time_ns()
    }

    /// Makes VIP traffic depend on a lease, and starts it until `deadline` (NIC time, ns), also after it has expired.
    pub fn arm_lease(&mut self, deadline: u64) {
        self.registers().set_lease_deadline(deadline);
        self.registers().set_lease_ctrl(LeaseCtrl { enable: true, arm: true });
    }

    /// Moves the deadline of a running lease to `deadline` (NIC time, ns). An expired lease stays expired.
    pub fn renew_lease(&mut self, deadline: u64) {
        self.registers().set_lease_deadline(deadline);
    }

    /// Makes VIP traffic independent of a lease.
    pub fn disable_lease(&mut self) {
        self.registers().set_lease_ctrl(LeaseCtrl { enable: false, arm: false });
    }

    /// State of the lease.
    pub fn lease(&self) -> Lease {
        let (registers, status) = (self.registers(), self.registers().status());
        Lease {
            enabled: registers.lease_ctrl().enable,
            armed: status.lease_armed,
            expired: status.lease_expired,
            deadline: registers.lease_deadline(),
        }
    }
}
