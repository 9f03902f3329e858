//! Test cards and bank accounts: what each number and each `pm_card_…` token does.
//!
//! The numbers and names are Stripe's (docs.stripe.com/testing).

/// What the bank says to a charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// Pays.
    Pays,
    /// Refuses with a code and a decline code, also to be attached to a customer.
    Declines(&'static str, &'static str),
    /// Can be attached and set up, then refuses charges.
    DeclinesCharges(&'static str, &'static str),
    /// Asks for authentication at every payment in which the customer takes part; off session it refuses.
    AsksAlways,
    /// Asks for authentication until it was set up, then pays off session.
    AsksUntilSetUp,
    /// Asks for authentication, and then refuses for want of money.
    AsksThenDeclines,
    /// Pays, and disputes at once, for this reason.
    Disputes(&'static str),
    /// Asks questions about the payment without taking it back: a dispute that is a warning.
    Inquires,
    /// Pays, and refunds of it fail later.
    RefundFails,
    /// Takes days, then pays.
    DebitPays,
    /// Takes days, then bounces.
    DebitBounces,
}

/// A test card or bank account.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Card {
    /// The number of a card, the IBAN or account number of a bank debit.
    pub(crate) number: &'static str,
    /// Names in `pm_card_NAME`, `tok_NAME` or `pm_usBankAccount_NAME`, separated by spaces.
    tokens: &'static str,
    pub(crate) brand: &'static str,
    pub(crate) behaviour: Behaviour,
}

const fn card(
    number: &'static str,
    tokens: &'static str,
    brand: &'static str,
    behaviour: Behaviour,
) -> Card {
    Card { number, tokens, brand, behaviour }
}

use Behaviour::{
    AsksAlways, AsksThenDeclines, AsksUntilSetUp, DebitBounces, DebitPays, Declines,
    DeclinesCharges, Disputes, Inquires, Pays, RefundFails,
};

const CARDS: &[Card] = &[
    card("4242424242424242", "visa bypassPending", "visa", Pays),
    card("4000056655665556", "visa_debit", "visa", Pays),
    card("4000000000000077", "bypassPendingVisa", "visa", Pays),
    card("5555555555554444", "mastercard", "mastercard", Pays),
    card("378282246310005", "amex", "amex", Pays),
    card("6011111111111117", "discover", "discover", Pays),
    card("3566002020360505", "jcb", "jcb", Pays),
    card("4000002760000016", "de", "visa", Pays),
    card("4000003800000008", "it", "visa", Pays),
    card(
        "4000000000000002",
        "chargeDeclined visa_chargeDeclined",
        "visa",
        Declines("card_declined", "generic_decline"),
    ),
    card(
        "4000000000009995",
        "chargeDeclinedInsufficientFunds visa_chargeDeclinedInsufficientFunds",
        "visa",
        Declines("card_declined", "insufficient_funds"),
    ),
    card(
        "4000000000009987",
        "visa_chargeDeclinedLostCard",
        "visa",
        Declines("card_declined", "lost_card"),
    ),
    card(
        "4000000000009979",
        "visa_chargeDeclinedStolenCard",
        "visa",
        Declines("card_declined", "stolen_card"),
    ),
    card(
        "4000000000000069",
        "chargeDeclinedExpiredCard",
        "visa",
        Declines("expired_card", "expired_card"),
    ),
    card(
        "4000000000000127",
        "chargeDeclinedIncorrectCvc",
        "visa",
        Declines("incorrect_cvc", "incorrect_cvc"),
    ),
    card(
        "4000000000000119",
        "chargeDeclinedProcessingError",
        "visa",
        Declines("processing_error", "processing_error"),
    ),
    card(
        "4100000000000019",
        "chargeDeclinedFraudulent",
        "visa",
        Declines("card_declined", "fraudulent"),
    ),
    card(
        "4000000000000341",
        "chargeCustomerFail",
        "visa",
        DeclinesCharges("card_declined", "generic_decline"),
    ),
    card("4000002760003184", "authenticationRequired", "visa", AsksAlways),
    card("4000000000003220", "threeDSecure2Required threeDSecureRequired", "visa", AsksAlways),
    card("4000002500003155", "authenticationRequiredOnSetup", "visa", AsksUntilSetUp),
    card("4000003800000446", "authenticationRequiredSetupForOffSession", "visa", Pays),
    card(
        "4000008260003178",
        "authenticationRequiredChargeDeclinedInsufficientFunds",
        "visa",
        AsksThenDeclines,
    ),
    card("4000000000000259", "createDispute", "visa", Disputes("fraudulent")),
    card(
        "4000000000002685",
        "createDisputeProductNotReceived",
        "visa",
        Disputes("product_not_received"),
    ),
    card("4000000000001976", "createDisputeInquiry", "visa", Inquires),
    card("4000000000005126", "refundFail", "visa", RefundFails),
    card("000123456789", "success", "us_bank_account", DebitPays),
    card("000222222227", "insufficientFunds", "us_bank_account", DebitBounces),
    card("000111111113", "accountClosed", "us_bank_account", DebitBounces),
    card("DE89370400440532013000", "", "sepa_debit", DebitPays),
    card("AT611904300234573201", "", "sepa_debit", DebitPays),
    card("AT321904300235473204", "", "sepa_debit", DebitPays),
    card("IT40S0542811101000000123456", "", "sepa_debit", DebitPays),
    card("DE62370400440532013001", "", "sepa_debit", DebitBounces),
    card("AT861904300235473202", "", "sepa_debit", DebitBounces),
];

// === impl Card ===

impl Card {
    /// The test card or bank account of a number.
    pub(crate) fn of_number(number: &str) -> Option<&'static Card> {
        let digits: String = number.chars().filter(char::is_ascii_alphanumeric).collect();
        CARDS.iter().find(|card| card.number == digits)
    }

    /// The test card or bank account of a token such as `pm_card_visa` or `tok_visa`.
    pub(crate) fn of_token(token: &str) -> Option<&'static Card> {
        let (name, is_bank) = if let Some(name) = token.strip_prefix("pm_usBankAccount_") {
            (name, true)
        } else {
            (token.strip_prefix("pm_card_").or_else(|| token.strip_prefix("tok_"))?, false)
        };
        CARDS.iter().find(|card| {
            (card.brand == "us_bank_account") == is_bank
                && card.tokens.split_whitespace().any(|one| one == name)
        })
    }

    /// `card`, `us_bank_account` or `sepa_debit`.
    pub(crate) fn kind(&self) -> &'static str {
        match self.brand {
            "us_bank_account" | "sepa_debit" => self.brand,
            _ => "card",
        }
    }

    pub(crate) fn last4(&self) -> &'static str {
        &self.number[self.number.len() - 4..]
    }
}

/// What the cardholder is told for a code and decline code.
pub(crate) fn message(code: &str, decline_code: &str) -> &'static str {
    match (code, decline_code) {
        (_, "insufficient_funds") => "Your card has insufficient funds.",
        ("expired_card", _) => "Your card has expired.",
        ("incorrect_cvc", _) => "Your card's security code is incorrect.",
        ("processing_error", _) => {
            "An error occurred while processing your card. Try again in a little bit."
        }
        ("authentication_required", _) => {
            "Your card was declined. This transaction requires authentication."
        }
        _ => "Your card was declined.",
    }
}
