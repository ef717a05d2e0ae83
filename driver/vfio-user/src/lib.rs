// SPDX-License-Identifier: Apache-2.0
//! A device behind a vfio-user socket: the protocol and the driver's side.
#![forbid(unsafe_code)]
