//! The nine actions, with the inputs and outputs that are documented.
//!
//! Not here: how they are run (`operate`).

use serde_json::{Map, Value};

use super::input::Fields;
use super::{entities, flatten};
use crate::error::BillingError;
use crate::stripe::Form;

/// A verb of Stripe under the connector's name.
#[derive(Debug)]
pub struct Action {
    /// E.g. `ConfirmPaymentIntent`.
    pub name: &'static str,
    /// What it does, for people.
    pub description: &'static str,
    /// Its inputs; the first one names the object that is acted on.
    pub inputs: &'static [Parameter],
    /// What it puts out.
    pub output: Output,
    /// Where the object is: `/payment_intents`.
    collection: &'static str,
    /// The last part of the path: `confirm`.
    verb: &'static str,
}

/// An input of an action.
#[derive(Debug)]
pub struct Parameter {
    /// E.g. `PaymentIntentId`.
    pub name: &'static str,
    /// For people.
    pub description: &'static str,
    /// Whether the action fails without it.
    pub is_required: bool,
    /// Stripe's parameter; none for the object that is acted on.
    sent: Option<&'static str>,
}

/// What an action puts out beside `Success`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Nothing.
    Success,
    /// The object, flat.
    Object,
    /// The id of the invoice that a quote became.
    InvoiceOfQuote,
}

/// A request of Stripe that carries an action out.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    /// Below `/v1`.
    pub path: String,
    /// Its parameters.
    pub form: Form,
}

const fn object(name: &'static str, description: &'static str) -> Parameter {
    Parameter { name, description, is_required: true, sent: None }
}

/// Every action, by name.
pub static ACTIONS: [Action; 9] = [
    Action {
        name: "AcceptQuote",
        description: "Accepts a quote, which makes its invoice.",
        inputs: &[object("QuoteId", "The id of the quote.")],
        output: Output::InvoiceOfQuote,
        collection: "/quotes",
        verb: "accept",
    },
    Action {
        name: "AttachPaymentMethodToCustomer",
        description: "Attaches a payment method to a customer.",
        inputs: &[
            object("PaymentMethodId", "The id of the payment method."),
            Parameter {
                name: "CustomerId",
                description: "The id of the customer.",
                is_required: true,
                sent: Some("customer"),
            },
        ],
        output: Output::Success,
        collection: "/payment_methods",
        verb: "attach",
    },
    Action {
        name: "CancelPaymentIntent",
        description: "Cancels a payment intent.",
        inputs: &[object("PaymentIntentId", "The id of the payment intent.")],
        output: Output::Object,
        collection: "/payment_intents",
        verb: "cancel",
    },
    Action {
        name: "CancelQuote",
        description: "Cancels a draft or open quote.",
        inputs: &[object("QuoteId", "The id of the quote.")],
        output: Output::Success,
        collection: "/quotes",
        verb: "cancel",
    },
    Action {
        name: "CapturePaymentIntent",
        description: "Takes the money that a payment intent has reserved.",
        inputs: &[object("PaymentIntentId", "The id of the payment intent.")],
        output: Output::Object,
        collection: "/payment_intents",
        verb: "capture",
    },
    Action {
        name: "ConfirmPaymentIntent",
        description: "Confirms a payment intent.",
        inputs: &[
            object("PaymentIntentId", "The id of the payment intent."),
            Parameter {
                name: "ReturnUrl",
                description: "Where the payer comes back to after authentication.",
                is_required: false,
                sent: Some("return_url"),
            },
        ],
        output: Output::Object,
        collection: "/payment_intents",
        verb: "confirm",
    },
    Action {
        name: "DetachPaymentMethodFromCustomer",
        description: "Detaches a payment method, which can then be used no more.",
        inputs: &[object("PaymentMethodId", "The id of the payment method.")],
        output: Output::Success,
        collection: "/payment_methods",
        verb: "detach",
    },
    Action {
        name: "FinalizeInvoice",
        description: "Finalizes a draft invoice.",
        inputs: &[object("InvoiceId", "The id of the invoice.")],
        output: Output::Object,
        collection: "/invoices",
        verb: "finalize",
    },
    Action {
        name: "FinalizeQuote",
        description: "Finalizes a draft quote.",
        inputs: &[object("QuoteId", "The id of the quote.")],
        output: Output::Success,
        collection: "/quotes",
        verb: "finalize",
    },
];

// === impl Action ===

impl Action {
    /// The action of this name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Action> {
        ACTIONS.iter().find(|action| action.name == name)
    }

    /// The request that carries it out.
    ///
    /// # Errors
    /// `Invalid`, naming the parameter that is missing, unknown or of no use.
    pub fn request(&self, parameters: &Fields) -> Result<Request, BillingError> {
        let is_known = |name: &str| self.inputs.iter().any(|input| input.name == name);
        if let Some(unknown) = parameters.0.keys().find(|name| !is_known(name)) {
            let known: Vec<&str> = self.inputs.iter().map(|input| input.name).collect();
            let reason =
                format!("is no parameter of {}, which takes {}", self.name, known.join(", "));
            return Err(BillingError::invalid(unknown, reason));
        }
        let (mut path, mut form) = (String::new(), Form::new());
        for input in self.inputs {
            let given = parameters.0.get(input.name).and_then(super::input::Input::to_text);
            let Some(given) = given.filter(|text| !text.is_empty()) else {
                if input.is_required {
                    let reason = format!("must be set: {} needs it", self.name);
                    return Err(BillingError::invalid(input.name, reason));
                }
                continue;
            };
            if input.is_required {
                entities::check_id(input.name, &given)?;
            }
            match input.sent {
                Some(name) => form.push(name, given),
                None => path = format!("{}/{given}/{}", self.collection, self.verb),
            }
        }
        Ok(Request { path, form })
    }

    /// What it puts out, of Stripe's answer. An invoice of a quote is told apart by the caller.
    #[must_use]
    pub fn result(&self, answer: &Value, invoice: Option<&str>) -> Map<String, Value> {
        let mut result = Map::new();
        match self.output {
            Output::Success => {}
            Output::Object => result = flatten::action_output(answer),
            Output::InvoiceOfQuote => {
                result.insert("InvoiceId".to_owned(), Value::from(invoice));
            }
        }
        result.insert("Success".to_owned(), Value::from("true"));
        result
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{ACTIONS, Action};
    use crate::connector::input::Fields;

    fn request(action: &str, parameters: &str) -> Result<String, String> {
        let fields: Fields = serde_json::from_str(parameters).unwrap();
        let request = Action::find(action).unwrap().request(&fields);
        request
            .map(|request| format!("{}?{}", request.path, request.form.encode()))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn documented_inputs_become_requests() {
        let check = |rows: &[(&str, &str, &str)]| {
            for (action, parameters, want) in rows {
                assert_eq!(request(action, parameters).as_deref(), Ok(*want), "{action}");
            }
        };
        check(&[
            (
                "ConfirmPaymentIntent",
                r#"{"ReturnUrl":"http://google.com/","PaymentIntentId":"pi_1"}"#,
                "/payment_intents/pi_1/confirm?return_url=http%3A%2F%2Fgoogle.com%2F",
            ),
            (
                "ConfirmPaymentIntent",
                r#"{"PaymentIntentId":"pi_1"}"#,
                "/payment_intents/pi_1/confirm?",
            ),
            (
                "CapturePaymentIntent",
                r#"{"PaymentIntentId":"pi_1"}"#,
                "/payment_intents/pi_1/capture?",
            ),
            (
                "CancelPaymentIntent",
                r#"{"PaymentIntentId":"pi_1"}"#,
                "/payment_intents/pi_1/cancel?",
            ),
            (
                "AttachPaymentMethodToCustomer",
                r#"{"PaymentMethodId":"pm_1","CustomerId":"cus_1"}"#,
                "/payment_methods/pm_1/attach?customer=cus_1",
            ),
            (
                "DetachPaymentMethodFromCustomer",
                r#"{"PaymentMethodId":"pm_1"}"#,
                "/payment_methods/pm_1/detach?",
            ),
            ("FinalizeInvoice", r#"{"InvoiceId":"in_1"}"#, "/invoices/in_1/finalize?"),
            ("FinalizeQuote", r#"{"QuoteId":"qt_1"}"#, "/quotes/qt_1/finalize?"),
            ("AcceptQuote", r#"{"QuoteId":"qt_1"}"#, "/quotes/qt_1/accept?"),
            ("CancelQuote", r#"{"QuoteId":"qt_1"}"#, "/quotes/qt_1/cancel?"),
        ]);
    }

    #[test]
    fn wrong_inputs_are_refused_by_name() {
        let check = |action: &str, parameters: &str, want: &str| {
            let told = request(action, parameters).unwrap_err();
            assert!(told.contains(want), "{told}");
        };
        check("FinalizeQuote", "{}", "QuoteId: must be set");
        check("FinalizeQuote", r#"{"QuoteId":null}"#, "QuoteId: must be set");
        check(
            "FinalizeQuote",
            r#"{"SouQuoteIdrcePath":"qt_1"}"#,
            "SouQuoteIdrcePath: is no parameter",
        );
        check("AcceptQuote", r#"{"QuoteId":"../customers"}"#, "QuoteId:");
        check("AcceptQuote", r#"{"QuoteId":"qt_1?x=1"}"#, "QuoteId:");
        check(
            "AttachPaymentMethodToCustomer",
            r#"{"PaymentMethodId":"pm_1","CustomerId":""}"#,
            "CustomerId: must be set",
        );
    }

    #[test]
    fn outputs_are_those_of_the_samples() {
        let of = |name: &str| Action::find(name).unwrap();
        let answer = json!({"id": "qt_1", "object": "quote", "amount_total": 5});
        let result = of("CancelQuote").result(&answer, None);
        assert_eq!(json!(result), json!({"Success": "true"}));
        let result = of("AcceptQuote").result(&answer, Some("in_1"));
        assert_eq!(json!(result), json!({"InvoiceId": "in_1", "Success": "true"}));
        let intent = json!({"id": "pi_1", "object": "payment_intent", "amount": 33000});
        let result = of("CancelPaymentIntent").result(&intent, None);
        assert_eq!((&result["Success"], &result["amount"]), (&json!("true"), &json!("33000")));
        assert!(ACTIONS.is_sorted_by_key(|action| action.name));
    }
}
