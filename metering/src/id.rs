//! Names of things: generated ids, and the incarnation with its birth.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::time::UnixMillis;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                Uuid::from_str(text).map($name)
            }
        }
    };
}

id! {
    /// A wallet: prepaid money of one (organization, developer, currency).
    WalletId
}
id! {
    /// A developer; one created again under the same e-mail address is another.
    DeveloperId
}
id! {
    /// An API product; one created again under the same name is another.
    ProductId
}
id! {
    /// A rate plan, all its revisions.
    PlanId
}
id! {
    /// An app of a developer or an app group; one created again under the same name is another.
    AppId
}

/// One process lifetime of a gateway.
///
/// Ordered by birth, which the service assigns when it registers the incarnation, so that what
/// was born before a wallet's horizon is one range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation {
    /// When the service registered it, by the service's clock.
    pub born: UnixMillis,
    /// Its generated id.
    pub id: Uuid,
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.id, self.born)
    }
}
