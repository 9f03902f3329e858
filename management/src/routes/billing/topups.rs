//! `…/balance:topUp`, `…/topups` and `…/wallets/{currency}/automaticTopUp`: money that is paid at
//! Stripe into wallets of developers and AppGroups.

use axum::extract::State;
use tollgate_billing::topups::automatic::AutomaticTerms;
use tollgate_billing::topups::{Seen, TopUpAsk};
use uuid::Uuid;

use crate::error::ApiError;
use crate::extract::{At, Json, Parameters};
use crate::permission::may;
use crate::router::{Api, done, ok};
use crate::routes::{Answer, developer};
use crate::shapes::billing::topups::{
    AutomaticInput, AutomaticShape, TopUpInput, TopUpList, TopUpShape,
};
use crate::shapes::money;

/// Several requests with one `transactionId` and amount are one top-up.
pub(crate) async fn top_up(
    State(api): State<Api>,
    may::BalancesCredit(by): may::BalancesCredit,
    At((organization, name)): At<(String, String)>,
    query: Parameters,
    Json(input): Json<TopUpInput>,
) -> Answer {
    query.only(&[])?;
    let billing = api.billing()?;
    let (amount, currency) = input.amount()?;
    let owner = developer(&api, &organization, &name).await?;
    let ask = TopUpAsk {
        organization: &organization,
        developer: &owner,
        currency,
        amount,
        transaction_id: input.transaction_id.clone(),
        payment_method: input.payment_method.clone(),
        return_url: input.return_url.clone(),
        billing: input.billing.as_deref(),
        by: &by.name,
    };
    let seen = billing.ask_top_up(&ask).await?;
    Ok(ok(&shape(&api, seen).await?))
}

/// As Stripe has it now.
pub(crate) async fn get(
    State(api): State<Api>,
    _: may::BalancesRead,
    At((organization, name, id)): At<(String, String, String)>,
    query: Parameters,
) -> Answer {
    query.only(&[])?;
    let billing = api.billing()?;
    let owner = developer(&api, &organization, &name).await?;
    let id: Uuid = id.parse().map_err(|_| ApiError::invalid("topup", "is no id of a top-up"))?;
    let top_up = billing.top_up(&organization, owner.id, id).await?;
    let seen = billing.look_at_top_up(top_up).await?;
    Ok(ok(&shape(&api, seen).await?))
}

/// As each was seen last, in order of id.
pub(crate) async fn list(
    State(api): State<Api>,
    _: may::BalancesRead,
    At((organization, name)): At<(String, String)>,
    query: Parameters,
) -> Answer {
    query.only(&["count", "startKey"])?;
    let billing = api.billing()?;
    let page = query.page()?;
    let owner = developer(&api, &organization, &name).await?;
    let start = page.start.as_deref();
    // One more than the page, which the next one begins with.
    let mut found = billing.top_ups(&organization, owner.id, start, page.count + 1).await?;
    let next = (found.len() > page.count).then(|| found.pop()).flatten();
    Ok(ok(&TopUpList {
        top_ups: found.iter().map(TopUpShape::of).collect(),
        next_start_key: next.map(|top_up| top_up.id.to_string()),
    }))
}

pub(crate) async fn automatic(
    State(api): State<Api>,
    _: may::BalancesRead,
    At((organization, name, code)): At<(String, String, String)>,
    query: Parameters,
) -> Answer {
    query.only(&[])?;
    let currency = money::currency("", &code)?;
    let billing = api.billing()?;
    let owner = developer(&api, &organization, &name).await?;
    let set = billing.automatic(&organization, owner.id, currency).await?;
    Ok(ok(&AutomaticShape::of(&set)))
}

pub(crate) async fn set_automatic(
    State(api): State<Api>,
    may::BalancesCredit(by): may::BalancesCredit,
    At((organization, name, code)): At<(String, String, String)>,
    query: Parameters,
    Json(input): Json<AutomaticInput>,
) -> Answer {
    query.only(&[])?;
    let currency = money::currency("", &code)?;
    let terms: AutomaticTerms = input.terms(currency)?;
    let billing = api.billing()?;
    let owner = developer(&api, &organization, &name).await?;
    let set = billing.set_automatic(&organization, &owner, currency, &terms, &by.name).await?;
    Ok(ok(&AutomaticShape::of(&set)))
}

pub(crate) async fn unset_automatic(
    State(api): State<Api>,
    _: may::BalancesCredit,
    At((organization, name, code)): At<(String, String, String)>,
    query: Parameters,
) -> Answer {
    query.only(&[])?;
    let currency = money::currency("", &code)?;
    let billing = api.billing()?;
    let owner = developer(&api, &organization, &name).await?;
    billing.unset_automatic(&organization, owner.id, currency).await?;
    Ok(done())
}

/// With what a browser needs to pay it, while it can be paid.
async fn shape(api: &Api, seen: Seen) -> Result<TopUpShape, ApiError> {
    let top_up = &seen.top_up;
    let mut shape = TopUpShape::of(top_up);
    if seen.client_secret.is_some() {
        let integration = api.billing()?.integration(&top_up.organization, &top_up.billing).await?;
        let key = integration.record.publishable_key.as_str().to_owned();
        shape = shape.payable(key, seen.client_secret, seen.next_action);
    }
    Ok(shape)
}

/// What the description of the API says of these paths.
pub(crate) fn describe(paths: &mut crate::openapi::Paths) {
    let owners =
        [("developers/{developer}", "a developer"), ("appgroups/{appgroup}", "an AppGroup")];
    for (path, who) in owners {
        let at = &format!("/v1/organizations/{{organization}}/{path}");
        paths
            .post(
                &format!("{at}/balance:topUp"),
                &format!("Lets {who} pay into a wallet at Stripe, once for each transactionId"),
            )
            .also(&format!("{at}/balance/:topUp"))
            .takes::<TopUpInput>()
            .example(serde_json::json!({
                "amount": { "currencyCode": "EUR", "units": "25", "nanos": 500_000_000 },
                "transactionId": "order-1",
            }))
            .answers::<TopUpShape>(200);
        let all = &format!("{at}/topups");
        paths.get(all, &format!("Lists top-ups of {who}")).paged().answers::<TopUpList>(200);
        paths
            .get(&format!("{all}/{{topup}}"), &format!("Looks at a top-up of {who} at Stripe"))
            .answers::<TopUpShape>(200);
        let one = &format!("{at}/wallets/{{currency}}/automaticTopUp");
        paths
            .get(one, &format!("Reads what is paid when a wallet of {who} runs low"))
            .answers::<AutomaticShape>(200);
        paths
            .put(one, &format!("Sets what is paid when a wallet of {who} runs low"))
            .takes::<AutomaticInput>()
            .example(serde_json::json!({
                "threshold": { "units": "5" },
                "amount": { "units": "20" },
                "capPerDay": { "units": "60" },
                "capPerMonth": { "units": "200" },
            }))
            .answers::<AutomaticShape>(200);
        paths
            .delete(one, &format!("Ends automatic payments into a wallet of {who}"))
            .answers_nothing(204);
    }
}
