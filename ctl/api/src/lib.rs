// SPDX-License-Identifier: Apache-2.0
//! What can be asked of a daemon. The definition is `proto/hashgate.proto`; its messages are Rust structs, gRPC messages and, by serde, JSON.
#![forbid(unsafe_code)]

/// Messages, client and server of the service `hashgate.v1.Hashgate`.
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod v1 {
    tonic::include_proto!("hashgate.v1");
}

/// Where the daemon keeps its sockets, unless it is told otherwise.
pub const RUN_DIR: &str = "/run/hashgate";
/// Name of the daemon's socket in its directory.
pub const SOCKET: &str = "lbd.sock";
