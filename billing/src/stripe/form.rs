//! The form encoding of Stripe's parameters: `a[b][0]=c`.

use form_urlencoded::Serializer;

/// Parameters of a request, in the order in which they were added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form {
    pairs: Vec<(String, String)>,
}

// === impl Form ===

impl Form {
    /// No parameters.
    #[must_use]
    pub fn new() -> Form {
        Form::default()
    }

    /// With a parameter; nested names are written out, e.g. `metadata[developer]`.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl ToString) -> Form {
        self.push(name, value);
        self
    }

    /// With a parameter where there is one.
    #[must_use]
    pub fn with_some(self, name: impl Into<String>, value: Option<impl ToString>) -> Form {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Adds a parameter.
    pub fn push(&mut self, name: impl Into<String>, value: impl ToString) {
        self.pairs.push((name.into(), value.to_string()));
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The parameters.
    #[must_use]
    pub fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }

    /// As a body or a query. Brackets in names are encoded, which Stripe takes.
    #[must_use]
    pub fn encode(&self) -> String {
        Serializer::new(String::new()).extend_pairs(&self.pairs).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::Form;

    #[test]
    fn values_cannot_break_out_of_their_parameter() {
        let form = Form::new().with("metadata[a]", "x&amount=1").with_some("b", None::<&str>);
        assert_eq!(form.encode(), "metadata%5Ba%5D=x%26amount%3D1");
    }
}
