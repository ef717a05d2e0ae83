// SPDX-License-Identifier: Apache-2.0
//! Makes Rust of the definition, without a protobuf compiler on the machine.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let descriptors = protox::compile(["proto/hashgate.proto"], ["proto"])?;
    tonic_prost_build::configure()
        .type_attribute(".", "#[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]")
        .type_attribute(".", "#[serde(default)]")
        .compile_fds(descriptors)?;
    println!("cargo:rerun-if-changed=proto/hashgate.proto");
    Ok(())
}
