//! Every method, field, query parameter and enum value of Google's discovery document that these
//! resources have: none is forgotten.
//!
//! `discovery/excerpt.json` has their names. Each is named in `discovery/effects.txt` with the
//! test that shows its effect, or in `COMPATIBILITY.md`; fields that people write come back from
//! create, get and update as they were written.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::harness::{ADMIN, Server};

const EXCERPT: &str = include_str!("discovery/excerpt.json");
const SAMPLES: &str = include_str!("discovery/samples.json");
const EFFECTS: &str = include_str!("discovery/effects.txt");
const COMPATIBILITY: &str = include_str!("../../COMPATIBILITY.md");

/// Where the tests that `effects.txt` names are.
const TESTS: [&str; 10] = [
    include_str!("appgroups.rs"),
    include_str!("discovery.rs"),
    include_str!("attributes.rs"),
    include_str!("apps.rs"),
    include_str!("balances.rs"),
    include_str!("developers.rs"),
    include_str!("documents.rs"),
    include_str!("plans.rs"),
    include_str!("products.rs"),
    include_str!("subscriptions.rs"),
];

fn excerpt() -> Value {
    serde_json::from_str(EXCERPT).unwrap()
}

fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().unwrap()
}

/// Every name that has to be accounted for.
fn names(excerpt: &Value) -> Vec<String> {
    let mut names = Vec::new();
    let mut add = |name: String, values: &Value| {
        if let Some(values) = values.as_array() {
            names.extend(values.iter().map(|value| format!("{name}={}", value.as_str().unwrap())));
        }
        names.push(name);
    };
    for (schema, fields) in object(&excerpt["schemas"]) {
        for (field, facts) in object(fields) {
            add(format!("{schema}.{field}"), &facts["enum"]);
        }
    }
    for (method, facts) in object(&excerpt["methods"]) {
        for (parameter, values) in object(&facts["query"]) {
            add(format!("{method}?{parameter}"), values);
        }
    }
    names
}

#[test]
fn every_field_parameter_and_value_is_accounted_for() {
    let excerpt = excerpt();
    let names = names(&excerpt);
    assert!(names.len() > 200, "the excerpt has {} names", names.len());
    let mut shown = BTreeSet::new();
    for line in EFFECTS.lines().filter(|line| !line.starts_with('#')) {
        let (name, test) = line.split_once(' ').unwrap();
        let is_there = |text: &&str| text.contains(&format!("fn {test}("));
        assert!(TESTS.iter().any(is_there), "no test is called {test}");
        let known: Vec<&String> = match name.strip_suffix('*') {
            Some(schema) => names.iter().filter(|name| name.starts_with(schema)).collect(),
            None => names.iter().filter(|known| *known == name).collect(),
        };
        assert!(!known.is_empty(), "the excerpt has no {name}");
        shown.extend(known);
    }
    for name in &names {
        let is_listed = COMPATIBILITY.contains(&format!("`{name}`"));
        assert!(
            shown.contains(name) != is_listed,
            "{name} must stand in effects.txt or in COMPATIBILITY.md, and not in both"
        );
    }
}

#[tokio::test]
async fn every_method_has_a_path() {
    let server = Server::start().await;
    let excerpt = excerpt();
    let methods = object(&excerpt["methods"]);
    assert!(methods.len() > 50, "the excerpt has {} methods", methods.len());
    for (name, facts) in methods {
        let path = facts["path"].as_str().unwrap().replace("organizationsId", "acme");
        let path = path.replace(['{', '}'], "");
        let verb = facts["http"].as_str().unwrap();
        let body = (verb != "GET").then_some("{}");
        let reply = server.call(verb, &format!("/{path}"), ADMIN, "", body).await;
        assert_ne!(reply.status, 405, "{name}: {reply:?}");
        assert_ne!(reply.message(), "path does not exist", "{name}: {verb} {path}");
    }
}

/// Fails unless a sample has every field of a schema, and every field of the schemas inside.
fn is_whole(excerpt: &Value, schema: &str, samples: &[&Value]) {
    for (field, facts) in object(&excerpt["schemas"][schema]) {
        let found: Vec<&Value> = samples.iter().filter_map(|sample| sample.get(field)).collect();
        assert!(!found.is_empty(), "no sample has {schema}.{field}");
        if let Some(inner) = facts["schema"].as_str()
            && inner != "Credential"
        {
            let flat = found.iter().flat_map(|value| match value.as_array() {
                Some(list) => list.iter().collect::<Vec<_>>(),
                None => vec![*value],
            });
            is_whole(excerpt, inner, &flat.collect::<Vec<_>>());
        }
    }
}

/// Whether `got` has everything that `given` has.
fn has(got: &Value, given: &Value) -> bool {
    match (got, given) {
        (Value::Object(got), Value::Object(given)) => {
            given.iter().all(|(name, value)| got.get(name).is_some_and(|found| has(found, value)))
        }
        (Value::Array(got), Value::Array(given)) => {
            got.len() == given.len() && got.iter().zip(given).all(|(one, other)| has(one, other))
        }
        _ => got == given,
    }
}

/// Compares an answer with what was sent: `server` fields are there and are not what was sent.
fn came_back(sample: &Value, sent: &Value, got: &Value, when: &str) {
    let schema = sample["schema"].as_str().unwrap();
    let is_in =
        |list: &str, field: &str| sample[list].as_array().unwrap().iter().any(|name| name == field);
    for (field, value) in object(sent) {
        if is_in("input", field) {
            assert_eq!(got.get(field), None, "{schema}.{field} is for input only");
        } else if is_in("once", field) && when != "create" {
            assert_eq!(got.get(field), Some(&json!("****")), "{schema}.{field} is shown once");
        } else if is_in("server", field) {
            assert_ne!(got.get(field), Some(value), "{schema}.{field} was taken from a client");
        } else {
            let found = got.get(field).unwrap_or(&Value::Null);
            assert!(has(found, value), "{schema}.{field} after {when}: {found}, not {value}");
        }
    }
    for field in sample["server"].as_array().unwrap() {
        let field = field.as_str().unwrap();
        assert!(field == "apps" || got.get(field).is_some(), "{schema}.{field} after {when}");
    }
}

#[tokio::test]
async fn every_field_comes_back_as_it_was_written() {
    let server = Server::start_with_ada().await;
    server.add_plan("weather", "").await;
    let apps = format!("{}/apps", crate::harness::ADA);
    assert_eq!(server.post(&apps, r#"{"name":"till"}"#).await.status, 201);
    let excerpt = excerpt();
    let samples: Vec<Value> = serde_json::from_str(SAMPLES).unwrap();
    for sample in &samples {
        let schema = sample["schema"].as_str().unwrap();
        let (create, update) = (&sample["create"], &sample["update"]);
        is_whole(&excerpt, schema, &[create, update]);
        let path =
            |name: &str| format!("/v1/organizations/acme/{}", sample[name].as_str().unwrap());
        let made = server.post(&path("list"), &create.to_string()).await;
        assert_eq!(made.status, 201, "{schema}: {made:?}");
        came_back(sample, create, &made.json, "create");
        let item = match sample["item"].as_str() {
            Some("") => format!("{}/{}", path("list"), made.json["name"].as_str().unwrap()),
            _ => path("item"),
        };
        came_back(sample, create, &server.get(&item).await.json, "get");
        if update.is_null() {
            continue;
        }
        server.clock.set(crate::harness::NOON + 1000);
        let changed = server.put(&item, &update.to_string()).await;
        assert_eq!(changed.status, 200, "{schema}: {changed:?}");
        came_back(sample, update, &changed.json, "update");
        let got = server.get(&item).await.json;
        came_back(sample, update, &got, "update and get");
        // What was got can be sent back, and changes nothing.
        let same = server.put(&item, &got.to_string()).await;
        assert_eq!(same.status, 200, "{schema}: {same:?}");
        assert_eq!(server.get(&item).await.json, got, "{schema}");
    }
    assert_eq!(samples.first().map(|sample| &sample["schema"]), Some(&json!("Developer")));
}
