//! The router and the description agree.

use std::collections::BTreeSet;
use std::sync::Arc;

use tollgate_ledger_store::book::Book;
use tollgate_ledger_store::sqlite::SqliteLedger;
use tollgate_ledger_store::{Catalogue, LedgerMetrics, SystemClock};

use super::*;
use crate::router::router;
use crate::{Limits, Metrics, NoExposures, Parts, Tokens};

/// A method and a path.
type Route = (String, String);

#[test]
fn every_route_is_described() {
    let routes = routes();
    assert!(routes.len() >= 40, "axum shows its routes otherwise than before: {routes:?}");
    let described = described();
    let mut silent: BTreeSet<&Route> = routes.iter().collect();
    let mut nowhere = Vec::new();
    for (method, path) in &described {
        let fits = |(other, pattern): &&Route| other == method && is_match(pattern, path);
        // As the router does: of the routes that fit, the one with the fewest names.
        match routes.iter().filter(fits).min_by_key(|(_, pattern)| pattern.matches('{').count()) {
            Some(route) => drop(silent.remove(route)),
            None => nowhere.push((method, path)),
        }
    }
    assert!(silent.is_empty(), "routes without a line in describe() of their module: {silent:#?}");
    assert!(nowhere.is_empty(), "described, but no route: {nowhere:#?}");
}

#[test]
fn every_reference_leads_somewhere() {
    fn references(of: &serde_json::Value, found: &mut BTreeSet<String>) {
        match of {
            serde_json::Value::Object(fields) => {
                for (key, value) in fields {
                    match value.as_str() {
                        Some(to) if key == "$ref" => drop(found.insert(to.to_owned())),
                        _ => references(value, found),
                    }
                }
            }
            serde_json::Value::Array(list) => {
                list.iter().for_each(|value| references(value, found));
            }
            _ => {}
        }
    }
    let document = describe();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 20, "{found:?}");
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

#[test]
fn operations_have_ids_of_their_own_and_say_how_they_end() {
    let document = describe();
    let mut ids = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id), "{method} {path}: {id} is used before");
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.keys().any(|status| status.starts_with('2')), "{method} {path}");
            let named = document::names(path).count();
            let in_path = |at: &&serde_json::Value| at["in"] == "path";
            let parameters = operation["parameters"].as_array().unwrap();
            assert_eq!(parameters.iter().filter(in_path).count(), named, "{method} {path}");
        }
    }
}

#[test]
fn what_is_answered_in_two_shapes_is_either() {
    let document = describe();
    let all = "/v1/organizations/{organization}/developers";
    let schema = &document["paths"][all]["get"]["responses"]["200"]["content"]["application/json"];
    let either = schema["schema"]["anyOf"].as_array().unwrap();
    assert_eq!(either.len(), 2, "{either:?}");
    assert!(either.iter().all(|one| one["$ref"].is_string()), "{either:?}");
}

#[test]
fn numbers_of_64_bits_are_strings_in_answers_and_either_in_requests() {
    let document = describe();
    let schema =
        |pointer: &str| document.pointer(&format!("/components/schemas{pointer}")).unwrap();
    assert_eq!(schema("/AppShape/properties/createdAt/format"), "int64");
    assert_eq!(schema("/AppShape/properties/createdAt/type"), "string");
    let units = schema("/MoneyInput/properties/units/anyOf").as_array().unwrap();
    let types: Vec<_> = units.iter().map(|one| one["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["string", "integer", "null"]);
}

/// Whether a path of the description is one that a path of the router takes.
fn is_match(pattern: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    for part in pattern.split('/') {
        if part.starts_with("{*") {
            return true;
        }
        match segments.next() {
            Some(segment) if part.starts_with('{') || part == segment => {}
            _ => return false,
        }
    }
    segments.next().is_none()
}

fn described() -> Vec<Route> {
    let document = describe();
    let paths = document["paths"].as_object().unwrap();
    let each = paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().keys();
        methods.map(move |method| (method.to_uppercase(), path.clone()))
    });
    each.collect()
}

/// The routes of the router, as axum shows them: the `Debug` of a router is the only place.
fn routes() -> Vec<Route> {
    let shown = format!("{:?}", router(parts()));
    // Of two routers the first is ours; the second is of fallbacks.
    let shown = shown.split("fallback_router").next().unwrap();
    let (methods, paths) = shown.split_once("paths:").unwrap();
    let mut routes = Vec::new();
    for entry in paths.split("RouteId(").skip(1) {
        let (id, rest) = entry.split_once(')').unwrap();
        let path = rest.split('"').nth(1).unwrap();
        let own = methods.split_once(&format!("RouteId({id}): ")).unwrap().1;
        let own = own.split("RouteId(").next().unwrap();
        let Some(allowed) = own.split("allow_header: Bytes(b\"").nth(1) else { continue };
        for method in allowed.split('"').next().unwrap().split(',') {
            if method != "HEAD" {
                routes.push((method.to_owned(), path.to_owned()));
            }
        }
    }
    routes
}

fn parts() -> Parts {
    let registry = prometheus::Registry::new();
    let directory = tempfile::tempdir().unwrap();
    let ledger = SqliteLedger::open(
        &directory.path().join("ledger.sqlite"),
        LedgerMetrics::register(&registry).unwrap(),
    );
    let ledger = Arc::new(ledger.unwrap());
    let catalogue = Arc::new(Catalogue::new(ledger.clone(), ledger.clone()));
    let clock = Arc::new(SystemClock::start());
    let book = Arc::new(Book::new(ledger.clone(), catalogue.clone(), clock.clone()));
    Parts {
        ledger,
        catalogue,
        book,
        clock,
        authorizer: Arc::new(Tokens::default()),
        metrics: Metrics::register(&registry).unwrap(),
        exposures: Arc::new(NoExposures),
        limits: Limits::default(),
        billing: None,
    }
}
