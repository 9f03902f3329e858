//! `…/apiproducts`.

use axum::extract::State;

use super::Answer;
use crate::error::ApiError;
use crate::extract::{At, Json, Parameters};
use crate::permission::may;
use crate::router::{Api, created, ok};
use crate::shapes::products::{ProductInput, ProductList, ProductName, ProductShape};

pub(crate) async fn list(
    State(api): State<Api>,
    _: may::ProductsRead,
    At(organization): At<String>,
    query: Parameters,
) -> Answer {
    query.only(&["expand", "count", "startKey"])?;
    let page = query.page()?;
    let products = api.catalogue.products(&organization, page.start.as_deref(), page.count).await?;
    if query.flag("expand")? {
        return Ok(ok(&ProductList {
            api_product: products.iter().map(ProductShape::of).collect(),
        }));
    }
    let names = products.into_iter().map(|product| ProductName { name: product.name });
    Ok(ok(&ProductList { api_product: names.collect() }))
}

pub(crate) async fn create(
    State(api): State<Api>,
    _: may::ProductsWrite,
    At(organization): At<String>,
    query: Parameters,
    Json(mut input): Json<ProductInput>,
) -> Answer {
    query.only(&[])?;
    let name = input.name.take().unwrap_or_default();
    let (terms, now) = (input.terms()?, api.clock.now());
    let product = api.catalogue.create_product(&organization, &name, &terms, now).await?;
    Ok(created(&ProductShape::of(&product)))
}

pub(crate) async fn get(
    State(api): State<Api>,
    _: may::ProductsRead,
    At((organization, name)): At<(String, String)>,
    query: Parameters,
) -> Answer {
    query.only(&[])?;
    Ok(ok(&ProductShape::of(&api.catalogue.product(&organization, &name).await?)))
}

pub(crate) async fn update(
    State(api): State<Api>,
    _: may::ProductsWrite,
    At((organization, name)): At<(String, String)>,
    query: Parameters,
    Json(input): Json<ProductInput>,
) -> Answer {
    query.only(&[])?;
    if input.name.as_ref().is_some_and(|named| *named != name) {
        return Err(ApiError::invalid("name", "cannot be changed"));
    }
    let (terms, now) = (input.terms()?, api.clock.now());
    let product = api.catalogue.update_product(&organization, &name, &terms, now).await?;
    Ok(ok(&ProductShape::of(&product)))
}

pub(crate) async fn delete(
    State(api): State<Api>,
    _: may::ProductsWrite,
    At((organization, name)): At<(String, String)>,
    query: Parameters,
) -> Answer {
    query.only(&[])?;
    let product = api.catalogue.delete_product(&organization, &name, api.clock.now()).await?;
    Ok(ok(&ProductShape::of(&product)))
}

/// What the description of the API says of these paths.
pub(crate) fn describe(paths: &mut crate::openapi::Paths) {
    let all = "/v1/organizations/{organization}/apiproducts";
    let one = &format!("{all}/{{product}}");
    paths
        .get(all, "Lists API products")
        .paged()
        .flag("expand", "Whole products in place of names.")
        .answers::<ProductList<ProductShape>>(200)
        .answers::<ProductList<ProductName>>(200);
    paths
        .post(all, "Creates an API product")
        .takes::<ProductInput>()
        .example(serde_json::json!({ "name": "weather", "apiResources": ["/v1/**"] }))
        .answers::<ProductShape>(201);
    paths.get(one, "Reads an API product").answers::<ProductShape>(200);
    paths.put(one, "Changes an API product").takes::<ProductInput>().answers::<ProductShape>(200);
    paths.delete(one, "Deletes an API product").answers::<ProductShape>(200);
}
