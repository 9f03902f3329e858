//! What the modules of `routes` say of their paths.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Value, json};

/// Where schemas are.
const SCHEMAS: &str = "/components/schemas";

/// All that is described.
pub(crate) struct Paths {
    pub(super) operations: Vec<Operation>,
    /// Schemas of what is read, and of what is written: a field that may be left out in one is
    /// always there in the other.
    pub(super) read: SchemaGenerator,
    pub(super) written: SchemaGenerator,
}

/// One method of one path.
pub(super) struct Operation {
    pub(super) method: &'static str,
    /// The path and the other spellings of it.
    pub(super) paths: Vec<String>,
    pub(super) summary: String,
    pub(super) parameters: Vec<Value>,
    pub(super) body: Option<Body>,
    /// Status, schema of the body if there is one.
    pub(super) answers: Vec<(u16, Option<Value>)>,
    pub(super) is_public: bool,
    /// Whether the first answer may be a file of comma-separated values.
    pub(super) has_csv: bool,
}

/// A request body.
pub(super) struct Body {
    pub(super) schema: Value,
    pub(super) is_required: bool,
    pub(super) example: Option<Value>,
}

/// An operation that is being described.
pub(crate) struct Describing<'a> {
    operation: usize,
    paths: &'a mut Paths,
}

// === impl Paths ===

impl Paths {
    pub(super) fn new() -> Paths {
        let settings =
            || SchemaSettings::draft2020_12().with(|to| to.definitions_path = SCHEMAS.into());
        Paths {
            operations: Vec::new(),
            read: settings().for_deserialize().into_generator(),
            written: settings().for_serialize().into_generator(),
        }
    }

    pub(crate) fn get(&mut self, path: &str, summary: &str) -> Describing<'_> {
        self.add("get", path, summary)
    }

    pub(crate) fn post(&mut self, path: &str, summary: &str) -> Describing<'_> {
        self.add("post", path, summary)
    }

    pub(crate) fn put(&mut self, path: &str, summary: &str) -> Describing<'_> {
        self.add("put", path, summary)
    }

    pub(crate) fn patch(&mut self, path: &str, summary: &str) -> Describing<'_> {
        self.add("patch", path, summary)
    }

    pub(crate) fn delete(&mut self, path: &str, summary: &str) -> Describing<'_> {
        self.add("delete", path, summary)
    }

    fn add(&mut self, method: &'static str, path: &str, summary: &str) -> Describing<'_> {
        self.operations.push(Operation {
            method,
            paths: vec![path.to_owned()],
            summary: summary.to_owned(),
            parameters: Vec::new(),
            body: None,
            answers: Vec::new(),
            is_public: false,
            has_csv: false,
        });
        Describing { operation: self.operations.len() - 1, paths: self }
    }
}

// === impl Describing ===

impl Describing<'_> {
    /// Another spelling of the path.
    pub(crate) fn also(mut self, path: &str) -> Self {
        self.operation().paths.push(path.to_owned());
        self
    }

    /// Needs no token.
    pub(crate) fn public(mut self) -> Self {
        self.operation().is_public = true;
        self
    }

    /// Its first answer may be a file of comma-separated values.
    pub(crate) fn or_csv(mut self) -> Self {
        self.operation().has_csv = true;
        self
    }

    /// `count` and `startKey`.
    pub(crate) fn paged(self) -> Self {
        self.query(
            "count",
            "How many at most; more than 1000 are taken for 1000.",
            json!({
                "type": "integer", "minimum": 1, "default": 100,
            }),
        )
        .text("startKey", "The first of the page: what an answer gave, or the last key seen.")
    }

    /// A query parameter that is `true` or `false`.
    pub(crate) fn flag(self, name: &str, description: &str) -> Self {
        self.query(name, description, json!({ "type": "boolean", "default": false }))
    }

    /// A query parameter of any text.
    pub(crate) fn text(self, name: &str, description: &str) -> Self {
        self.query(name, description, json!({ "type": "string" }))
    }

    /// A query parameter that is one of some words.
    pub(crate) fn choice(self, name: &str, words: &[&str], description: &str) -> Self {
        self.query(name, description, json!({ "type": "string", "enum": words }))
    }

    /// A query parameter of any schema.
    pub(crate) fn query(self, name: &str, description: &str, schema: Value) -> Self {
        self.parameter(name, "query", description, schema)
    }

    /// A request header.
    pub(crate) fn header(self, name: &str, description: &str, schema: Value) -> Self {
        self.parameter(name, "header", description, schema)
    }

    /// The parameter before must be given.
    pub(crate) fn required(mut self) -> Self {
        if let Some(last) = self.operation().parameters.last_mut() {
            last["required"] = json!(true);
        }
        self
    }

    /// The request's body.
    pub(crate) fn takes<T: JsonSchema>(self) -> Self {
        self.body::<T>(true)
    }

    /// The request's body, which may be left out.
    pub(crate) fn may_take<T: JsonSchema>(self) -> Self {
        self.body::<T>(false)
    }

    /// A body as people would send it.
    pub(crate) fn example(mut self, example: Value) -> Self {
        if let Some(body) = &mut self.operation().body {
            body.example = Some(example);
        }
        self
    }

    /// An answer with a body. With two under one status, either may come.
    pub(crate) fn answers<T: JsonSchema>(mut self, status: u16) -> Self {
        let schema = self.paths.written.subschema_for::<T>().to_value();
        let answers = &mut self.operation().answers;
        let before = answers.iter_mut().find(|(known, _)| *known == status);
        match before.and_then(|(_, known)| known.as_mut()) {
            Some(known) => match known.get_mut("anyOf").and_then(Value::as_array_mut) {
                Some(any) => any.push(schema),
                None => *known = json!({ "anyOf": [known.take(), schema] }),
            },
            None => answers.push((status, Some(schema))),
        }
        self
    }

    /// An answer without one.
    pub(crate) fn answers_nothing(mut self, status: u16) -> Self {
        self.operation().answers.push((status, None));
        self
    }

    fn body<T: JsonSchema>(mut self, is_required: bool) -> Self {
        let schema = self.paths.read.subschema_for::<T>().to_value();
        self.operation().body = Some(Body { schema, is_required, example: None });
        self
    }

    fn parameter(mut self, name: &str, place: &str, description: &str, schema: Value) -> Self {
        self.operation().parameters.push(json!({
            "name": name, "in": place, "description": description, "schema": schema,
        }));
        self
    }

    fn operation(&mut self) -> &mut Operation {
        &mut self.paths.operations[self.operation]
    }
}
