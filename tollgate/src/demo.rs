//! The demo: an organization with a developer, a key, a priced product and a prepaid wallet, an upstream to call, and the
//! commands that show what Tollgate does.
//!
//! It is made through the same catalogue and journal as everything else, step by step, so that a start that was interrupted is
//! finished by the next one, and what somebody changed since stays changed.

pub(crate) mod guide;
pub(crate) mod seed;
pub(crate) mod upstream;

/// The organization.
pub(crate) const ORGANIZATION: &str = "demo";
/// The developer's address.
pub(crate) const DEVELOPER: &str = "demo@example.com";
/// The app.
pub(crate) const APP: &str = "demo";
/// The consumer key: the same everywhere, so that commands can be pasted. The demo's wallet holds no real money.
pub(crate) const KEY: &str = "demo-key-1234567890";
/// The API product.
pub(crate) const PRODUCT: &str = "demo-product";
/// The proxy.
pub(crate) const PROXY: &str = "demo";
/// What stands before every path of it.
pub(crate) const BASE_PATH: &str = "/demo";
/// Price of a call, as people write it.
pub(crate) const PRICE: &str = "0.01";
/// What the wallet holds at first, as people write it.
pub(crate) const FIRST_CREDIT: &str = "1.00";
/// The id of that credit: it counts once, however often the demo starts.
pub(crate) const FIRST_CREDIT_ID: &str = "demo-first-credit";
/// The wallet's currency.
pub(crate) const CURRENCY: &str = "EUR";
