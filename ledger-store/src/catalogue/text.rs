//! Stores the domain's types as text: amounts, ids and times have no serde of their own, so that
//! how they are stored is decided here and not by how they are computed.

use std::fmt::Display;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serializer, de, ser};

/// Any type with `Display` and `FromStr`, as a string.
pub mod plain {
    use super::{Deserialize, Deserializer, Display, FromStr, Serializer, de};

    /// Writes it.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<T: Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    /// Reads it.
    ///
    /// # Errors
    /// Text that is not such a value.
    pub fn deserialize<'de, T, D>(from: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

/// The same, where there may be none.
pub mod option {
    use super::{Deserialize, Deserializer, Display, FromStr, Serializer, de};

    /// Writes it.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<T: Display, S: Serializer>(
        value: &Option<T>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => to.collect_str(value),
            None => to.serialize_none(),
        }
    }

    /// Reads it.
    ///
    /// # Errors
    /// Text that is not such a value.
    pub fn deserialize<'de, T, D>(from: D) -> Result<Option<T>, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        Option::<String>::deserialize(from)?
            .map(|text| text.parse().map_err(de::Error::custom))
            .transpose()
    }
}

/// A point in time, in milliseconds since 1970.
pub mod millis {
    use tollgate_metering::UnixMillis;

    use super::{Deserialize, Deserializer, Serializer};

    /// Writes it.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(value: &UnixMillis, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_i64(value.0)
    }

    /// Reads it.
    ///
    /// # Errors
    /// Anything but a whole number.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<UnixMillis, D::Error> {
        i64::deserialize(from).map(UnixMillis)
    }
}

/// A point in time that may be absent.
pub mod millis_option {
    use tollgate_metering::UnixMillis;

    use super::{Deserialize, Deserializer, Serializer};

    /// Writes it.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(value: &Option<UnixMillis>, to: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => to.serialize_i64(value.0),
            None => to.serialize_none(),
        }
    }

    /// Reads it.
    ///
    /// # Errors
    /// Anything but a whole number.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<UnixMillis>, D::Error> {
        Ok(Option::<i64>::deserialize(from)?.map(UnixMillis))
    }
}

/// A billing type, as Apigee spells it.
pub mod billing {
    use tollgate_metering::BillingType;

    use super::{Deserialize, Deserializer, Serializer, de, ser};

    /// Writes it.
    ///
    /// # Errors
    /// The serializer's, or a billing type that no developer has.
    pub fn serialize<S: Serializer>(value: &BillingType, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(match value {
            BillingType::Prepaid => "PREPAID",
            BillingType::Postpaid => "POSTPAID",
            BillingType::Shadow | BillingType::ShadowRefused => {
                return Err(ser::Error::custom("shadow mode is of plans, not of developers"));
            }
        })
    }

    /// Reads it.
    ///
    /// # Errors
    /// Any other word.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<BillingType, D::Error> {
        match String::deserialize(from)?.as_str() {
            "PREPAID" => Ok(BillingType::Prepaid),
            "POSTPAID" => Ok(BillingType::Postpaid),
            other => Err(de::Error::custom(format!("{other} is not a billing type"))),
        }
    }
}
