//! `/v1/tokens`: bearer tokens, which Apigee has no resource for.

use axum::extract::State;

use super::Answer;
use crate::extract::{At, Json, Parameters};
use crate::permission::may;
use crate::router::{Api, created, ok};
use crate::shapes::tokens::{TokenInput, TokenList, TokenShape};

pub(crate) async fn list(State(api): State<Api>, _: may::TokensRead, query: Parameters) -> Answer {
    query.only(&[])?;
    let all = api.catalogue.tokens().await?;
    Ok(ok(&TokenList { tokens: all.iter().map(TokenShape::of).collect() }))
}

/// The one answer that shows the token itself.
pub(crate) async fn create(
    State(api): State<Api>,
    may::TokensWrite(by): may::TokensWrite,
    query: Parameters,
    Json(input): Json<TokenInput>,
) -> Answer {
    query.only(&[])?;
    let (terms, now) = (input.terms()?, api.clock.now());
    let made = api.catalogue.create_token(&terms, &by.name, now).await?;
    Ok(created(&TokenShape::made(made)))
}

pub(crate) async fn get(
    State(api): State<Api>,
    _: may::TokensRead,
    At(name): At<String>,
    query: Parameters,
) -> Answer {
    query.only(&[])?;
    Ok(ok(&TokenShape::of(&api.catalogue.token(&name).await?)))
}

pub(crate) async fn revoke(
    State(api): State<Api>,
    _: may::TokensWrite,
    At(name): At<String>,
    query: Parameters,
) -> Answer {
    query.only(&[])?;
    Ok(ok(&TokenShape::of(&api.catalogue.revoke_token(&name, api.clock.now()).await?)))
}

pub(crate) fn describe(paths: &mut crate::openapi::Paths) {
    let (all, one) = ("/v1/tokens", "/v1/tokens/{token}");
    paths.get(all, "Lists bearer tokens, never their secrets").answers::<TokenList>(200);
    paths
        .post(all, "Makes a bearer token, which this answer alone shows")
        .takes::<TokenInput>()
        .example(serde_json::json!({ "name": "shop", "role": "portal", "organization": "demo" }))
        .answers::<TokenShape>(201);
    paths.get(one, "Reads a bearer token, never its secret").answers::<TokenShape>(200);
    paths.delete(one, "Revokes a bearer token").answers::<TokenShape>(200);
}
