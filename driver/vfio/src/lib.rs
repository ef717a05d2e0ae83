// SPDX-License-Identifier: Apache-2.0
//! A device of this machine, over the kernel's VFIO.
#![forbid(unsafe_code)]
