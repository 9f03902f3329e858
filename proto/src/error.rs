//! Why a message cannot be read, and in which field.

use std::fmt::Display;

use tollgate_metering::rating::RatesError;
use tollgate_metering::{MoneyError, UnitsError};

/// A message from the wire that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("field {field}")]
pub struct WireError {
    /// Path of the field within the message: `registers[2].meter.wallet`.
    pub field: String,
    /// What is wrong with it.
    #[source]
    pub problem: Problem,
}

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It must be there.
    #[error("it is missing")]
    Missing,
    /// It is not a UUID.
    #[error("not a UUID of 16 bytes")]
    Uuid,
    /// It is not an amount of money.
    #[error("not an amount of money")]
    Money(#[from] MoneyError),
    /// It is not an amount of units.
    #[error("not an amount of units")]
    Units(#[from] UnitsError),
    /// It is not a rate plan.
    #[error("not a rate plan")]
    Rates(#[from] RatesError),
    /// It is none of the values that it can have.
    #[error("not one of the values that it can have")]
    UnknownValue,
}

// === impl WireError ===

impl WireError {
    /// A problem of a field of the message itself.
    #[must_use]
    pub fn new(field: &str, problem: Problem) -> WireError {
        WireError { field: field.to_owned(), problem }
    }

    /// The same problem, seen from the message that `outer` is a field of.
    #[must_use]
    pub fn within(self, outer: impl Display) -> WireError {
        let WireError { field, problem } = self;
        let field = if field.is_empty() { outer.to_string() } else { format!("{outer}.{field}") };
        WireError { field, problem }
    }

    /// Field and problem in one line, for the answer to whoever sent the message.
    #[must_use]
    pub fn to_line(&self) -> String {
        match &self.problem {
            Problem::Money(source) => format!("{self}: {}: {source}", self.problem),
            Problem::Units(source) => format!("{self}: {}: {source}", self.problem),
            Problem::Rates(source) => format!("{self}: {}: {source}", self.problem),
            Problem::Missing | Problem::Uuid | Problem::UnknownValue => {
                format!("{self}: {}", self.problem)
            }
        }
    }
}

/// Reads each item with `read`; a problem is named by the item's place.
pub(crate) fn each<'a, W, T>(
    field: &str,
    items: &'a [W],
    read: impl Fn(&'a W) -> Result<T, WireError>,
) -> Result<Vec<T>, WireError> {
    let indexed = items.iter().enumerate();
    indexed
        .map(|(index, item)| read(item).map_err(|error| error.within(format!("{field}[{index}]"))))
        .collect()
}

/// Reads a message that must be there.
pub(crate) fn required<'a, W, T>(field: &str, message: &'a Option<W>) -> Result<T, WireError>
where
    T: TryFrom<&'a W, Error = WireError>,
{
    let message = message.as_ref().ok_or_else(|| WireError::new(field, Problem::Missing))?;
    T::try_from(message).map_err(|error| error.within(field))
}
