//! Which currencies there are.
//!
//! A credit opens the wallet that it names, so a code with a slip in it would take the money into a wallet that no rate plan
//! ever charges. Only requests are checked: what is stored under a code that was withdrawn since stays readable.
//! Source: ISO 4217, list one. Not here: XXX and XTS, which stand for no currency and for tests.

use tollgate_metering::Currency;

/// Codes in order, a space between two.
const ACTIVE: &str = "\
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BOV BRL BSD BTN \
    BWP BYN BZD CAD CDF CHE CHF CHW CLF CLP CNY COP COU CRC CUP CVE CZK DJF DKK DOP DZD EGP \
    ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR \
    ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA \
    MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK \
    PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC \
    SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD USN UYI UYU UYW UZS VED VES VND \
    VUV WST XAF XAG XAU XCD XCG XDR XOF XPD XPF XPT XSU XUA YER ZAR ZMW ZWG";

/// Whether ISO 4217 has the currency.
pub(super) fn has(currency: Currency) -> bool {
    ACTIVE.split(' ').any(|code| code == currency.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_stand_alone_in_order_and_are_codes() {
        let codes: Vec<&str> = ACTIVE.split(' ').collect();
        assert!(codes.is_sorted_by(|one, next| one < next));
        for code in codes {
            assert!(has(code.parse().unwrap()), "{code}");
        }
        for slip in ["EUU", "USS", "XXX", "XTS"] {
            assert!(!has(slip.parse().unwrap()), "{slip}");
        }
    }
}
