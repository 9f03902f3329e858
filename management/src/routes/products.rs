//! `…/apiproducts`.

use axum::extract::State;
use tollgate_ledger_store::catalogue::records::Product;

use super::Answer;
use crate::error::ApiError;
use crate::extract::{At, Body, Json, Parameters};
use crate::json;
use crate::permission::may;
use crate::router::{Api, created, ok};
use crate::shapes::products::{MoveInput, ProductInput, ProductList, ProductName, ProductShape};

pub(crate) async fn list(
    State(api): State<Api>,
    _: may::ProductsRead,
    At(organization): At<String>,
    query: Parameters,
) -> Answer {
    query.only(&["expand", "count", "startKey", "attributename", "attributevalue", "space"])?;
    let page = query.page()?;
    let is_filtered = ["attributename", "space"].iter().any(|name| query.get(name).is_some());
    let limit = if is_filtered { usize::MAX } else { page.count };
    let mut products = api.catalogue.products(&organization, page.start.as_deref(), limit).await?;
    products.retain(|product| is_asked_for(&query, product));
    products.truncate(page.count);
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

/// `POST apiproducts/{product}:move`.
pub(crate) async fn verb(
    State(api): State<Api>,
    by: may::ProductsWrite,
    At((organization, segment)): At<(String, String)>,
    query: Parameters,
    body: Body,
) -> Answer {
    let (name, verb) = segment.rsplit_once(':').ok_or(ApiError::Method)?;
    run(&api, by, &organization, (name, verb), &query, &body).await
}

/// `POST apiproducts/{product}/:move`, as a client may send it.
pub(crate) async fn verb_apart(
    State(api): State<Api>,
    by: may::ProductsWrite,
    At((organization, name, verb)): At<(String, String, String)>,
    query: Parameters,
    body: Body,
) -> Answer {
    let verb = verb.strip_prefix(':').ok_or(ApiError::NoSuchPath)?;
    run(&api, by, &organization, (&name, verb), &query, &body).await
}

async fn run(
    api: &Api,
    _: may::ProductsWrite,
    organization: &str,
    (name, verb): (&str, &str),
    query: &Parameters,
    Body(body): &Body,
) -> Answer {
    query.only(&[])?;
    if verb != "move" {
        return Err(ApiError::NoSuchPath);
    }
    let input: MoveInput = json::read(body)?;
    let space = input.space.unwrap_or_default();
    let product = api.catalogue.move_product(organization, name, &space, api.clock.now()).await?;
    Ok(ok(&ProductShape::of(&product)))
}

/// Whether a product has the attribute and stands in the space that a listing asks for.
fn is_asked_for(query: &Parameters, product: &Product) -> bool {
    let has_attribute = query.get("attributename").is_none_or(|name| {
        let value = query.get("attributevalue");
        let mut attributes = product.terms.attributes.iter();
        attributes.any(|on| on.name == name && value.is_none_or(|value| on.value == value))
    });
    has_attribute && query.get("space").is_none_or(|space| product.terms.space == space)
}

/// What the description of the API says of these paths.
pub(crate) fn describe(paths: &mut crate::openapi::Paths) {
    let all = "/v1/organizations/{organization}/apiproducts";
    let one = &format!("{all}/{{product}}");
    paths
        .get(all, "Lists API products")
        .paged()
        .flag("expand", "Whole products in place of names.")
        .text("attributename", "Only products with this attribute.")
        .text("attributevalue", "Only where that attribute has this value.")
        .text("space", "Only products in this space.")
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
    paths
        .post(&format!("{one}:move"), "Moves an API product to a space")
        .also(&format!("{one}/:move"))
        .takes::<MoveInput>()
        .example(serde_json::json!({ "space": "europe" }))
        .answers::<ProductShape>(200);
}
