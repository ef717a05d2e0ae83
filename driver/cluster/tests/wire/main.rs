// SPDX-License-Identifier: Apache-2.0
//! Frames and datagrams of the cluster: what is written and read, what is refused, and what independent decoders say about it.

mod budget;
mod control;
mod frames;
mod golden;
mod hostile;
mod membership;
mod properties;
mod samples;
mod tshark;
