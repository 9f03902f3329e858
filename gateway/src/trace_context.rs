//! W3C trace context: what a client sent passes on, and a call without one gets its own, so that logs behind the gateway can be
//! joined. A call that has a span of its own (`spans`) passes that on instead.

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher, RandomState};

use bytes::Bytes;
use http::Request;
use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::spans::{CallSpan, Spans};

static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Bytes of a `traceparent` of version 00.
const LENGTH: usize = 55;

/// Gives calls their trace context. One for each worker: its random numbers are its own.
#[derive(Debug)]
pub(crate) struct Tracer {
    random: Cell<u64>,
    spans: Option<Spans>,
}

// === impl Tracer ===

impl Tracer {
    pub(crate) fn new(spans: Option<Spans>) -> Self {
        // `RandomState` is seeded by the system; trace ids need to be different, not secret.
        Self { random: Cell::new(RandomState::new().build_hasher().finish() | 1), spans }
    }

    /// A span of this request, where tracing is on and the request is to be recorded.
    pub(crate) fn begin<B>(&self, request: &Request<B>) -> Option<CallSpan> {
        self.spans.as_ref()?.begin(request)
    }

    /// Makes sure that a request carries a context.
    pub(crate) fn propagate(&self, span: Option<&CallSpan>, headers: &mut HeaderMap) {
        if let Some(span) = span {
            span.propagate(headers);
        } else if !headers.contains_key(&TRACEPARENT) {
            headers.insert(&TRACEPARENT, self.fresh());
        }
    }

    /// A context of a new trace that nobody records.
    fn fresh(&self) -> HeaderValue {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        const _: () =
            assert!(LENGTH == b"00-00000000000000000000000000000000-0000000000000000-00".len());
        hex(&mut text[3..19], self.next());
        hex(&mut text[19..35], self.next());
        hex(&mut text[36..52], self.next() | 1);
        HeaderValue::from_maybe_shared(Bytes::copy_from_slice(&text))
            .expect("hexadecimal digits and dashes")
    }

    /// SplitMix64 (Steele, Lea, Flood 2014).
    fn next(&self) -> u64 {
        let state = self.random.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.random.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

fn hex(to: &mut [u8], value: u64) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (byte, place) in to.iter_mut().zip((0..16).rev()) {
        *byte = DIGITS[usize::from((value >> (place * 4)) as u8 & 0xF)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_passes_and_a_missing_one_is_made() {
        let tracer = Tracer::new(None);
        let mut headers = HeaderMap::new();
        tracer.propagate(None, &mut headers);
        let made = headers[&TRACEPARENT].to_str().unwrap().to_owned();
        assert_eq!(made.len(), LENGTH);
        let parts: Vec<_> = made.split('-').map(str::len).collect();
        assert_eq!(parts, [2, 32, 16, 2]);
        tracer.propagate(None, &mut headers);
        assert_eq!(headers[&TRACEPARENT], made);
        assert_ne!(tracer.fresh(), made);
    }
}
