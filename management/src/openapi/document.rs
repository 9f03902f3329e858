//! Puts what is described together as a document of OpenAPI 3.1.

use serde_json::{Map, Value, json};

use super::paths::{Operation, Paths};

/// Where schemas are, as references say it.
const SCHEMAS: &str = "#/components/schemas/";

/// What schemas of requests are called where one of an answer has the same name and is another.
const OF_REQUESTS: &str = "Request";

/// Paths in Edge's shapes, whose clients send a token as the password of basic authentication.
const MINT_PATHS: &str = "/v1/mint/";

/// Names of path parameters and what one may look like.
const EXAMPLES: [(&str, &str); 6] = [
    ("organization", "acme"),
    ("developer", "ada@example.com"),
    ("app", "weather-app"),
    ("product", "weather"),
    ("currency", "EUR"),
    ("key", "3f8c1d0a9b"),
];

pub(super) fn document(mut paths: Paths) -> Value {
    let mut read = paths.read.take_definitions(true);
    let mut schemas = paths.written.take_definitions(true);
    let renamed = of_requests(&read, &schemas);
    read.values_mut().for_each(|schema| rename(schema, &renamed));
    for (name, schema) in read {
        let other = renamed.iter().find(|(from, _)| from.strip_prefix(SCHEMAS) == Some(&name));
        let name = other.map_or(&name, |(_, to)| to).trim_start_matches(SCHEMAS).to_owned();
        schemas.insert(name, schema);
    }
    schemas.insert("Error".to_owned(), error_schema());
    schemas.insert("MintError".to_owned(), mint_error_schema());
    let mut described = Map::new();
    for operation in &mut paths.operations {
        if let Some(body) = &mut operation.body {
            rename(&mut body.schema, &renamed);
        }
        for (index, path) in operation.paths.iter().enumerate() {
            let methods = described.entry(path.clone()).or_insert_with(|| json!({}));
            methods[operation.method] = one(operation, path, index);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": info(),
        "security": [{ "bearer": [] }],
        "paths": described,
        "components": {
            "schemas": schemas,
            "responses": { "Error": error("Error"), "MintError": error("MintError") },
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer" },
                "basic": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "Any user name, with a bearer token as the password.",
                },
            },
        },
    })
}

fn error(schema: &str) -> Value {
    json!({
        "description": "Refused, or failed: why is in the message.",
        "content": { "application/json": { "schema": { "$ref": format!("{SCHEMAS}{schema}") } } },
    })
}

fn info() -> Value {
    json!({
        "title": "Tollgate management API",
        "version": env!("CARGO_PKG_VERSION"),
        "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        "description": "Developers, apps, API products, rate plans, subscriptions and prepaid \
            wallets in the shapes of Apigee X. 64-bit numbers are strings in answers and strings \
            or numbers in requests. Query parameters that Google's clients add to any request \
            ($alt, alt, fields, key, prettyPrint and their like) are ignored; others that are not \
            described are refused.",
    })
}

/// One operation at one of its paths.
fn one(operation: &Operation, path: &str, index: usize) -> Value {
    let mut parameters: Vec<Value> = names(path).map(path_parameter).collect();
    parameters.extend(operation.parameters.iter().cloned());
    let mut responses = Map::new();
    for (status, schema) in &operation.answers {
        let mut response = json!({ "description": "Done." });
        if let Some(schema) = schema {
            response["content"] = json!({ "application/json": { "schema": schema } });
            if operation.has_csv {
                response["content"]["text/csv"] = json!({ "schema": { "type": "string" } });
            }
        }
        responses.insert(status.to_string(), response);
    }
    let shape = if path.starts_with(MINT_PATHS) { "MintError" } else { "Error" };
    let error = json!({ "$ref": format!("#/components/responses/{shape}") });
    for status in ["4XX", "5XX"] {
        responses.insert(status.to_owned(), error.clone());
    }
    let mut described = json!({
        "operationId": operation_id(operation.method, path),
        "summary": operation.summary,
        "tags": [tag(path)],
        "parameters": parameters,
        "responses": responses,
    });
    if index > 0 {
        described["description"] = json!(format!("The same as {}.", operation.paths[0]));
    }
    if let Some(body) = &operation.body {
        let mut content = json!({ "schema": body.schema });
        if let Some(example) = &body.example {
            content["example"] = example.clone();
        }
        described["requestBody"] = json!({
            "required": body.is_required,
            "content": { "application/json": content },
        });
    }
    if operation.is_public {
        described["security"] = json!([]);
    } else if path.starts_with(MINT_PATHS) {
        described["security"] = json!([{ "bearer": [] }, { "basic": [] }]);
    }
    described
}

/// The names in braces.
pub(super) fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('{').skip(1).filter_map(|rest| rest.split('}').next())
}

fn path_parameter(name: &str) -> Value {
    let mut schema = json!({ "type": "string", "minLength": 1 });
    let example = EXAMPLES.iter().find(|(known, _)| *known == name);
    if let Some((_, example)) = example {
        schema["examples"] = json!([example]);
    }
    json!({ "name": name, "in": "path", "required": true, "schema": schema })
}

/// A name of letters, digits and underscores that no other operation has.
fn operation_id(method: &str, path: &str) -> String {
    let words = path.split(|letter: char| !letter.is_ascii_alphanumeric());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let apart = if path.contains("/:") { "_apart" } else { "" };
    format!("{method}_{}{apart}", words.join("_"))
}

/// The last literal segment names what an operation is about.
fn tag(path: &str) -> &str {
    let segments = path.rsplit('/').filter(|segment| !segment.starts_with(['{', ':']));
    let last = segments.map(|segment| segment.split(':').next().unwrap_or(segment)).next();
    last.unwrap_or(path)
}

/// References to schemas of requests that need a name of their own, and what they become: where an
/// answer's schema of that name is another, or refers to one.
fn of_requests(read: &Map<String, Value>, written: &Map<String, Value>) -> Vec<(String, String)> {
    let mut renamed: Vec<(String, String)> = Vec::new();
    loop {
        let before = renamed.len();
        for (name, schema) in read {
            let from = format!("{SCHEMAS}{name}");
            let mut changed = schema.clone();
            rename(&mut changed, &renamed);
            let is_apart = written.get(name).is_some_and(|known| *known != changed);
            if is_apart && renamed.iter().all(|(known, _)| *known != from) {
                let to = format!("{from}{OF_REQUESTS}");
                renamed.push((from, to));
            }
        }
        if renamed.len() == before {
            return renamed;
        }
    }
}

/// Changes references to schemas that are called otherwise.
fn rename(schema: &mut Value, renamed: &[(String, String)]) {
    match schema {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::String(text) if key == "$ref" => {
                        if let Some((_, to)) = renamed.iter().find(|(from, _)| from == text) {
                            to.clone_into(text);
                        }
                    }
                    other => rename(other, renamed),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|value| rename(value, renamed)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What Edge's clients are told.
fn mint_error_schema() -> Value {
    json!({
        "type": "object",
        "required": ["code", "message", "contexts"],
        "properties": {
            "code": { "type": "string" },
            "message": { "type": "string" },
            "contexts": { "type": "array", "items": {
                "type": "object",
                "required": ["name", "value"],
                "properties": { "name": { "type": "string" }, "value": { "type": "string" } },
            }},
        },
        "example": {
            "code": "mint.resourceDoesNotExist",
            "message": "developer \"ada@example.com\" does not exist",
            "contexts": [],
        },
    })
}

fn error_schema() -> Value {
    json!({
        "type": "object",
        "required": ["error"],
        "properties": { "error": {
            "type": "object",
            "required": ["code", "message", "status"],
            "properties": {
                "code": { "type": "integer", "minimum": 400, "maximum": 599 },
                "message": { "type": "string" },
                "status": { "type": "string", "description": "google.rpc.Code" },
                "details": { "type": "array", "items": {
                    "type": "object",
                    "required": ["@type"],
                    "properties": {
                        "@type": { "type": "string" },
                        "violations": { "type": "array", "items": {
                            "type": "object",
                            "properties": {
                                "type": { "type": "string", "description": "Apigee's code" },
                                "subject": { "type": "string" },
                                "description": { "type": "string" },
                            },
                        }},
                    },
                }},
            },
        }},
        "example": { "error": {
            "code": 404,
            "message": "developer \"ada@example.com\" does not exist",
            "status": "NOT_FOUND",
            "details": [{
                "@type": "type.googleapis.com/google.rpc.PreconditionFailure",
                "violations": [{
                    "type": "developer.service.DeveloperIdDoesNotExist",
                    "subject": "",
                    "description": "developer \"ada@example.com\" does not exist",
                }],
            }],
        }},
    })
}
