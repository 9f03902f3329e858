//! The seam between the data path and the wallets: what decides a call, and what ends it.
//!
//! The proxy half of this crate knows HTTP and nothing of money; the wallet half knows money and nothing of HTTP. They meet
//! here: the proxy asks [`Admission::decide`] before it forwards a call and ends the hold it was given exactly once, by
//! [`CallHold::settle`] at a successful response head or by dropping it, which releases it.
//! Invariants: a hold that is dropped costs nothing; `settle` runs before the first byte of the response is passed on.
//! Not here: how statuses and bodies of refusals look (`refusal`), which key a call carries (`proxy::key`).

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use tollgate_metering::{Currency, Money, Receipt, Units};

use crate::config::Proxy;
use crate::refusal::{KnownBalance, Refusal, Refused};

/// What a decision may look at. Borrowed from the request, so that a hit allocates nothing.
#[derive(Debug, Clone, Copy)]
pub struct CallHead<'a> {
    /// The route that the call matched.
    pub proxy: &'a Proxy,
    /// The place of `proxy` in the configuration, from 0: an index for tables that admission keeps per proxy.
    pub proxy_index: usize,
    /// The request's method.
    pub method: &'a http::Method,
    /// The path below the proxy's base path, beginning with `/`, undecoded, without the query: what product resources match.
    pub path: &'a str,
    /// The consumer key as the client sent it, where it sent one.
    pub consumer_key: Option<&'a str>,
    /// What a fetch for this call ended with: nothing more will be fetched for it.
    pub failed: Option<Refusal>,
}

/// Decides calls from memory.
///
/// One value serves all cores; the proxy calls it through a shared reference.
pub trait Admission: Send + Sync + 'static {
    /// The money set aside for one call.
    type Hold: CallHold;
    /// Names what `decide` did not find in memory.
    type Missing: Send;

    /// Decides from memory alone: never blocks, and allocates nothing when everything is known.
    fn decide(&self, head: &CallHead<'_>) -> Decision<Self::Hold, Self::Missing>;

    /// Fetches what `decide` said is missing (a key, a wallet's snapshot), once for all who wait; then `decide` is asked again.
    /// Dropping the future abandons the wait, not the fetch that others wait for.
    ///
    /// # Errors
    /// The refusal to answer the call with, where it cannot be fetched (in time).
    fn fetch(&self, missing: Self::Missing) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// Answers what the owner of a consumer key asks about itself: JSON, of nobody else.
    ///
    /// # Errors
    /// The refusal to answer with: the key does not work, or nothing is known now.
    fn own(
        &self,
        question: OwnQuestion,
        consumer_key: Option<&str>,
    ) -> impl Future<Output = Result<Bytes, Refused>> + Send;
}

/// What the owner of a key may ask about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnQuestion {
    /// Balances, plans and billing type.
    Balance,
    /// Use of the running period by day and product.
    Usage,
}

/// What becomes of a call.
#[derive(Debug)]
pub enum Decision<Hold, Missing> {
    /// Forward it; the hold is settled at the response head or released.
    Admit(Hold),
    /// Forward it though nothing prices it: the product has no active rate plan and the proxy says `unpriced = "forward"`.
    Unpriced,
    /// Forward it, whatever becomes of it: the call is in shadow mode.
    Shadow {
        /// Counts its units, which nobody pays; `None` where there is nobody to count them on.
        hold: Option<Hold>,
        /// What it would have been refused with.
        refusal: Option<Refusal>,
    },
    /// Answer it here; the upstream never hears of it.
    Refuse(Refused),
    /// Not decidable from memory: fetch this and ask again.
    Missing(Missing),
}

/// Money set aside for one call. Dropping it without settling releases it.
///
/// It crosses no thread: a call ends on the core that began it.
pub trait CallHold: 'static {
    /// Turns the hold into the units of one successful call and ends it.
    fn settle(self, multiplier: Multiplier);

    /// Does the same, `elapsed` after it was decided, and says what it did.
    fn settle_told(self, multiplier: Multiplier, elapsed: Duration) -> Option<CallReport>;
}

/// What one call cost, as the gateway knew it when it counted the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallReport {
    /// The units that were counted.
    pub units: Units,
    /// What they cost on top of the units that were known; `None` where that cannot be said.
    pub cost: Option<Money>,
    /// The currency of all amounts here.
    pub currency: Currency,
    /// The wallet after it; `None` where the call is not paid from it.
    pub known: Option<KnownBalance>,
    /// Names the call in reports.
    pub receipt: Receipt,
}

/// How many units one successful call consumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Multiplier {
    /// The units to count, at most the proxy's `max_multiplier`.
    pub units: Units,
    /// What the upstream asked for beyond `max_multiplier`: it goes to suspense. Zero otherwise.
    pub excess: Units,
    /// Where `units` comes from.
    pub source: MultiplierSource,
}

/// Where the units of a multiplier come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MultiplierSource {
    /// The upstream sent none (or the proxy names no header): 1.
    Absent,
    /// The upstream's header, exactly.
    Header,
    /// The upstream's header was above `max_multiplier`: that maximum, with the rest in `excess`.
    Capped,
    /// The upstream's header was unparsable, negative or given twice: 1.
    Invalid,
}

impl Multiplier {
    /// What a call counts where the upstream says nothing: one unit.
    pub const ONE: Self =
        Self { units: Units::ONE, excess: Units::ZERO, source: MultiplierSource::Absent };
}
