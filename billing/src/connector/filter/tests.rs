use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Filter, Op, parse};

fn ada() -> Value {
    json!({
        "id": "cus_1", "email": "ada@example.com", "name": "O'Hara", "balance": -500,
        "delinquent": false, "description": null, "created": 1_700_000_000,
        "invoice_settings": {"default_payment_method": "pm_1"},
        "metadata": {"order-id": "7", "Kind": "x"}, "default_source": {"id": "card_1"},
    })
}

#[test]
fn clauses_choose_objects() {
    let check = |rows: &[(&str, bool)]| {
        for (clause, want) in rows {
            let filter = parse(clause).unwrap_or_else(|error| panic!("{clause}: {error}"));
            assert_eq!(filter.matches(&ada()), *want, "{clause}");
        }
    };
    check(&[
        ("Email = 'ada@example.com'", true),
        ("email='ADA@example.com'", false),
        ("Name = 'O''Hara'", true),
        ("Balance < 0", true),
        // Always single quotes, numbers too; they compare as numbers.
        ("Balance < '-60'", true),
        ("Balance = '-500.0'", true),
        ("Balance = 'x'", false),
        ("Delinquent = false AND Delinquent != 'true'", true),
        ("Delinquent < true", false),
        ("InvoiceSettings.DefaultPaymentMethod = 'pm_1'", true),
        ("Metadata.order-id = '7' and Metadata.Kind = 'x'", true),
        ("DefaultSource = 'card_1'", true),
        // As in SQL nothing compares with null.
        ("Description = 'x' OR Description != 'x'", false),
        ("Nothing = 'x' OR Nothing != 'x'", false),
        // AND binds before OR.
        ("Balance > 0 AND Balance > 0 OR Balance < 0", true),
        ("Balance > 0 AND (Balance > 0 OR Balance < 0)", false),
        ("Balance < 0 OR Balance > 0 AND Balance > 0", true),
        ("Created >= 1700000000 AND Created <= 1700000000", true),
    ]);
}

#[test]
fn what_is_no_clause_is_refused_with_its_place() {
    let check = |clause: &str, want: &str| {
        let told = parse(clause).unwrap_err().to_string();
        assert!(told.starts_with("conditions: ") && told.contains(want), "{clause}: {told}");
    };
    check("", "expects a field at character 1");
    check("  ", "expects a field");
    check("Email = \"a\"", "single quotes at character 9");
    check("Email = 'a", "not closed at character 9");
    check("Email == 'a'", "expects a number or a text in single quotes at character 8");
    check("Email LIKE 'a%'", "expects =, !=, <, <=, > or >= at character 7");
    check("Email IN ('a')", "expects =");
    check("Email = a", "expects a number or a text");
    check("NOT Email = 'a'", "expects =");
    check("(Email = 'a'", "closing parenthesis at character 13");
    check("Email = 'a')", "expects AND, OR or the end at character 12");
    check("Email = 'a' 'b'", "expects AND, OR or the end");
    check("Email = 'a'; DROP", "means nothing at character 12");
    check("Balance = 1x", "no number");
    check("Balance = --1", "no number");
    check(&"(".repeat(40), "nested too deep");
    check(&vec!["a = 1"; 65].join(" OR "), "more than 64 comparisons");
    check(&format!("a = '{}'", "x".repeat(5000)), "longer than");
}

#[test]
fn what_every_match_has_to_meet_can_narrow_a_list() {
    let required = |clause: &str| {
        let filter = parse(clause).unwrap();
        let parts = filter
            .required()
            .into_iter()
            .map(|(field, op, value)| (field[0].as_str().to_owned(), op, value.text().to_owned()));
        parts.collect::<Vec<_>>()
    };
    let email = ("email".to_owned(), Op::Equal, "a".to_owned());
    assert_eq!(required("Email = 'a' AND (Balance < 0 OR Balance > 9)"), [email]);
    assert_eq!(required("Email = 'a' OR Balance < 0"), []);
}

/// Writes a filter as a clause again, every part in parentheses.
fn written(filter: &Filter) -> String {
    let join = |parts: &[Filter], with: &str| {
        let parts = parts.iter().map(|part| format!("({})", written(part)));
        parts.collect::<Vec<_>>().join(with)
    };
    match filter {
        Filter::Compare { field, op, value } => {
            let path: Vec<&str> = field.iter().map(|part| part.as_str()).collect();
            let op = match op {
                Op::Equal => "=",
                Op::NotEqual => "!=",
                Op::Less => "<",
                Op::LessOrEqual => "<=",
                Op::Greater => ">",
                Op::GreaterOrEqual => ">=",
            };
            format!("{} {op} '{}'", path.join("."), value.text().replace('\'', "''"))
        }
        Filter::All(parts) => join(parts, " AND "),
        Filter::Any(parts) => join(parts, " OR "),
    }
}

proptest! {
    /// Whatever stands between the quotes is a value and nothing else.
    #[test]
    fn a_value_cannot_leave_its_quotes(value in "\\PC{0,40}", other in "\\PC{0,40}") {
        let clause = format!("name = '{}'", value.replace('\'', "''"));
        let filter = parse(&clause).unwrap();
        let named = |name: &str| json!({ "name": name });
        prop_assert!(filter.matches(&named(&value)));
        prop_assert_eq!(filter.matches(&named(&other)), value == other);
    }

    #[test]
    fn nothing_makes_the_parser_fail_otherwise_than_by_saying_so(clause in "[ a-b.'\"=<>!()0-9-]{0,40}|(a = 1|AND|OR|\\(|\\)| )*") {
        if let Ok(filter) = parse(&clause) {
            // What was read is what is written again.
            prop_assert_eq!(parse(&written(&filter)).map_err(|it| it.to_string()), Ok(filter));
        }
    }
}
