// SPDX-License-Identifier: Apache-2.0
//! A simulated function as a PCI device of the same process.

use crate::config::{BAR2_BYTES, Effect, VECTORS};
use crate::{FaultLog, Function, Host, Protection, Sink};
use hashgate_device::{
    Bar, DeviceError, DmaMemory, DmaRegion, Interrupt, PciDevice, Width, check_bar_access, check_dma,
};
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Time that a step takes while somebody waits for an interrupt: about a clock cycle.
const STEP: Duration = Duration::from_nanos(3);

/// A function behind PCI. Clones show the same one, so a test can keep one for the other sides of the NIC and give one to the driver.
///
/// Time passes in register accesses, as much as the function takes to answer, in [`InProcess::run`] and its like, and while somebody waits for an
/// interrupt; everything else goes on meanwhile.
pub struct InProcess<F> {
    shared: Arc<Shared<F>>,
}

impl<F> Clone for InProcess<F> {
    fn clone(&self) -> InProcess<F> {
        InProcess { shared: self.shared.clone() }
    }
}

struct Shared<F> {
    host: Host,
    function: Mutex<F>,
    bar0_bytes: usize,
}

impl<F: Function + 'static> InProcess<F> {
    /// Puts a function behind PCI.
    pub fn new(function: F) -> InProcess<F> {
        let bar0_bytes = function.bar0_bytes();
        let host = Host::new(bar0_bytes);
        InProcess { shared: Arc::new(Shared { host, function: Mutex::new(function), bar0_bytes }) }
    }

    /// The NIC, for its wires. Drop the guard before the driver is called from the same thread. Let time pass by the methods here: those of
    /// the guard know no host.
    pub fn nic(&self) -> MutexGuard<'_, F> {
        self.shared.function()
    }

    /// The host's side, for what no driver can do.
    pub fn host(&self) -> &Host {
        &self.shared.host
    }

    /// Bytes of BAR 0.
    pub fn bar0_bytes(&self) -> usize {
        self.shared.bar0_bytes
    }

    /// `steps` clock cycles.
    pub fn run(&self, steps: u64) {
        let mut function = self.shared.function();
        (0..steps).for_each(|_| function.step(&self.shared.host));
    }

    /// Steps until the function is idle, at most `steps` times; gives whether it is.
    pub fn run_until_idle(&self, steps: u64) -> bool {
        let mut function = self.shared.function();
        for _ in 0..steps {
            if function.is_idle() {
                return true;
            }
            function.step(&self.shared.host);
        }
        function.is_idle()
    }

    /// Takes the log of memory accesses that the IOMMU refused.
    pub fn take_faults(&self) -> FaultLog {
        self.shared.host.take_faults()
    }

    /// Surprise removal: all reads give ones from now on, nothing else happens.
    pub fn remove(&self) {
        self.shared.host.remove();
    }
}

impl<F: Function> Shared<F> {
    fn function(&self) -> MutexGuard<'_, F> {
        // After a panic, of an assertion of the RTL for example, the NIC panics again with the same text when stepped.
        self.function.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reset(&self) {
        self.host.reset();
        self.function().reset_host_side(&self.host);
    }
}

impl<F: Function + 'static> PciDevice for InProcess<F> {
    fn identity(&self) -> usize {
        Arc::as_ptr(&self.shared).addr()
    }

    fn config_read(&self, offset: u16, width: Width) -> Result<u32, DeviceError> {
        self.shared.host.config_read(offset, width)
    }

    fn config_write(&self, offset: u16, width: Width, value: u32) -> Result<(), DeviceError> {
        if self.shared.host.config_write(offset, width, value)? == Effect::Reset {
            self.shared.reset();
        }
        Ok(())
    }

    fn bar(&self, index: u8) -> Result<Arc<dyn Bar>, DeviceError> {
        let size = match index {
            0 => self.shared.bar0_bytes,
            2 => BAR2_BYTES,
            _ => return Err(DeviceError::NoBar { index }),
        };
        Ok(Arc::new(MappedBar { shared: self.shared.clone(), size, msix: index == 2 }))
    }

    fn map_dma(&self, iova: u64, bytes: usize) -> Result<Arc<DmaRegion>, DeviceError> {
        check_dma(iova, bytes)?;
        let io = |source| DeviceError::Io { action: "memory for the device", source };
        let memory = Arc::new(DmaMemory::anonymous(bytes).map_err(io)?);
        self.shared.host.map(iova, memory.clone(), Protection::READ_WRITE)?;
        let shared = self.shared.clone();
        let unmap = move || {
            shared.host.unmap(iova);
        };
        Ok(Arc::new(DmaRegion::new(memory, iova, Box::new(unmap))))
    }

    fn interrupt_vectors(&self) -> usize {
        VECTORS
    }

    fn enable_interrupts(&self, vectors: usize) -> Result<Vec<Arc<dyn Interrupt>>, DeviceError> {
        if vectors > VECTORS {
            return Err(DeviceError::Interrupts { wanted: vectors, available: VECTORS });
        }
        self.shared.host.clear_sinks();
        let counts: Vec<Arc<AtomicU64>> = (0..vectors).map(|_| Arc::default()).collect();
        let sink = |count: &Arc<AtomicU64>| -> Option<Sink> {
            let count = count.clone();
            Some(Box::new(move || {
                count.fetch_add(1, Ordering::Release);
            }))
        };
        self.shared.host.set_sinks(0, counts.iter().map(sink).collect())?;
        let shared = &self.shared;
        let vector = |count| Arc::new(Vector { shared: shared.clone(), count }) as Arc<dyn Interrupt>;
        Ok(counts.into_iter().map(vector).collect())
    }

    fn reset(&self) -> Result<(), DeviceError> {
        if self.shared.host.is_removed() {
            let source = std::io::Error::new(std::io::ErrorKind::NotFound, "the device has been removed");
            return Err(DeviceError::Io { action: "resetting the device", source });
        }
        self.shared.reset();
        Ok(())
    }
}

struct MappedBar<F> {
    shared: Arc<Shared<F>>,
    size: usize,
    /// BAR 2.
    msix: bool,
}

impl<F: Function + 'static> Bar for MappedBar<F> {
    fn size(&self) -> usize {
        self.size
    }

    fn read32(&self, offset: usize) -> u32 {
        check_bar_access(offset, self.size);
        let host = &self.shared.host;
        match host.answers() {
            false => u32::MAX,
            true if self.msix => host.read_bar2(offset),
            true => self.shared.function().read_register(offset, host),
        }
    }

    fn write32(&self, offset: usize, value: u32) {
        check_bar_access(offset, self.size);
        let host = &self.shared.host;
        match host.answers() {
            false => {}
            true if self.msix => host.write_bar2(offset, value),
            true => self.shared.function().write_register(offset, value, host),
        }
    }
}

struct Vector<F> {
    shared: Arc<Shared<F>>,
    count: Arc<AtomicU64>,
}

impl<F: Function + 'static> Interrupt for Vector<F> {
    fn take(&self) -> u64 {
        self.count.swap(0, Ordering::Acquire)
    }

    fn wait(&self, timeout: Duration) -> u64 {
        let mut function = self.shared.function();
        let mut left = timeout.as_nanos() / STEP.as_nanos();
        while self.count.load(Ordering::Relaxed) == 0 && left > 0 && !function.is_idle() {
            function.step(&self.shared.host);
            left -= 1;
        }
        self.take()
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}
