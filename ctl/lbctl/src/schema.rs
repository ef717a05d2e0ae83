// SPDX-License-Identifier: Apache-2.0
//! What `--json` prints, by verb: the messages of the API, as JSON Schema (draft 2020-12) made from their definition.

use crate::verbs::{ip2mac::ClusterMacs, top::Sample};
use hashgate_api::v1;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};

/// A verb, and the schema of each object that it prints.
pub type Output = (&'static str, fn() -> Schema);

/// All verbs that know `--json`. `bindings dump`, `bindings watch`, `events` and `counters --watch` print one object per line.
pub const OUTPUTS: [Output; 31] = [
    ("query", of::<v1::CommandReply>),
    ("start", of::<v1::CommandReply>),
    ("stop", of::<v1::CommandReply>),
    ("drainstop", of::<v1::CommandReply>),
    ("undrain", of::<v1::CommandReply>),
    ("suspend", of::<v1::CommandReply>),
    ("resume", of::<v1::CommandReply>),
    ("enable", of::<v1::CommandReply>),
    ("disable", of::<v1::CommandReply>),
    ("drain", of::<v1::CommandReply>),
    ("capacity", of::<v1::CommandReply>),
    ("hold", of::<v1::CommandReply>),
    ("reload", of::<v1::CommandReply>),
    ("params", of::<v1::ParamsReply>),
    ("ip2mac", of::<ClusterMacs>),
    ("queryport", of::<v1::RulesReply>),
    ("map show", of::<v1::MapReply>),
    ("bindings dump", of::<v1::Binding>),
    ("bindings watch", of::<v1::BindingEvent>),
    ("bindings count", of::<v1::CountBindingsReply>),
    ("bindings delete", of::<v1::DeleteBindingsReply>),
    ("rules", of::<v1::RulesReply>),
    ("targets", of::<v1::TargetsReply>),
    ("counters", of::<v1::CountersReply>),
    ("events", of::<v1::Event>),
    ("nic info", of::<v1::NicInfoReply>),
    ("status", of::<v1::StatusReply>),
    ("top", of::<Sample>),
    ("explain", of::<v1::ExplainReply>),
    ("occupancy", of::<v1::OccupancyReply>),
    ("schema", of::<Schema>),
];

/// Of what is written: fields that are always there are required.
fn of<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>()
}
