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

    /// Makes sure that a request carries a context. `is_sent`: the client sent one.
    pub(crate) fn propagate(
        &self,
        span: Option<&CallSpan>,
        is_sent: bool,
        headers: &mut HeaderMap,
    ) {
        if let Some(span) = span {
            span.propagate(headers);
        } else if !is_sent {
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
    for (eight, half) in to.chunks_exact_mut(8).zip([(value >> 32) as u32, value as u32]) {
        eight.copy_from_slice(&hex8(half));
    }
}

/// Eight hexadecimal digits at once: each nibble in a byte of its own, then `0` or `a` − 10 added to all of them.
fn hex8(value: u32) -> [u8; 8] {
    let wide = u64::from(value);
    let wide = (wide | (wide << 16)) & 0x0000_FFFF_0000_FFFF;
    let wide = (wide | (wide << 8)) & 0x00FF_00FF_00FF_00FF;
    let nibbles = (wide | (wide << 4)) & 0x0F0F_0F0F_0F0F_0F0F;
    // Adding 6 carries into the fifth bit exactly where a nibble is above 9.
    let letters = ((nibbles + 0x0606_0606_0606_0606) >> 4) & 0x0101_0101_0101_0101;
    (nibbles + 0x3030_3030_3030_3030 + letters * u64::from(b'a' - b'0' - 10)).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_hexadecimal() {
        for value in [0, 0x0123_4567, 0x89AB_CDEF, u32::MAX] {
            assert_eq!(hex8(value), *format!("{value:08x}").as_bytes());
        }
    }

    #[test]
    fn a_context_passes_and_a_missing_one_is_made() {
        let tracer = Tracer::new(None);
        let mut headers = HeaderMap::new();
        tracer.propagate(None, false, &mut headers);
        let made = headers[&TRACEPARENT].to_str().unwrap().to_owned();
        assert_eq!(made.len(), LENGTH);
        let parts: Vec<_> = made.split('-').map(str::len).collect();
        assert_eq!(parts, [2, 32, 16, 2]);
        tracer.propagate(None, true, &mut headers);
        assert_eq!(headers[&TRACEPARENT], made);
        assert_ne!(tracer.fresh(), made);
    }
}
