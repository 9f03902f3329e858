//! Certificates: whether they can be read, fit their key and each other, and for how long they are valid.
//!
//! Of a certificate's DER only four parts are read here, by their places in RFC 5280, section 4.1: issuer, validity and
//! subject, and those whole. Whether signatures are right is for the TLS of whoever connects.

use std::path::Path;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tollgate_metering::UnixMillis;

use super::report::Report;
use super::site::Pair;

/// A certificate that is valid for less than this should be renewed.
const SOON_MS: i64 = 14 * DAY_MS;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// The name of these checks.
const CHECK: &str = "certificate";

/// What is read of a certificate.
#[derive(Debug, PartialEq, Eq)]
struct Parts<'a> {
    issuer: &'a [u8],
    not_before: UnixMillis,
    not_after: UnixMillis,
    subject: &'a [u8],
}

/// Checks a server's or client's chain against its key.
pub(super) fn pair(report: &mut Report, pair: &Pair, now: UnixMillis) {
    let path = &pair.certificate_file;
    let Some(chain) = read(report, path) else { return };
    let key = match PrivateKeyDer::from_pem_file(&pair.key_file) {
        Ok(key) => key,
        Err(error) => {
            let mend =
                "name a PEM file with the private key in key_file, readable for this process";
            return report.fail("key", pair.key_file.display(), error, mend);
        }
    };
    let provider = rustls::crypto::ring::default_provider();
    if let Err(error) = rustls::sign::CertifiedKey::from_der(chain.clone(), key, &provider) {
        let mend = "certificate_file and key_file must be of one pair, the leaf first";
        return report.fail(CHECK, path.display(), format!("does not fit its key: {error}"), mend);
    }
    let parts: Vec<_> = chain.iter().filter_map(|one| parts(one)).collect();
    if parts.windows(2).any(|pair| pair[0].issuer != pair[1].subject) {
        let mend = "put the chain in order: the leaf first, then what signed it";
        return report.fail(CHECK, path.display(), "a certificate is not the next one's", mend);
    }
    validity(report, path, &chain, now);
}

/// Checks authorities.
pub(super) fn authority(report: &mut Report, path: &Path, now: UnixMillis) {
    if let Some(certificates) = read(report, path) {
        validity(report, path, &certificates, now);
    }
}

fn read(report: &mut Report, path: &Path) -> Option<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(path)
        .and_then(|certificates| certificates.collect::<Result<Vec<_>, _>>());
    let mend = "name a PEM file with certificates, readable for this process";
    match read {
        Ok(certificates) if !certificates.is_empty() => return Some(certificates),
        Ok(_) => report.fail(CHECK, path.display(), "there is no certificate in it", mend),
        Err(error) => report.fail(CHECK, path.display(), error, mend),
    }
    None
}

/// The certificate that expires first decides.
fn validity(
    report: &mut Report,
    path: &Path,
    certificates: &[CertificateDer<'_>],
    now: UnixMillis,
) {
    let subject = path.display();
    let read: Option<Vec<Parts<'_>>> = certificates.iter().map(|one| parts(one)).collect();
    let read = read.unwrap_or_default();
    let begins = read.iter().map(|parts| parts.not_before.0).max();
    let (Some(begins), Some(ends)) = (begins, read.iter().map(|parts| parts.not_after.0).min())
    else {
        let mend = "it is not an X.509 certificate: make it anew";
        return report.fail(CHECK, subject, "its validity cannot be read", mend);
    };
    let days = (ends - now.0).div_euclid(DAY_MS);
    if ends <= now.0 {
        let mend = "renew it: clients refuse it already";
        report.fail(CHECK, subject, format!("expired {} days ago", -days), mend);
    } else if begins > now.0 {
        let mend = "wait, or set the clock of this machine";
        report.fail(CHECK, subject, "is not valid yet", mend);
    } else if ends - now.0 < SOON_MS {
        report.warn(CHECK, subject, format!("expires in {days} days"), "renew it now");
    } else {
        report.ok(CHECK, subject, format!("is valid for {days} days"));
    }
}

/// Issuer, validity and subject of a certificate, if it is one.
fn parts(certificate: &[u8]) -> Option<Parts<'_>> {
    const SEQUENCE: u8 = 0x30;
    const VERSION: u8 = 0xa0;
    let (_, whole, _) = element(certificate)?;
    let (_, mut rest, _) = element(whole)?;
    let (tag, _, after) = element(rest)?;
    if tag == VERSION {
        rest = after;
    }
    let (_serial, rest) = skip(rest)?;
    let (_algorithm, rest) = skip(rest)?;
    let (issuer, rest) = skip(rest)?;
    let (tag, validity, rest) = element(rest)?;
    let (subject, _) = skip(rest)?;
    let (kind, from, until) = element(validity)?;
    let not_before = time(kind, from)?;
    let (kind, until, _) = element(until)?;
    let not_after = time(kind, until)?;
    (tag == SEQUENCE).then_some(Parts { issuer, not_before, not_after, subject })
}

/// An element of DER: its tag, its content and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        short @ 0..0x80 => (usize::from(short), rest),
        long => {
            let (bytes, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            let shifted = |sum: usize, byte: &u8| Some(sum.checked_mul(256)? + usize::from(*byte));
            (bytes.iter().try_fold(0usize, shifted)?, rest)
        }
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// The content of an element that is not looked into, and what follows it.
fn skip(der: &[u8]) -> Option<(&[u8], &[u8])> {
    element(der).map(|(_, content, rest)| (content, rest))
}

/// A UTCTime (years 1950 to 2049) or GeneralizedTime, as certificates write them: with seconds, in UTC.
fn time(tag: u8, text: &[u8]) -> Option<UnixMillis> {
    const UTC_TIME: u8 = 0x17;
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = if tag == UTC_TIME {
        let (year, rest) = text.split_at_checked(2)?;
        let year: i64 = year.parse().ok()?;
        (year + if year < 50 { 2000 } else { 1900 }, rest)
    } else {
        let (year, rest) = text.split_at_checked(4)?;
        (year.parse().ok()?, rest)
    };
    let part = |at: usize| rest.get(at..at + 2)?.parse::<i64>().ok();
    let (month, day) = (part(0)?, part(2)?);
    let seconds = part(4)? * 3600 + part(6)? * 60 + part(8)?;
    Some(UnixMillis((days_before(year, month, day) * 86_400 + seconds) * 1000))
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, counted in years that begin with March.
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_certificates_are_read() {
        let check = |tag, text: &str, want| {
            assert_eq!(time(tag, text.as_bytes()).map(|time| time.0), want, "{text}");
        };
        check(0x17, "700101000000Z", Some(0));
        check(0x17, "991231235959Z", Some(946_684_799_000));
        check(0x17, "240229120000Z", Some(1_709_208_000_000));
        check(0x18, "20500301000000Z", Some(2_529_705_600_000));
        check(0x18, "2050", None);
        check(0x17, "7001010000", None);
    }

    #[test]
    fn issuer_validity_and_subject_of_a_certificate_are_read() {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2024, 2, 29);
        params.not_after = rcgen::date_time_ymd(2051, 1, 1);
        let certificate = params.self_signed(&key).unwrap();
        let read = parts(certificate.der()).unwrap();
        assert_eq!(read.issuer, read.subject);
        assert_eq!(read.not_before.0, 1_709_164_800_000);
        assert_eq!(read.not_after.0, 2_556_144_000_000);
        assert_eq!(parts(&certificate.der()[..80]), None);
    }
}
