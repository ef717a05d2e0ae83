// SPDX-License-Identifier: Apache-2.0
//! Checks JSON by the schema that `lbctl schema` prints: as much of draft 2020-12 as it uses, and that is checked, too.

use super::fake::{Ran, lbctl};
use serde_json::{Map, Value};

/// The schemas of all verbs.
pub fn all() -> Map<String, Value> {
    let ran = Ran::new(&mut lbctl(&["schema"]));
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    serde_json::from_str(&ran.out).expect("an object")
}

/// That of one verb, as printed by itself.
pub fn of(verb: &str) -> Value {
    let ran = Ran::new(&mut lbctl(&[&["schema"], verb.split(' ').collect::<Vec<_>>().as_slice()].concat()));
    let schema = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!(all().get(verb), Some(&schema), "{verb}");
    schema
}

/// Whether `value` does not fit.
pub fn refuses(schema: &Value, value: &Value) -> bool {
    fits(schema, schema, value).is_err()
}

/// Panics unless `value` fits, and has nothing that is not described.
pub fn check(schema: &Value, value: &Value, verb: &str) {
    if let Err(why) = fits(schema, schema, value) {
        panic!("{verb}: {why}");
    }
}

fn fits(root: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let schema = schema.as_object().ok_or("a schema is an object")?;
    const KNOWN: [&str; 14] = [
        "$schema",
        "$defs",
        "$ref",
        "title",
        "description",
        "type",
        "properties",
        "required",
        "items",
        "anyOf",
        "format",
        "minimum",
        "maximum",
        "default",
    ];
    if let Some(key) = schema.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        return Err(format!("the schema uses {key}, which this test does not check"));
    }
    if let Some(name) = schema.get("$ref") {
        let name = name.as_str().and_then(|it| it.strip_prefix("#/$defs/")).ok_or("a reference to $defs")?;
        fits(root, root["$defs"].get(name).ok_or_else(|| format!("no $defs/{name}"))?, value)?;
    }
    if let Some(any) = schema.get("anyOf") {
        let any = any.as_array().ok_or("anyOf is a list")?;
        if !any.iter().any(|one| fits(root, one, value).is_ok()) {
            return Err(format!("{value} fits none of {any:?}"));
        }
    }
    if let Some(types) = schema.get("type") {
        let types = types.as_array().cloned().unwrap_or_else(|| vec![types.clone()]);
        if !types.iter().any(|it| it.as_str().is_some_and(|it| is(it, value))) {
            return Err(format!("{value} is none of {types:?}"));
        }
    }
    let least = schema.get("minimum").and_then(Value::as_f64);
    if least.zip(value.as_f64()).is_some_and(|(least, number)| number < least) {
        return Err(format!("{value} is less than {least:?}"));
    }
    if let (Some(items), Some(values)) = (schema.get("items"), value.as_array()) {
        values.iter().try_for_each(|value| fits(root, items, value))?;
    }
    match (schema.get("properties").and_then(Value::as_object), value.as_object()) {
        (Some(properties), Some(fields)) => object(root, schema, properties, fields),
        _ => Ok(()),
    }
}

fn object(
    root: &Value,
    schema: &Map<String, Value>,
    properties: &Map<String, Value>,
    fields: &Map<String, Value>,
) -> Result<(), String> {
    let required =
        schema.get("required").and_then(Value::as_array).ok_or("fields that are always there are required")?;
    // What has no value is null, since nothing is left out.
    if let Some(name) = properties.keys().find(|it| !required.iter().any(|one| one == *it)) {
        return Err(format!("{name} is not required"));
    }
    for name in required.iter().filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            return Err(format!("{name} is missing"));
        }
    }
    for (name, value) in fields {
        let schema = properties.get(name).ok_or_else(|| format!("{name} is not described"))?;
        fits(root, schema, value).map_err(|why| format!("{name}: {why}"))?;
    }
    Ok(())
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        _ => false,
    }
}
