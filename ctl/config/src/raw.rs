// SPDX-License-Identifier: Apache-2.0
//! The file as it is written: keys and types, with the place of every value. What the values mean is checked in `check`.

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer};
use std::fmt;
use std::ops::Range;
use toml::Spanned;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub cluster: Cluster,
    #[serde(default)]
    pub nic: Nic,
    #[serde(default)]
    pub zone: Vec<Zone>,
    #[serde(default)]
    pub vip: Vec<Vip>,
    pub host: Spanned<Vec<Host>>,
    #[serde(default)]
    pub forward: Vec<Forward>,
    #[serde(default)]
    pub rule: Vec<Spanned<Rule>>,
    #[serde(default)]
    pub step: Vec<Spanned<Step>>,
    #[serde(default)]
    pub control: Control,
    #[serde(default)]
    pub metrics: Metrics,
    #[serde(default)]
    pub notify: Notify,
    #[serde(default)]
    pub monitor: Vec<Spanned<Monitor>>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    pub primary_ip: Spanned<String>,
    #[serde(default)]
    pub mode: ClusterMode,
    pub mask_source: Option<bool>,
    #[serde(default)]
    pub icmp: Icmp,
    #[serde(default)]
    pub other_ip: OtherIp,
    pub hash_key: Option<Spanned<String>>,
    #[serde(default)]
    pub profile: Profile,
    pub period_ms: Option<Spanned<i64>>,
    pub tolerance: Option<Spanned<i64>>,
    pub lease_ms: Option<Spanned<i64>>,
    pub subnets: Option<Spanned<Many>>,
    pub auth: Option<Spanned<Auth>>,
    pub quorum: Option<Spanned<Quorum>>,
}

#[derive(serde::Deserialize, Default, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    #[default]
    Default,
    Compatible,
}

/// `"none"`, or keys.
pub enum Auth {
    None,
    Keys(Keys),
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    pub sign: Spanned<i64>,
    pub keys: std::collections::BTreeMap<Spanned<String>, Spanned<String>>,
}

impl<'de> Deserialize<'de> for Auth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AuthVisitor;
        impl<'de> Visitor<'de> for AuthVisitor {
            type Value = Auth;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("\"none\" or { sign = 1, keys = { 1 = \"FILE\" } }")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Auth, E> {
                match text {
                    "none" => Ok(Auth::None),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Auth, A::Error> {
                Keys::deserialize(MapAccessDeserializer::new(map)).map(Auth::Keys)
            }
        }
        deserializer.deserialize_any(AuthVisitor)
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quorum {
    pub expected_hosts: Spanned<i64>,
    pub witness: Option<Spanned<String>>,
}

#[derive(serde::Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Control {
    pub remote: Option<Spanned<bool>>,
    pub key_file: Option<Spanned<String>>,
    pub grpc: Option<Grpc>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grpc {
    pub listen: Spanned<String>,
    pub certificate: Spanned<String>,
    pub key: Spanned<String>,
    pub client_ca: Spanned<String>,
}

#[derive(serde::Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    pub listen: Option<Spanned<String>>,
    pub link_bits_per_second: Option<Spanned<i64>>,
    pub occupancy_warning: Option<Spanned<f64>>,
}

#[derive(serde::Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Notify {
    pub script: Option<Spanned<String>>,
}

#[derive(serde::Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum CheckKind {
    Tcp,
    Http,
    Command,
}

#[derive(serde::Deserialize, Default, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    #[default]
    Drain,
    Disable,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Monitor {
    pub rule: Spanned<String>,
    pub check: CheckKind,
    pub host: Option<Spanned<String>>,
    pub port: Option<Spanned<i64>>,
    pub path: Option<Spanned<String>>,
    pub expect: Option<Spanned<i64>>,
    pub command: Option<Spanned<Vec<String>>>,
    pub interval_s: Option<Spanned<i64>>,
    pub timeout_s: Option<Spanned<i64>>,
    pub rise: Option<Spanned<i64>>,
    pub fall: Option<Spanned<i64>>,
    #[serde(default)]
    pub on_failure: OnFailure,
}

#[derive(serde::Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub enum ClusterMode {
    #[default]
    Unicast,
    Multicast,
    Igmp,
}

#[derive(serde::Deserialize, Default, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Icmp {
    #[default]
    All,
    Owner,
}

#[derive(serde::Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub enum OtherIp {
    #[default]
    Deliver,
    Discard,
    Balance,
}

#[derive(serde::Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Nic {
    pub build: Option<Spanned<i64>>,
    pub clock_hz: Option<Spanned<i64>>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Zone {
    pub port: Option<Spanned<i64>>,
    pub vlan: Spanned<i64>,
    pub zone: Spanned<i64>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vip {
    pub address: Spanned<String>,
    pub zone: Option<Spanned<i64>>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    pub name: Spanned<String>,
    pub priority: Spanned<i64>,
    pub dedicated_ip: Option<Spanned<Many>>,
    pub zone: Option<Spanned<i64>>,
    pub station_mac: Spanned<String>,
    pub weight: Option<Spanned<i64>>,
    pub device: Option<Spanned<String>>,
    pub tap: Option<Spanned<String>>,
    pub wire_port: Option<Spanned<i64>>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forward {
    pub name: Spanned<String>,
    pub port: Spanned<i64>,
    pub host: Spanned<String>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub name: Option<Spanned<String>>,
    pub vip: Option<Spanned<Many>>,
    pub ports: Option<Spanned<Many>>,
    #[serde(default)]
    pub protocol: Protocol,
    pub mode: Option<Spanned<Mode>>,
    pub affinity: Option<Spanned<Affinity>>,
    pub weights: Option<Spanned<Weights>>,
    pub priorities: Option<Spanned<ByName>>,
    #[serde(default)]
    pub binding: Binding,
    pub track: Option<Spanned<Track>>,
    pub timeouts: Option<Spanned<Timeouts>>,
}

#[derive(serde::Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Track {
    Always,
    Buckets,
    Never,
}

/// Seconds.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timeouts {
    pub half_open: Option<Spanned<i64>>,
    pub reset: Option<Spanned<i64>>,
    pub established: Option<Spanned<i64>>,
    pub closing: Option<Spanned<i64>>,
    pub flow: Option<Spanned<i64>>,
    pub affinity: Option<Spanned<i64>>,
}

#[derive(serde::Deserialize, Default, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Tcp,
    Udp,
    #[default]
    Both,
}

#[derive(serde::Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Multiple,
    Single,
    Disabled,
}

#[derive(serde::Deserialize, Default, Clone, Copy, PartialEq, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Binding {
    #[default]
    Tcp,
    Ssl,
    Sticky,
    Vpn,
    Ip,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    pub after: Spanned<i64>,
    #[serde(default)]
    pub down: Vec<Spanned<String>>,
    #[serde(default)]
    pub up: Vec<Spanned<String>>,
    pub rule: Option<Spanned<String>>,
    pub weights: Option<Spanned<Weights>>,
}

/// A table of names with whole numbers, in the order of the file.
pub struct ByName(pub Vec<(Spanned<String>, Spanned<i64>)>);

impl<'de> Deserialize<'de> for ByName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ByNameVisitor;
        impl<'de> Visitor<'de> for ByNameVisitor {
            type Value = ByName;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a table of names and numbers, as in { a = 1, b = 2 }")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ByName, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(ByName(entries))
            }
        }
        deserializer.deserialize_map(ByNameVisitor)
    }
}

/// Load weights of a rule.
pub enum Weights {
    Equal,
    ByName(ByName),
}

impl<'de> Deserialize<'de> for Weights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WeightsVisitor;
        impl<'de> Visitor<'de> for WeightsVisitor {
            type Value = Weights;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("\"equal\" or a table of weights, as in { a = 50, b = 100 }")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Weights, E> {
                if text == "equal" {
                    Ok(Weights::Equal)
                } else {
                    Err(E::invalid_value(de::Unexpected::Str(text), &self))
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Weights, A::Error> {
                ByName::deserialize(MapAccessDeserializer::new(map)).map(Weights::ByName)
            }
        }
        deserializer.deserialize_any(WeightsVisitor)
    }
}

/// Which packets of a client belong together.
pub enum Affinity {
    None,
    Single,
    ClassC,
    Prefix(Prefix),
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prefix {
    pub prefix4: Spanned<i64>,
    pub prefix6: Spanned<i64>,
}

impl<'de> Deserialize<'de> for Affinity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AffinityVisitor;
        impl<'de> Visitor<'de> for AffinityVisitor {
            type Value = Affinity;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("\"none\", \"single\", \"class-c\" or { prefix4 = 0..32, prefix6 = 0..128 }")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Affinity, E> {
                match text {
                    "none" => Ok(Affinity::None),
                    "single" => Ok(Affinity::Single),
                    "class-c" => Ok(Affinity::ClassC),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Affinity, A::Error> {
                Prefix::deserialize(MapAccessDeserializer::new(map)).map(Affinity::Prefix)
            }
        }
        deserializer.deserialize_any(AffinityVisitor)
    }
}

/// A number or a text.
#[derive(Clone)]
pub enum Scalar {
    Number(i64),
    Text(String),
}

/// One number or text, or a list of them; each of a list with its place.
pub struct Many(pub Vec<(Option<Range<usize>>, Scalar)>);

struct ScalarVisitor;

impl Visitor<'_> for ScalarVisitor {
    type Value = Scalar;
    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a number or a text")
    }
    fn visit_i64<E>(self, number: i64) -> Result<Scalar, E> {
        Ok(Scalar::Number(number))
    }
    fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

impl<'de> Deserialize<'de> for Many {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ManyVisitor;
        impl<'de> Visitor<'de> for ManyVisitor {
            type Value = Many;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a number or a text, or a list of them")
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Many, E> {
                Ok(Many(vec![(None, ScalarVisitor.visit_i64::<E>(number)?)]))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Many, E> {
                Ok(Many(vec![(None, ScalarVisitor.visit_str::<E>(text)?)]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Many, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = list.next_element::<Spanned<Scalar>>()? {
                    values.push((Some(value.span()), value.into_inner()));
                }
                Ok(Many(values))
            }
        }
        deserializer.deserialize_any(ManyVisitor)
    }
}
