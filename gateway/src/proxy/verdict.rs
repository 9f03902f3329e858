//! Reads from an upstream's response head whether the call is charged, and for how many units.
//!
//! The rules: the success header (`true` or `false`) wins; absent, a status below 300 is success, and so is 101, the head at
//! which an upgraded connection begins; anything unparsable, or given twice, counts as false. The multiplier: absent is 1;
//! unparsable, negative or given twice is 1; above the proxy's maximum it is that maximum, and the rest goes to suspense.
//! Both headers are stripped.

use http::StatusCode;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use tollgate_metering::{Units, UnitsError};

use super::route::Route;
use crate::admission::{Multiplier, MultiplierSource};

/// Whether a call is charged, and for how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Charged(Multiplier),
    Uncharged,
}

/// Judges a response head and takes the headers off that only the gateway should see.
pub(crate) fn take(route: &Route, status: StatusCode, headers: &mut HeaderMap) -> Verdict {
    let is_success = match take_one(headers, route.success_header.as_ref()) {
        Given::Absent => status.as_u16() < 300,
        Given::Once(value) => value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"true"),
        Given::Twice => false,
    };
    let multiplier = multiplier(
        take_one(headers, route.multiplier_header.as_ref()),
        route.config.max_multiplier,
    );
    if is_success { Verdict::Charged(multiplier) } else { Verdict::Uncharged }
}

enum Given {
    Absent,
    Once(HeaderValue),
    Twice,
}

fn take_one(headers: &mut HeaderMap, name: Option<&HeaderName>) -> Given {
    let Some(name) = name else {
        return Given::Absent;
    };
    match headers.try_entry(name) {
        Ok(http::header::Entry::Occupied(entry)) => {
            let (_, mut values) = entry.remove_entry_mult();
            match (values.next(), values.next()) {
                (Some(value), None) => Given::Once(value),
                (_, _) => Given::Twice,
            }
        }
        Ok(http::header::Entry::Vacant(_)) | Err(_) => Given::Absent,
    }
}

fn multiplier(given: Given, most: Option<Units>) -> Multiplier {
    let invalid = Multiplier { source: MultiplierSource::Invalid, ..Multiplier::ONE };
    let value = match given {
        Given::Absent => return Multiplier::ONE,
        Given::Once(value) => value,
        Given::Twice => return invalid,
    };
    let Ok(text) = value.to_str() else { return invalid };
    let units = match text.trim().parse::<Units>() {
        Ok(units) => units,
        // More than there are units at all is above every maximum, unlike what is below zero.
        Err(UnitsError::OutOfRange) if !text.trim().starts_with('-') => Units::MAX,
        Err(_) => return invalid,
    };
    match most {
        Some(most) if units > most => {
            let excess = units.beyond(most);
            Multiplier { units: most, excess, source: MultiplierSource::Capped }
        }
        Some(_) | None => {
            Multiplier { units, excess: Units::ZERO, source: MultiplierSource::Header }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Proxy;
    use crate::proxy::route::Routes;

    fn judge(status: u16, rows: &[(&'static str, &'static str)]) -> Verdict {
        let routes = Routes::new(vec![Proxy {
            success_header: Some("X-Success".to_owned()),
            multiplier_header: Some("x-units".to_owned()),
            max_multiplier: Some("10".parse().unwrap()),
            ..Proxy::new("a", "http://a")
        }]);
        let mut headers = HeaderMap::new();
        for (name, value) in rows {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let status = StatusCode::from_u16(status).unwrap();
        let verdict = take(&routes.all[0], status, &mut headers);
        assert!(headers.is_empty(), "the client sees {headers:?}");
        verdict
    }

    fn charged(units: &str, excess: &str, source: MultiplierSource) -> Verdict {
        let (units, excess) = (units.parse().unwrap(), excess.parse().unwrap());
        Verdict::Charged(Multiplier { units, excess, source })
    }

    #[test]
    fn the_success_header_wins_over_the_status() {
        let one = Verdict::Charged(Multiplier::ONE);
        let rows = [
            (200, &[][..], one),
            (299, &[], one),
            (101, &[], one),
            (300, &[], Verdict::Uncharged),
            (404, &[], Verdict::Uncharged),
            (404, &[("x-success", "true")], one),
            (200, &[("x-success", "false")], Verdict::Uncharged),
            (200, &[("x-success", "TRUE")], one),
            (200, &[("x-success", "yes")], Verdict::Uncharged),
            (200, &[("x-success", "")], Verdict::Uncharged),
            (200, &[("x-success", "true"), ("x-success", "true")], Verdict::Uncharged),
        ];
        for (status, headers, want) in rows {
            assert_eq!(judge(status, headers), want, "{status} {headers:?}");
        }
    }

    #[test]
    fn the_multiplier_is_exact_or_one() {
        use MultiplierSource::{Capped, Header, Invalid};
        let rows = [
            (&[("x-units", "2.5")][..], charged("2.5", "0", Header)),
            (&[("x-units", "0")], charged("0", "0", Header)),
            (&[("x-units", "10")], charged("10", "0", Header)),
            (&[("x-units", "10.000000001")], charged("10", "0.000000001", Capped)),
            (&[("x-units", "0.0000000001")], charged("1", "0", Invalid)),
            (&[("x-units", "-1")], charged("1", "0", Invalid)),
            (&[("x-units", "1e3")], charged("1", "0", Invalid)),
            (&[("x-units", "")], charged("1", "0", Invalid)),
            (&[("x-units", "2"), ("x-units", "2")], charged("1", "0", Invalid)),
        ];
        for (headers, want) in rows {
            assert_eq!(judge(200, headers), want, "{headers:?}");
        }
    }

    /// A multiplier of 10¹⁸ was charged the maximum, and one of 10¹⁹ a single unit: the dearest calls were the cheapest.
    #[test]
    fn a_multiplier_beyond_all_units_is_the_maximum() {
        for text in ["1000000000000000000", "10000000000000000000", &"9".repeat(60)] {
            let row = [("x-units", &*text.to_owned().leak())];
            let want = charged("10", "999999999999999990", MultiplierSource::Capped);
            assert_eq!(judge(200, &row), want, "{text}");
        }
        let below = [("x-units", "-10000000000000000000")];
        assert_eq!(judge(200, &below), charged("1", "0", MultiplierSource::Invalid));
    }
}
