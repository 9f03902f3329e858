//! Customers, cards and PaymentIntents.

use serde_json::json;

use super::{client::Client, started};

#[tokio::test]
async fn a_saved_card_pays_while_its_owner_is_away() {
    let (simulator, client) = started().await;
    let customer = client.post("/v1/customers", "name=Ann&metadata[tollgate]=dev-1").await.ok();
    let id = customer["id"].as_str().unwrap();
    let setup = client.post("/v1/setup_intents", &format!("customer={id}")).await.ok();
    let (setup_id, secret) =
        (setup["id"].as_str().unwrap(), setup["client_secret"].as_str().unwrap());

    // The browser's part, with the publishable key.
    let browser = Client::new(simulator.url(), &simulator.keys().publishable_test);
    let method = browser
        .post(
            "/v1/payment_methods",
            "type=card&card[number]=4242424242424242&card[exp_month]=12&card[exp_year]=2034",
        )
        .await
        .ok();
    let method = method["id"].as_str().unwrap();
    let form = format!("client_secret={secret}&payment_method={method}");
    let confirmed =
        browser.post(&format!("/v1/setup_intents/{setup_id}/confirm"), &form).await.ok();
    assert_eq!(confirmed["status"], "succeeded");
    assert!(confirmed.get("customer").is_none(), "a browser sees no customer");

    let form = format!(
        "amount=1500&currency=usd&customer={id}&payment_method={method}&off_session=true&confirm=true&expand[]=latest_charge"
    );
    let paid = client.post("/v1/payment_intents", &form).await.ok();
    assert_eq!(paid["status"], "succeeded");
    assert_eq!(paid["amount_received"], 1500);
    assert_eq!(paid["latest_charge"]["amount_captured"], 1500);
    assert_eq!(simulator.test().taken(id, "usd").net(), 1500);
}

#[tokio::test]
async fn a_refused_card_answers_402_and_leaves_its_intent() {
    let (_simulator, client) = started().await;
    let form = "amount=1500&currency=usd&payment_method=pm_card_visa_chargeDeclinedInsufficientFunds&confirm=true\
                &payment_method_types[]=card";
    let error = client.post("/v1/payment_intents", form).await.error(402);
    assert_eq!(error["type"], "card_error");
    assert_eq!(error["code"], "card_declined");
    assert_eq!(error["decline_code"], "insufficient_funds");
    let intent = error["payment_intent"]["id"].as_str().unwrap();
    let intent = client.get(&format!("/v1/payment_intents/{intent}")).await.ok();
    assert_eq!(intent["status"], "requires_payment_method");
    assert_eq!(intent["last_payment_error"]["decline_code"], "insufficient_funds");
}

#[tokio::test]
async fn authentication_is_asked_for_and_ends_in_a_payment_or_a_failure() {
    let (simulator, client) = started().await;
    let form = "amount=1500&currency=usd&payment_method=pm_card_authenticationRequired&confirm=true\
                &return_url=http%3A%2F%2Fportal%2Fdone";
    for (is_passed, status) in [(true, "succeeded"), (false, "requires_payment_method")] {
        let asked = client.post("/v1/payment_intents", form).await.ok();
        assert_eq!(asked["status"], "requires_action");
        assert_eq!(asked["next_action"]["redirect_to_url"]["return_url"], "http://portal/done");
        let id = asked["id"].as_str().unwrap();
        let ended = simulator.test().authenticate(id, is_passed).unwrap();
        assert_eq!(ended["status"], status);
    }
    let away =
        client.post("/v1/payment_intents", &format!("{form}&off_session=true")).await.error(402);
    assert_eq!(away["code"], "authentication_required");
}

#[tokio::test]
async fn an_authorized_payment_is_captured_or_let_go() {
    let (simulator, client) = started().await;
    let form = "amount=1500&currency=eur&payment_method=pm_card_visa&confirm=true&capture_method=manual\
                &payment_method_types[]=card";
    let held = client.post("/v1/payment_intents", form).await.ok();
    assert_eq!(
        (&held["status"], &held["amount_capturable"]),
        (&json!("requires_capture"), &json!(1500))
    );
    let path = format!("/v1/payment_intents/{}", held["id"].as_str().unwrap());
    let captured = client.post(&format!("{path}/capture"), "amount_to_capture=1000").await.ok();
    assert_eq!(
        (&captured["status"], &captured["amount_received"]),
        (&json!("succeeded"), &json!(1000))
    );
    let error = client.post(&format!("{path}/cancel"), "").await.error(400);
    assert_eq!(error["code"], "payment_intent_unexpected_state");

    let held = client.post("/v1/payment_intents", form).await.ok();
    let path = format!("/v1/payment_intents/{}", held["id"].as_str().unwrap());
    let ended = client.post(&format!("{path}/cancel"), "cancellation_reason=abandoned").await.ok();
    assert_eq!(ended["status"], "canceled");
    assert_eq!(simulator.test().taken("", "eur").net(), 1000);
}

#[tokio::test]
async fn a_bank_debit_pays_days_later() {
    let (simulator, client) = started().await;
    let pay = async |iban: &str| {
        let form = format!("type=sepa_debit&sepa_debit[iban]={iban}");
        let method = client.post("/v1/payment_methods", &form).await.ok();
        let form = format!(
            "amount=900&currency=eur&confirm=true&payment_method_types[]=sepa_debit&payment_method={}",
            method["id"].as_str().unwrap()
        );
        client.post("/v1/payment_intents", &form).await.ok()
    };
    let good = pay("DE89370400440532013000").await;
    let bad = pay("DE62370400440532013001").await;
    assert_eq!(good["status"], "processing");
    simulator.advance(std::time::Duration::from_secs(5 * 24 * 3600)).unwrap();
    let status = |id: &serde_json::Value| {
        simulator.test().object("payment_intent", id.as_str().unwrap()).unwrap()["status"].clone()
    };
    assert_eq!(status(&good["id"]), "succeeded");
    assert_eq!(status(&bad["id"]), "requires_payment_method");
    assert_eq!(simulator.test().taken("", "eur").net(), 900);
}

#[tokio::test]
async fn a_detached_card_is_worth_nothing() {
    let (_simulator, client) = started().await;
    let customer = client.post("/v1/customers", "payment_method=pm_card_visa").await.ok();
    let customer = customer["id"].as_str().unwrap();
    let methods = client.get(&format!("/v1/customers/{customer}/payment_methods")).await.ok();
    let method = methods["data"][0]["id"].as_str().unwrap();
    let form = format!("invoice_settings[default_payment_method]={method}");
    client.post(&format!("/v1/customers/{customer}"), &form).await.ok();
    client.post(&format!("/v1/payment_methods/{method}/detach"), "").await.ok();

    let error = client
        .post(&format!("/v1/payment_methods/{method}/attach"), &format!("customer={customer}"))
        .await
        .error(400);
    assert_eq!(error["code"], "payment_method_unexpected_state");
    let form = format!("amount=900&currency=eur&payment_method={method}");
    client.post("/v1/payment_intents", &form).await.error(400);
    let customer = client.get(&format!("/v1/customers/{customer}")).await.ok();
    assert_eq!(customer["invoice_settings"]["default_payment_method"], json!(null));
}

#[tokio::test]
async fn amounts_keep_to_their_currencies() {
    let (_simulator, client) = started().await;
    let check = async |amount: &str, currency: &str, code: Option<&str>| {
        let form = format!("amount={amount}&currency={currency}");
        let answer = client.post("/v1/payment_intents", &form).await;
        match code {
            None => drop(answer.ok()),
            Some(code) => {
                let error = answer.error(400);
                assert_eq!(error["code"].as_str().unwrap_or_default(), code, "{form}: {error}");
            }
        }
    };
    check("50", "usd", None).await;
    check("49", "usd", Some("amount_too_small")).await;
    check("99999999", "usd", None).await;
    check("100000000", "usd", Some("amount_too_large")).await;
    check("15.5", "usd", Some("parameter_invalid_integer")).await;
    check("500", "isk", None).await;
    check("550", "isk", Some("")).await;
    check("5120", "kwd", None).await;
    check("5124", "kwd", Some("")).await;
    check("500", "xyz", Some("")).await;
}

#[tokio::test]
async fn lists_page_both_ways_and_search_finds_metadata() {
    let (_simulator, client) = started().await;
    for number in 0..5 {
        let form = format!("amount=100&currency=usd&metadata[order]=o-{number}");
        client.post("/v1/payment_intents", &form).await.ok();
    }
    let orders = |page: &serde_json::Value| -> Vec<String> {
        let data = page["data"].as_array().unwrap();
        data.iter().map(|intent| intent["metadata"]["order"].as_str().unwrap().to_owned()).collect()
    };
    let first = client.get("/v1/payment_intents?limit=2").await.ok();
    assert_eq!(
        (orders(&first), &first["has_more"]),
        (vec!["o-4".into(), "o-3".into()], &json!(true))
    );
    let last = first["data"][1]["id"].as_str().unwrap();
    let second =
        client.get(&format!("/v1/payment_intents?limit=3&starting_after={last}")).await.ok();
    assert_eq!(orders(&second), ["o-2", "o-1", "o-0"]);
    assert_eq!(second["has_more"], false);
    let oldest = second["data"][2]["id"].as_str().unwrap();
    let newer =
        client.get(&format!("/v1/payment_intents?limit=2&ending_before={oldest}")).await.ok();
    assert_eq!(
        (orders(&newer), &newer["has_more"]),
        (vec!["o-2".into(), "o-1".into()], &json!(true))
    );
    let error = client.get("/v1/payment_intents?starting_after=pi_none").await.error(400);
    assert_eq!(error["code"], "resource_missing");

    let query = "/v1/payment_intents/search?query=metadata%5B%27order%27%5D%3A%27o-3%27";
    assert_eq!(orders(&client.get(query).await.ok()), ["o-3"]);
}

#[tokio::test]
async fn keys_open_their_own_account_and_mode_only() {
    let (simulator, client) = started().await;
    let setup = client.post("/v1/setup_intents", "").await.ok();
    let path = format!(
        "/v1/setup_intents/{}?client_secret={}",
        setup["id"].as_str().unwrap(),
        setup["client_secret"].as_str().unwrap()
    );
    let other = simulator.open_account("acct_other");
    let as_key = |key: &str| Client::new(simulator.url(), key);
    assert_eq!(
        as_key(&simulator.keys().publishable_test).get(&path).await.ok()["status"],
        "requires_payment_method"
    );
    let foreign = as_key(&other.publishable_test).get(&path).await.error(404);
    assert_eq!(foreign["code"], "resource_missing");
    as_key(&simulator.keys().publishable_live).get(&path).await.error(404);
    let forbidden =
        as_key(&simulator.keys().publishable_test).get("/v1/customers").await.error(403);
    assert_eq!(forbidden["code"], "secret_key_required");
    as_key("sk_test_unknown_key_of_nobody").get("/v1/account").await.error(401);

    let rolled = simulator.roll_key(&simulator.keys().secret_test).unwrap();
    assert_eq!(client.get("/v1/account").await.error(401)["code"], "api_key_expired");
    let account = as_key(&rolled).get("/v1/account").await.ok();
    assert_eq!(account["id"], simulator.keys().account.as_str());

    let connected = as_key(&rolled).with("stripe-account", "acct_other");
    assert_eq!(connected.get("/v1/account").await.error(403)["code"], "account_invalid");
    simulator.connect(&simulator.keys().account, "acct_other").unwrap();
    assert_eq!(connected.get("/v1/account").await.ok()["id"], "acct_other");

    let restricted = as_key(&simulator.test().restricted_key(&["customers"]));
    restricted.get("/v1/customers").await.ok();
    restricted.get("/v1/payment_intents").await.error(403);
}

#[tokio::test]
async fn a_parameter_that_is_unknown_or_missing_is_named() {
    let (_simulator, client) = started().await;
    let unknown = client
        .post("/v1/payment_intents", "amount=100&currency=usd&custmer=cus_1")
        .await
        .error(400);
    assert_eq!(
        (&unknown["code"], &unknown["param"]),
        (&json!("parameter_unknown"), &json!("custmer"))
    );
    let missing = client.post("/v1/payment_intents", "amount=100").await.error(400);
    assert_eq!(
        (&missing["code"], &missing["param"]),
        (&json!("parameter_missing"), &json!("currency"))
    );
    let absent = client
        .post("/v1/payment_intents", "amount=100&currency=usd&customer=cus_1")
        .await
        .error(400);
    assert_eq!(absent["code"], "resource_missing");
    client.get("/v1/payment_intents/pi_1").await.error(404);
    client.get("/v1/nothing").await.error(404);
}

#[tokio::test]
async fn a_deleted_customer_is_a_stub() {
    let (_simulator, client) = started().await;
    let customer = client.post("/v1/customers", "email=a%40b.example").await.ok();
    let path = format!("/v1/customers/{}", customer["id"].as_str().unwrap());
    assert_eq!(client.delete(&path).await.ok()["deleted"], true);
    assert_eq!(client.get(&path).await.ok()["deleted"], true);
    client.post(&path, "name=x").await.error(404);
    assert_eq!(client.get("/v1/customers").await.ok()["data"], json!([]));
}

#[tokio::test]
async fn a_browser_needs_the_client_secret_of_what_it_confirms() {
    let (simulator, client) = started().await;
    let browser = Client::new(simulator.url(), &simulator.keys().publishable_test);
    for (path, form) in
        [("/v1/setup_intents", ""), ("/v1/payment_intents", "amount=900&currency=usd")]
    {
        let intent = client.post(path, form).await.ok();
        let path = format!("{path}/{}/confirm", intent["id"].as_str().unwrap());
        let form = "payment_method=pm_card_visa&return_url=http%3A%2F%2Fportal";
        browser.post(&path, form).await.error(400);
        browser.post(&path, &format!("{form}&client_secret=wrong")).await.error(400);
        let secret = intent["client_secret"].as_str().unwrap();
        let paid = browser.post(&path, &format!("{form}&client_secret={secret}")).await.ok();
        assert_eq!(paid["status"], "succeeded");
    }
}
