//! Comma-separated values as RFC 4180 writes them: CRLF, quotes doubled.
//!
//! A text that a spreadsheet would take for a formula gets an apostrophe in front; numbers, which
//! may be negative, are written as they are.

use axum::response::{IntoResponse, Response};
use http::header;

/// A field.
pub(crate) enum Field {
    /// Anything that people wrote.
    Text(String),
    /// Digits, point and sign.
    Number(String),
}

/// A file of lines.
#[derive(Default)]
pub(crate) struct Csv(String);

// === impl Csv ===

impl Csv {
    /// A file that begins with these names.
    pub(crate) fn headed(names: &[&str]) -> Csv {
        let mut csv = Csv::default();
        csv.line(names.iter().map(|name| Field::Text((*name).to_owned())));
        csv
    }

    /// Adds a line.
    pub(crate) fn line(&mut self, fields: impl IntoIterator<Item = Field>) {
        for (index, field) in fields.into_iter().enumerate() {
            if index > 0 {
                self.0.push(',');
            }
            match field {
                Field::Text(text) => self.text(&text),
                Field::Number(number) => self.0.push_str(&number),
            }
        }
        self.0.push_str("\r\n");
    }

    fn text(&mut self, text: &str) {
        let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
        let is_quoted = text.contains(['"', ',', '\r', '\n']);
        let (quote, guard) = (if is_quoted { "\"" } else { "" }, if is_formula { "'" } else { "" });
        self.0.push_str(quote);
        self.0.push_str(guard);
        self.0.push_str(&text.replace('"', "\"\""));
        self.0.push_str(quote);
    }

    /// An answer with status 200.
    pub(crate) fn into_answer(self) -> Response {
        let headers = [
            (header::CONTENT_TYPE, "text/csv; charset=UTF-8; header=present"),
            (header::CACHE_CONTROL, "no-store"),
        ];
        (headers, self.0).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_wrote_is_a_text_and_no_formula() {
        let mut csv = Csv::headed(&["a", "b"]);
        for text in ["plain", "a,b", "a \"b\"", "=1+1", "@x,\ny", "-2"] {
            csv.line([Field::Text(text.to_owned()), Field::Number("-2.5".to_owned())]);
        }
        let want = "a,b\r\nplain,-2.5\r\n\"a,b\",-2.5\r\n\"a \"\"b\"\"\",-2.5\r\n'=1+1,-2.5\r\n\
                    \"'@x,\ny\",-2.5\r\n'-2,-2.5\r\n";
        assert_eq!(csv.0, want);
    }
}
