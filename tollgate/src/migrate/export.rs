//! The folder with Edge's answers.
//!
//! A kind has one file, `developers.json`, or a folder with any number of them, `developers/….json`. A file is an answer as it
//! came: one record, a list of them, or an object with the list. Of balances and acceptances the name of the file is whose.

use std::path::{Path, PathBuf};

use serde_json::Value;
use serde_json::value::RawValue;

use super::MigrateError;
use super::kinds::Kind;
use super::money::Fields;
use super::report::Report;

/// What a file may have at most.
const FILE_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// A record of Edge.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) kind: Kind,
    /// The file, as people know it.
    pub(super) file: String,
    /// The file's name without its end.
    pub(super) stem: String,
    pub(super) fields: Fields,
}

/// All records.
#[derive(Debug, Default)]
pub(super) struct Export(Vec<Record>);

// === impl Record ===

impl Record {
    /// A field as text, numbers as they are written; `null` and absent are none.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        match self.value(name) {
            Value::String(text) => Some(text),
            Value::Number(_) | Value::Bool(_) => Some(self.fields[name].get().to_owned()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// The `id` of a field that names something.
    pub(super) fn id_of(&self, name: &str) -> Option<String> {
        self.value(name)["id"].as_str().map(str::to_owned)
    }

    pub(super) fn value(&self, name: &str) -> Value {
        let raw = self.fields.get(name);
        raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or(Value::Null)
    }

    /// What of the fields goes into a body as it is.
    pub(super) fn copied(&self) -> Fields {
        let names = self.kind.copied().split_whitespace();
        names
            .filter_map(|name| Some((name.to_owned(), self.fields.get(name)?.clone())))
            .filter(|(_, raw)| raw.get() != "null")
            .collect()
    }
}

// === impl Export ===

impl Export {
    /// Reads everything; what is not known goes into the report.
    ///
    /// # Errors
    /// `Read`, if the folder cannot be listed.
    pub(super) fn read(dir: &Path, report: &mut Report) -> Result<Export, MigrateError> {
        let mut export = Export::default();
        for path in listing(dir)? {
            let name = name(&path);
            let stem = name.strip_suffix(".json").unwrap_or(&name);
            let kind = Kind::ALL.into_iter().find(|kind| kind.place() == stem);
            match (kind, path.is_dir()) {
                (Some(kind), true) => {
                    for file in listing(&path)? {
                        export.file(kind, &file, report);
                    }
                }
                (Some(kind), false) => export.file(kind, &path, report),
                (None, _) => report.leave(format!("file {name}: no such resource is known"), &name),
            }
        }
        Ok(export)
    }

    pub(super) fn of(&self, kind: Kind) -> impl Iterator<Item = &Record> {
        self.0.iter().filter(move |record| record.kind == kind)
    }

    fn file(&mut self, kind: Kind, path: &Path, report: &mut Report) {
        let file = format!("{}/{}", kind.place(), name(path));
        if path.extension().is_none_or(|end| end != "json") {
            return report.leave(format!("file {file}: is not a .json file"), &file);
        }
        match records(kind, path) {
            Ok((records, problems)) => {
                for problem in problems {
                    report.fail("file", &file, problem);
                }
                for raw in records {
                    self.record(kind, &file, path, &raw, report);
                }
            }
            Err(reason) => report.fail("file", &file, reason),
        }
    }

    fn record(&mut self, kind: Kind, file: &str, path: &Path, raw: &RawValue, report: &mut Report) {
        let Ok(fields) = serde_json::from_str::<Fields>(raw.get()) else {
            let reason = format!("{} is only a name: save it with expand=true", raw.get());
            return report.fail("file", file, reason);
        };
        let known = |name: &str| {
            let names = [kind.copied(), kind.read()];
            names.iter().any(|names| names.split_whitespace().any(|known| known == name))
        };
        for (name, value) in &fields {
            if !known(name) && value.get() != "null" {
                report.leave(format!("field {name} of {}", kind.place()), file);
            }
        }
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let stem = stem.unwrap_or_default().replace("%40", "@");
        self.0.push(Record { kind, file: file.to_owned(), stem, fields });
    }
}

/// The records of a file as they are written, and what is wrong with it beside them.
fn records(kind: Kind, path: &Path) -> Result<(Vec<Box<RawValue>>, Vec<String>), String> {
    let length = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if length > FILE_BYTES_MAX {
        return Err(format!("has {length} bytes, at most {FILE_BYTES_MAX} are read"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let malformed = |error: serde_json::Error| format!("is not JSON: {error}");
    if text.trim_start().starts_with('[') {
        return Ok((serde_json::from_str(&text).map_err(malformed)?, Vec::new()));
    }
    let object: Fields = serde_json::from_str(&text).map_err(malformed)?;
    let list = object.get(kind.list()).filter(|raw| raw.get().starts_with('['));
    let Some(list) = list else {
        if object.contains_key("totalRecords") {
            return Err(format!("is a list without {}", kind.list()));
        }
        let whole = RawValue::from_string(text).map_err(malformed)?;
        return Ok((vec![whole], Vec::new()));
    };
    let list: Vec<Box<RawValue>> = serde_json::from_str(list.get()).map_err(malformed)?;
    let total = object.get("totalRecords").and_then(|raw| raw.get().parse::<usize>().ok());
    let mut problems = Vec::new();
    if let Some(total) = total.filter(|total| *total > list.len()) {
        let shown = list.len();
        problems.push(format!("has {shown} of {total} records: save it with all=true"));
    }
    for name in object.keys().filter(|name| *name != kind.list() && *name != "totalRecords") {
        problems.push(format!("has {name} beside the list, which is not read"));
    }
    Ok((list, problems))
}

/// What a folder has, by name.
fn listing(dir: &Path) -> Result<Vec<PathBuf>, MigrateError> {
    let failed = |source| MigrateError::Read { path: dir.to_owned(), source };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.sort();
    Ok(paths)
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
