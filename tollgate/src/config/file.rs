//! Reads a configuration file and says of every mistake in it which key, which line and which file.
//!
//! A typo that is only noticed by its effect is found weeks later, so unknown keys are errors, and what serde cannot know (two
//! proxies of one name, a certificate without its key) is checked by [`Checked::check`] before a port is bound.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};

/// What a configuration file cannot be larger than.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Values that know what they must not be.
pub(crate) trait Checked {
    /// Checks what the types do not say.
    ///
    /// # Errors
    /// The first value that cannot be used.
    fn check(&self) -> Result<(), Problem>;
}

/// A value that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Where it stands, outermost key first.
    pub(crate) path: Vec<Step>,
    /// What is wrong with it.
    pub(crate) text: String,
}

/// One step of the way to a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// A key of a table.
    Key(String),
    /// The entry of an array of tables whose `name` is this.
    Named(String),
}

/// Why a configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The file cannot be used as it is.
    #[error("{}:{line}: {text}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The key, where there is one, and what is wrong with it.
        text: String,
    },
}

/// Reads, parses and checks the file at `path`.
///
/// # Errors
/// A [`FileError`] that names the file, and where there is one the line and the key.
pub(crate) fn load<T: DeserializeOwned + Checked>(path: &Path) -> Result<T, FileError> {
    let read = |source| FileError::Read { path: path.to_owned(), source };
    let size = std::fs::metadata(path).map_err(read)?.len();
    if size > FILE_BYTES_MAX {
        return Err(wrong(
            path,
            1,
            format!(
                "{size} bytes are more than the {FILE_BYTES_MAX} that a configuration may have"
            ),
        ));
    }
    parse(path, &std::fs::read_to_string(path).map_err(read)?)
}

fn parse<T: DeserializeOwned + Checked>(path: &Path, text: &str) -> Result<T, FileError> {
    let values: T = toml::from_str(text).map_err(|error| {
        let span = error.span().unwrap_or(0..0);
        let text_of_error = match key_at(text, &span) {
            Some(key) if !error.message().contains(&format!("`{key}`")) => {
                format!("{key}: {}", error.message())
            }
            Some(_) | None => error.message().to_owned(),
        };
        wrong(path, line_of(text, span.start), text_of_error)
    })?;
    values.check().map_err(|problem| {
        let start = find(text, &problem.path).map_or(0, |span| span.start);
        wrong(path, line_of(text, start), problem.to_string())
    })?;
    Ok(values)
}

fn wrong(path: &Path, line: usize, text: String) -> FileError {
    FileError::Wrong { path: path.to_owned(), line, text }
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = &text.as_bytes()[..offset.min(text.len())];
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

/// The key whose value is at `span`: what stands before the `=` on its line.
fn key_at(text: &str, span: &Range<usize>) -> Option<String> {
    let line = text.get(..span.start)?.rsplit('\n').next()?;
    let (key, _) = line.split_once('=')?;
    Some(key.trim().to_owned())
}

/// Where the deepest step that the file has stands.
fn find(text: &str, path: &[Step]) -> Option<Range<usize>> {
    let root = DeTable::parse(text).ok()?;
    let mut found = None;
    let mut table = root.get_ref();
    let mut steps = path.iter().peekable();
    while let Some(Step::Key(name)) = steps.next() {
        let (key, value) = table.iter().find(|(key, _)| key.get_ref().as_ref() == name)?;
        found = Some(key.span());
        let mut value = value.get_ref();
        if let (DeValue::Array(entries), Some(Step::Named(wanted))) = (value, steps.peek()) {
            let is_wanted = |entry: &&toml::Spanned<DeValue<'_>>| {
                entry.get_ref().get("name").and_then(|name| name.get_ref().as_str())
                    == Some(wanted.as_str())
            };
            let Some(entry) = entries.iter().find(is_wanted) else { return found };
            found = Some(entry.span());
            value = entry.get_ref();
            steps.next();
        }
        let DeValue::Table(inner) = value else { return found };
        if let Some(Step::Key(next)) = steps.peek()
            && !inner.iter().any(|(key, _)| key.get_ref().as_ref() == next)
        {
            return found;
        }
        table = inner;
    }
    found
}

// === impl Problem ===

impl Problem {
    /// A problem of the key at `path`, whose steps are divided by dots.
    pub(crate) fn at(path: &str, text: impl Into<String>) -> Self {
        let steps = path.split('.').map(|step| Step::Key(step.to_owned())).collect();
        Self { path: steps, text: text.into() }
    }

    /// A problem of the key at `path` in the entry called `name` of the array of tables `array`.
    pub(crate) fn in_entry(array: &str, name: &str, path: &str, text: impl Into<String>) -> Self {
        let mut steps = vec![Step::Key(array.to_owned()), Step::Named(name.to_owned())];
        steps.extend(path.split('.').map(|step| Step::Key(step.to_owned())));
        Self { path: steps, text: text.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, step) in self.path.iter().enumerate() {
            match step {
                Step::Key(key) if place == 0 => write!(f, "{key}")?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Named(name) => write!(f, "[{name:?}]")?,
            }
        }
        write!(f, ": {}", self.text)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[serde(default)]
        entry: Vec<Entry>,
        log: Option<Log>,
        #[serde(skip)]
        problem: Option<Problem>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Entry {
        name: String,
        #[serde(default)]
        size: u32,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Log {
        format: Option<String>,
    }

    impl Checked for Sample {
        fn check(&self) -> Result<(), Problem> {
            if let Some(entry) = self.entry.iter().find(|entry| entry.size > 9) {
                return Err(Problem::in_entry("entry", &entry.name, "size", "is above 9"));
            }
            if self.log.as_ref().is_some_and(|log| log.format.is_none()) {
                return Err(Problem::at("log.format", "is required"));
            }
            self.problem.clone().map_or(Ok(()), Err)
        }
    }

    fn message(text: &str) -> String {
        parse::<Sample>(Path::new("a.toml"), text)
            .map_or_else(|it| it.to_string(), |_| String::new())
    }

    #[test]
    fn mistakes_are_told_with_file_line_and_key() {
        let rows = [
            ("[[entry]]\nname = \"a\"\n", ""),
            (
                "[[entry]]\nname = \"a\"\nsise = 3\n",
                "a.toml:3: unknown field `sise`, expected `name` or `size`",
            ),
            (
                "[[entry]]\nname = \"a\"\nsize = \"3\"\n",
                "a.toml:3: size: invalid type: string \"3\", expected u32",
            ),
            ("\n[[entry]]\nsize = 3\n", "a.toml:2: missing field `name`"),
            (
                "[[entry]]\nname = \"a\"\n[[entry]]\nname = \"b\"\nsize = 10",
                "a.toml:5: entry[\"b\"].size: is above 9",
            ),
            ("\n\n[log]\n", "a.toml:3: log.format: is required"),
        ];
        for (text, want) in rows {
            assert_eq!(message(text), want, "{text}");
        }
    }

    #[test]
    fn text_that_is_not_toml_names_its_line() {
        assert!(message("\nname = \n").starts_with("a.toml:2: "), "{}", message("\nname = \n"));
    }
}
